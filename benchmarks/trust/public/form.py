"""The form in which a published pass is described."""

from typing import NamedTuple


class Pass(NamedTuple):
    """A backward pass in a file of a repository.

    `function` and `network` are names: of the published file, or of the adapter, and of the module
    that declares this. Lines are numbers of the published file, also of a notebook, as text. Each
    item of `wrong` is a mistake: the lines of which one must change. `on_purpose`: clips.
    `beside`: other files that it imports.
    """

    name: str
    repository: str
    commit: str
    path: str
    function: str
    network: str
    wrong: tuple[tuple[int, ...], ...] = ()
    on_purpose: tuple[int, ...] = ()
    flags: str = ""
    verdict: str = "disagrees"
    beside: tuple[str, ...] = ()
