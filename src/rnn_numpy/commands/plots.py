"""Figures of training and proofs. Needs matplotlib: the extra `plot`.

Each raises ModuleNotFoundError without matplotlib, WeightsError where the file cannot be written,
and ValueError for a file ending that matplotlib does not know. `rnn_torch.reports.heat_map`
draws those of a check.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int64

from rnn_numpy.proof.drawing import edges
from rnn_numpy.proof.machine import Minimal
from rnn_numpy.storage.pictures import save
from rnn_numpy.tasks.targets import Target

COLOURS = ("#1f6fb4", "#d9541e")


def machine_plot(minimal: Minimal, target: Target, file: str | Path) -> None:
    """Draw a minimised machine: its states in a row, an arrow for the inputs between two."""
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
    save(figure, file, bbox_inches="tight")


def carry_plot(
    states: Float[np.ndarray, "steps hidden"],
    carries: Int64[np.ndarray, " steps"],
    file: str | Path,
) -> None:
    """Draw hidden states by their first two principal components, coloured by the carry."""
    from matplotlib.figure import Figure

    centred = states - states.mean(axis=0)
    _, singular, directions = np.linalg.svd(centred, full_matrices=False)
    share = singular**2 / np.square(singular).sum()
    places = centred @ directions[:2].T
    figure = Figure(figsize=(6.4, 4.6), layout="constrained")
    axes = figure.subplots()
    for carry, colour in enumerate(COLOURS):
        chosen = places[carries == carry]
        axes.scatter(
            chosen[:, 0], chosen[:, 1], s=9, alpha=0.5, color=colour, lw=0, label=f"carry {carry}"
        )
    axes.set(
        xlabel=f"first principal component ({share[0]:.0%} of the variance)",
        ylabel=f"second ({share[1]:.0%})",
        title=f"the {states.shape[1]} hidden units after each of {len(states):,} steps of one sum",
    )
    axes.legend(markerscale=2)
    save(figure, file)


def length_plot(
    lengths: Sequence[int], shares: Mapping[str, Sequence[float]], file: str | Path
) -> None:
    """Draw which share of some sums is right, against the operands' length."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import PercentFormatter

    figure = Figure(figsize=(6.8, 4.2), layout="constrained")
    axes = figure.subplots()
    styles = [(COLOURS[0], "o-", 2.4), *[(c, ".-", 1.3) for c in ("#d9541e", "#e08a1e", "#9a3324")]]
    for (name, share), (colour, style, width) in zip(shares.items(), styles, strict=False):
        percent = [100 * one for one in share]
        axes.plot(lengths, percent, style, color=colour, lw=width, label=name)
    axes.set_xscale("log", base=2)
    axes.set_xticks(lengths, [f"{n:,}" for n in lengths], rotation=45)
    axes.yaxis.set_major_formatter(PercentFormatter())
    axes.set(xlabel="bits of an operand", ylabel="sums with every bit right")
    axes.set_ylim(-2, 103)
    axes.grid(alpha=0.3)
    axes.legend()
    save(figure, file)


def learning_plot(
    steps: Sequence[int], losses: Sequence[float], exact: Sequence[float], file: str | Path
) -> None:
    """Draw loss (5), on average over some steps, and the share of exact sums over training."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import PercentFormatter

    figure = Figure(figsize=(6.8, 4.2), layout="constrained")
    axes = figure.subplots()
    (loss,) = axes.plot(steps, losses, color=COLOURS[1], label="mean loss of an example (5)")
    axes.set(xlabel="SGD steps", ylabel="mean loss of an example (5)", xlim=(0, steps[-1]))
    axes.set_ylim(bottom=0)
    beside = axes.twinx()
    (right,) = beside.plot(steps, [100 * e for e in exact], color=COLOURS[0], label="exact sums")
    beside.set(ylabel="exact sums of all 16,384", ylim=(-2, 103))
    beside.yaxis.set_major_formatter(PercentFormatter())
    axes.grid(alpha=0.3)
    axes.legend(handles=[loss, right], loc="center right")
    save(figure, file)
