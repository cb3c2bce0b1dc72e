"""The one line that a user reads where torch is absent."""

import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path


def require_torch(package: str) -> None:
    """Import torch; without it a command ends with code 2, since 1 would be a verdict.

    Raises:
        ImportError: torch cannot be imported, outside a command.
    """
    try:
        import_module("torch")
    except (ImportError, OSError) as error:
        program, kind = Path((sys.argv or [""])[0]).stem, ImportError
        hint = f"torch cannot be imported: {error}".splitlines()[0]
        if find_spec("torch") is None:
            hint, kind = f"{package} needs torch: pip install torch", ModuleNotFoundError
            if program.startswith("bptt-"):  # installed, so pip adds what is missing
                hint = f'{program} needs torch: pip install "rnn-bptt-reference[torch]"'
        if program.startswith(("bptt-", "-m", "__main__")):
            print(hint, file=sys.stderr)
            raise SystemExit(2) from None
        raise kind(hint, name="torch") from error
