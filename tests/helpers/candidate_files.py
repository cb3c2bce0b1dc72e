"""The text of a file with a right backward pass."""

from pathlib import Path

EXAMPLES = Path(__file__).parents[2] / "examples"

RIGHT_FILE = (EXAMPLES / "right_loop.py").read_text()
