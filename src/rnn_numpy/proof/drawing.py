"""A minimised machine as Graphviz text; `plots.py` draws it."""

import numpy as np

from rnn_numpy.proof.machine import Minimal
from rnn_numpy.tasks.targets import Target


def input_names(target: Target, between: str) -> list[str]:
    """Each input as its operands' bits, with something between them."""
    every = target.bits(np.arange(2**target.operands))
    return [between.join(map(str, bits)) for bits in every.tolist()]


def edges(minimal: Minimal, target: Target) -> dict[tuple[int, int], str]:
    """For each (state, next state) the inputs that lead there and what is said: `01/1`.

    An input is written as one digit for each operand, the first operand's first.
    """
    labels: dict[tuple[int, int], list[str]] = {}
    names = input_names(target, "")
    for state, (following, said) in enumerate(zip(minimal.next, minimal.output, strict=True)):
        for digits, to, bit in zip(names, following, said, strict=True):
            labels.setdefault((state, int(to)), []).append(f"{digits}/{bit}")
    return {ends: "  ".join(some) for ends, some in labels.items()}


def dot(minimal: Minimal, target: Target) -> str:
    """The machine in Graphviz's language."""
    lines = [
        "digraph machine {",
        f'  label="{target.name}: inputs/output";',
        "  rankdir=LR;",
        "  node [shape=circle];",
        "  begin [shape=point];",
        "  begin -> 0;",
    ]
    for (state, to), label in edges(minimal, target).items():
        lines.append(f'  {state} -> {to} [label="{label}"];')
    return "\n".join([*lines, "}", ""])
