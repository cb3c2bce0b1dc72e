"""A mistake of a backward pass as data: the part that is changed, a named change, and the steps.

`changes` runs it, catalogue/words.py words it; the names in it are for the words alone.
"""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

Edge = tuple[int, Any]  # a site, and the position of one of its arguments
OWN = -1  # the site of the changed operation


class Quantity(NamedTuple):
    """What a site computes in a step, or takes as argument `j`.

    `shift`: of another step (`changes.SHIFTS`). `form`: such as 1 - v (`changes.OF_VALUE`).
    """

    name: str
    site: int = OWN
    j: Any = None
    shift: str = ""
    form: str = "v"


class Part(NamedTuple):
    """What a mistake changes; `label` is its name.

    - "path": what operations contribute to an argument, `operand`, of which `leaf` says whether it
      is to be differentiated; `factor` is the other factor of a product;
    - "uses": several contributions; "sources": those that the gradient of `site` is the sum of;
    - "carry": the error passed back to states, and contributions that belong to it;
    - "loss": the losses of the steps; "window": how many steps an error is passed back;
    - "answer": finished gradients, `names`; "arguments": of the forward pass;
    - "operation": of the forward pass, a site; "taken": its value, in the backward pass alone.
    """

    kind: str
    label: str = ""
    edges: tuple[Edge, ...] = ()
    states: tuple[int, ...] = ()
    names: tuple[str, ...] = ()
    site: int = -1
    op: str = ""
    operand: str = ""
    factor: str = ""
    leaf: bool = False


@dataclass(frozen=True, slots=True)
class Mistake:
    """A change, by its name in `changes` and its parameters, of a part of the right backward pass.

    `step`: the steps at which it is made (`changes.STEPS`). `rank`: small for what is reported
    first. `where`: the network's source line. The last two are no part of what it is.
    """

    part: Part
    change: str
    by: tuple[Any, ...] = ()
    step: str = ""
    rank: int = field(default=5, compare=False)
    where: str = field(default="", compare=False)

    @property
    def forward(self) -> bool:
        """Whether another forward pass is differentiated, or its values are wrong."""
        return self.part.kind in ("operation", "taken", "arguments")

    def __add__(self, other: "Mistake") -> "Mistakes | None":
        """Both mistakes at once; None if they change the same contribution."""
        return None if _changed(self) & _changed(other) else (self, other)


Mistakes = tuple[Mistake, ...]


_SEVERAL = {"answer", "path", "uses", "carry", "source"}  # kinds of which several can be made


def _changed(mistake: Mistake) -> set[Any]:
    """What no other mistake can change at the same time: not so a finished gradient."""
    part = mistake.part
    alone = {"forward"} if mistake.forward else {part.kind} - _SEVERAL
    return {*part.edges, *part.states, *alone}
