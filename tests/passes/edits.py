"""Plant mistakes in the text of a pass."""

from collections.abc import Iterable


def edited(text: str, changes: Iterable[tuple[str, str]]) -> str:
    """The text with each right piece, which must be there once, replaced by the wrong one.

    Raises:
        ValueError: a right piece is not there, or not once.
    """
    for right, wrong in changes:
        if text.count(right) != 1:
            raise ValueError(f"{right!r} must be there once, got {text.count(right)}, in\n{text}")
        text = text.replace(right, wrong)
    return text
