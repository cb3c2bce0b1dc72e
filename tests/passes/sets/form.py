"""Hand-written backward passes as text, and the mistakes that people make in their lines."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from rnn_torch.networks import Network
from tests.passes.edits import edited

HEAD = "import numpy as np\ndef sigmoid(a): return 1 / (1 + np.exp(-a))\n"
#: KEY: the right text => the wrong one, and the sentences that say what is wrong.
_MISTAKE = re.compile(r"^(\w+): (.+?)(?:\n )? =>(?: (.*))?\n((?:  ~ .+\n)+)", re.MULTILINE)


class Mistake(NamedTuple):
    """A right piece of a pass and the wrong one.

    `named` is a regular expression of the sentences that say what is wrong, in whatever words:
    mistakes that give the same gradients are the same mistake.
    """

    right: str
    wrong: str
    named: str

    @property
    def what(self) -> str:
        """The edit that makes it."""
        return f"{self.right} => {self.wrong}"


@dataclass(frozen=True, eq=False)
class Pass:
    """A right pass of a network; the last function of `text` is asked.

    `sets` are mistakes made at once: two to five keys of `mistakes`, a set a line.
    """

    name: str
    network: Network
    text: str
    table: str
    sets_of_keys: str

    @cached_property
    def mistakes(self) -> dict[str, Mistake]:
        """The mistakes of the table by their keys."""
        return {
            key: Mistake(right, wrong, "|".join(re.findall("  ~ (.+)", named)))
            for key, right, wrong, named in _MISTAKE.findall(self.table)
        }

    @property
    def sets(self) -> list[list[str]]:
        """The keys of each set."""
        return [line.split() for line in self.sets_of_keys.split("\n") if line.strip()]

    def made(self, *keys: str) -> Callable[..., Any]:
        """The pass with these mistakes, without a source.

        Raises:
            ValueError: the right text of a mistake is not there once.
        """
        changes = ((m.right, m.wrong) for m in map(self.mistakes.__getitem__, keys))
        space: dict[str, Any] = {}
        exec(HEAD + edited(self.text, changes), space)
        function: Callable[..., Any] = [v for v in space.values() if callable(v)][-1]
        return function
