"""Escape text from untrusted files, so that it can be printed."""

import re

#: What a log of GitHub's takes for a command: `::error::` where a line begins, and it may be
#: wrapped at any word; `##[error]` (others: `##vso[`) wherever it stands.
_COMMAND = re.compile(r"(?<!\S):(?=:)|#(?=#\w*\[)")


def shown(text: str) -> str:
    """Text of strangers, as it may be shown: one line that nothing obeys, nor takes for ours.

    Escaped as Python writes it in a string: what is not printable (control characters, ends of
    lines, marks that turn the direction of reading, halves of characters), and the first character
    of what is a command in a CI's log. Escaping twice changes nothing more.
    """
    printable = (c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return _COMMAND.sub(lambda found: f"\\x{ord(found[0]):02x}", "".join(printable))
