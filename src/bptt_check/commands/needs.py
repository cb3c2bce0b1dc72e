"""The one line that a user reads where torch is absent."""

import gc
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path


def require_torch(package: str) -> None:
    """Import torch; without it a command ends with code 2, since 1 would be a verdict.

    In a command torch's objects are not searched for garbage, which takes a fifth of a second.

    Raises:
        ImportError: torch cannot be imported, outside a command.
    """
    program, kind = Path((sys.argv or [""])[0]).stem, ImportError
    is_command = program.startswith(("bptt-", "-m", "__main__"))
    try:
        if is_command:
            gc.disable()
        import_module("torch")
        if is_command:
            gc.freeze()
            gc.enable()
    except (ImportError, OSError) as error:
        hint = f"torch cannot be imported: {error}".splitlines()[0]
        if find_spec("torch") is None:
            hint, kind = f"{package} needs torch: pip install torch", ModuleNotFoundError
            if program.startswith("bptt-"):  # installed, so pip adds what is missing
                hint = f'{program} needs torch: pip install "rnn-bptt-reference[torch]"'
        if is_command:
            print(hint, file=sys.stderr)
            raise SystemExit(2) from None
        raise kind(hint, name="torch") from error
