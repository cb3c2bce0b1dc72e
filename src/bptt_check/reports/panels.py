"""Group the matrices of a `Where` into panels: gates wrong in the same cells share one."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from bptt_check.judge.asking import Vote, Where


class Panel(NamedTuple):
    """Errors as fractions of what rounding allows, by loss step (row) and state step (column)."""

    label: str
    used: Float[np.ndarray, "losses states"]
    zero: Bool[np.ndarray, "losses states"]
    finals: Mapping[str, np.ndarray] = {}  # of a layer's final states

    @property
    def wrong(self) -> Bool[np.ndarray, "losses states"]:
        """Which cells are wrong."""
        return self.used > 1

    @property
    def has_wrong(self) -> bool:
        """Whether anything is wrong in it."""
        return bool(self.wrong.any()) or any((row > 1).any() for row in self.finals.values())


def mark(used: float, zero: bool = False) -> str:
    """`.` right, `X` wrong, `0` wrong and exactly zero, `?` where rounding may exceed it."""
    if np.isnan(used):
        return "?"
    return "." if used <= 1 else "0" if zero else "X"


def panels(where: Where) -> list[Panel]:
    """A panel for each pattern of wrong cells, with the largest fractions of its labels.

    One without states, if nothing was split by state step.
    """
    groups: dict[bytes, list[str]] = {}
    for label, used in where.cells.items():
        parts = [used, *(rows[label] for rows in where.finals.values())]
        pattern = b"".join((part > 1).tobytes() + np.isnan(part).tobytes() for part in parts)
        groups.setdefault(pattern, []).append(label)
    found = []
    for labels in groups.values():
        used = np.max([where.cells[label] for label in labels], axis=0)
        zero = np.all([where.zero[label] for label in labels], axis=0)
        finals = {
            n: np.max([rows[label] for label in labels], 0) for n, rows in where.finals.items()
        }
        found.append(Panel(_joined(labels), used, zero, finals))
    none = np.zeros((where.steps, 0))
    return sorted(found, key=lambda panel: not panel.has_wrong) or [Panel("", none, none > 1)]


def _joined(labels: Sequence[str]) -> str:
    """Join `dU, gate i`, `dU, gate f` and `dx` to `dU, gates i, f; dx`."""
    by_name: dict[str, list[str]] = {}
    for label in labels:
        name, _, gate = label.partition(", gate ")
        by_name.setdefault(name, []).append(gate)
    parts = []
    for name, gates in by_name.items():
        gates_text = f", gate{'s' * (len(gates) > 1)} {', '.join(gates)}" if any(gates) else ""
        parts.append(name + gates_text)
    return "; ".join(parts)


def in_words(found: Sequence[Vote]) -> str:
    """One line: which methods agree with autograd, and which with yours."""
    for_autograd = [v.method for v in found if v.autograd_is_right and not v.yours_is_right]
    for_yours = [v.method for v in found if v.yours_is_right and not v.autograd_is_right]
    undecided = [v.method for v in found if v.autograd_is_right == v.yours_is_right]
    line = f"autograd, {', '.join(for_autograd)} agree" if for_autograd else "autograd stands alone"
    if for_yours:
        line += f"; with yours: {', '.join(for_yours)}"
    elif for_autograd:
        line += "; yours stands alone"
    return line + (f" ({', '.join(undecided)} cannot tell)" if undecided else "")
