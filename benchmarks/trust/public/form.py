"""The form in which a published pass is described, and what its adapter calls."""

import os
from typing import Any, NamedTuple

from bptt_check.candidate.loading import load_function


class Pass(NamedTuple):
    """A backward pass in a file of a repository.

    `source` is OWNER/NAME/COMMIT. `network` is of the module that declares this: `name`, if not
    given. `function` is of the published file: `name` of the adapter, if not given. Lines are
    numbers of the published file, also of a notebook, as text. Each item of `wrong` is a mistake:
    the lines of which one must change. `on_purpose`: clips. `beside`: other files that it imports.
    """

    name: str
    source: str
    path: str
    function: str = ""
    network: str = ""
    flags: str = ""
    wrong: tuple[tuple[int, ...], ...] = ()
    on_purpose: tuple[int, ...] = ()
    beside: tuple[str, ...] = ()


def published(name: str) -> Any:
    """This function or class of the published file that is checked."""
    return load_function(os.environ["PUBLISHED"], name, definitions_only=True)
