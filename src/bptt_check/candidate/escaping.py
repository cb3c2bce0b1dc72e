"""Escape text from untrusted files, so that it can be printed."""

import re

#: Commands in GitHub's log: `::error::` at the beginning of a line, which may be any word after
#: wrapping; `##[error]` (in other systems `##vso[`) anywhere.
_COMMAND = re.compile(r"(?<!\S):(?=:)|#(?=#\w*\[)")


def shown(text: str) -> str:
    """Untrusted text as one line that no terminal and no CI log interprets.

    Escapes, as in a Python string, characters that are not printable (control characters, line
    ends, bidirectional marks, surrogates) and the first character of a CI command. Escaping twice
    has no further effect.
    """
    printable = (c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return _COMMAND.sub(lambda found: f"\\x{ord(found[0]):02x}", "".join(printable))
