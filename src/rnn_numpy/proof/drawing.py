"""A minimised machine, drawn: as a matplotlib figure, and as Graphviz text."""

from typing import Any

import numpy as np

from rnn_numpy.proof.machine import Minimal
from rnn_numpy.tasks.targets import Target

COLOURS = ("#1f6fb4", "#d9541e")


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


def machine_figure(minimal: Minimal, target: Target) -> Any:
    """A matplotlib figure of the machine: its states in a row, an arrow for the inputs between two.

    Raises:
        ModuleNotFoundError: matplotlib, the extra `plot`, is not installed.
    """
    from matplotlib.figure import Figure
    from matplotlib.patches import FancyArrowPatch

    count = len(minimal.next)
    figure = Figure(figsize=(2.6 * count + 2, 3.4 + 0.25 * max(count - 2, 0)))
    axes = figure.subplots()
    for state in range(count):
        axes.text(
            2 * state,
            0,
            str(state),
            ha="center",
            va="center",
            size=16,
            zorder=3,
            bbox={"boxstyle": "circle,pad=0.6", "fc": "white", "ec": COLOURS[state % 2], "lw": 2},
        )
    style: dict[str, Any] = {
        "arrowstyle": "-|>",
        "mutation_scale": 16,
        "color": "#444444",
        "lw": 1.3,
    }
    axes.add_patch(FancyArrowPatch((-1.1, 0), (-0.25, 0), **style))  # where it begins
    for (state, to), label in edges(minimal, target).items():
        lines = label.split("  ")
        if state == to:
            ends = (2 * state - 0.16, 0.26), (2 * state + 0.16, 0.26)
            bend, middle, above = -2.4, (2 * state, 1.05), True
        else:
            side = 1 if to > state else -1
            ends = (2 * state + 0.21 * side, 0.15 * side), (2 * to - 0.21 * side, 0.15 * side)
            reach = abs(to - state)
            bend = -0.35 - 0.1 * (reach - 1)
            middle, above = (state + to, side * (0.62 + 0.5 * (reach - 1))), side > 0
        curve = f"arc3,rad={bend}"
        axes.add_patch(FancyArrowPatch(*ends, connectionstyle=curve, **style))
        axes.text(*middle, "\n".join(lines), ha="center", va="bottom" if above else "top", size=11)
    height = 1.9 + 0.45 * max(count - 2, 0)
    axes.set(xlim=(-1.4, 2 * count - 0.6), ylim=(0.7 - height, height))
    axes.axis("off")
    operands = "ab"[: target.operands]
    axes.set_title(f"{target.text.format(*operands)}: inputs {operands} / output", fontsize=11)
    return figure
