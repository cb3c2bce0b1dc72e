"""Write matplotlib figures atomically: the new file is complete, or the old one unchanged."""

import io
from pathlib import Path
from typing import Any

from bptt_check.commands.atomic_files import write_bytes


def check_format(file: str | Path) -> None:
    """Raise ValueError unless matplotlib is installed and knows the file's suffix."""
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError:
        raise ValueError("a picture needs matplotlib: pip install matplotlib") from None
    figure = Figure(figsize=(1, 1))
    figure.text(0.5, 0.5, "trial")
    try:
        figure.savefig(io.BytesIO(), format=Path(file).suffix[1:])
    except (ImportError, OSError, RuntimeError, ValueError) as error:
        raise ValueError(f"cannot draw {file}: {error}") from error


def save(figure: Any, file: str | Path, **options: Any) -> None:
    """Write a figure as `write_bytes` does, in the format of the file's suffix."""
    octets = io.BytesIO()
    figure.savefig(octets, format=Path(file).suffix[1:], dpi=150, **options)
    write_bytes(file, octets.getvalue())
