"""Draw the time steps at which a gradient is wrong. Needs matplotlib (the extra `plot`)."""

import textwrap
from pathlib import Path
from typing import Any

import numpy as np

from bptt_check.candidate.escaping import shown
from bptt_check.commands.pictures import save
from bptt_check.judge.report import Report
from bptt_check.reports.panels import mark, panels

_MOST_PANELS = 4


def heat_map(report: Report, name: str, file: str | Path) -> None:
    """Draw the errors of a backward pass by loss step and state step, relative to the bound.

    Raises:
        ModuleNotFoundError: matplotlib is not installed.
        WeightsError: the file cannot be written.
        ValueError: matplotlib does not know the file's suffix, or the report has no location.
    """
    from matplotlib.colors import LinearSegmentedColormap, LogNorm
    from matplotlib.figure import Figure

    if report.where is None:
        raise ValueError("report must have a location to draw, got one without")
    where = report.where
    shown_panels = [p for p in panels(where) if p.wrong.any()][:_MOST_PANELS] or panels(where)[:1]
    shown_panels *= bool(where.cells)
    time, sums = where.steps, np.column_stack([*where.sums.values(), np.zeros((where.steps, 0))])
    shades = LinearSegmentedColormap.from_list("wrong", ["#fde0b5", "#e6550d", "#7f0000"])
    colours = shades.with_extremes(under="#d3e4f3", bad="white")
    # Values below 1 are right and get one colour; the scale starts at 1.
    fractions = np.concatenate([*(p.used.ravel() for p in shown_panels), sums.ravel()])
    top = float(np.nan_to_num(fractions, posinf=1e300).clip(10, 1e300).max())
    widths = [time] * len(shown_panels) + [sums.shape[1]] * bool(where.sums)
    size = max(6.4, 0.62 * sum(widths) + 2), max(4.1, 0.5 * time + 2)
    figure = Figure(figsize=size, layout="constrained")
    (all_axes,) = figure.subplots(1, len(widths), sharey=True, width_ratios=widths, squeeze=False)

    def draw(axes: Any, used: Any, zero: Any, shown_cells: Any) -> Any:
        edges = [np.arange(size + 1) + 0.5 for size in used.shape]
        values = np.ma.clip(np.ma.masked_array(used, ~shown_cells), 1e-3, top)
        look = {"cmap": colours, "norm": LogNorm(1, top), "edgecolors": "white", "linewidth": 1}
        mesh = axes.pcolormesh(edges[1], edges[0], values, **look)
        for t, s in np.argwhere(shown_cells):
            ink = "white" if used[t, s] > top**0.4 else "black"
            centred = {"ha": "center", "va": "center", "color": ink, "weight": "bold"}
            axes.text(s + 1, t + 1, mark(used[t, s], zero[t, s]).strip("."), **centred)
        return mesh

    for axes, panel in zip(all_axes, shown_panels, strict=False):
        causal = np.tril(np.ones((time, time), bool)) | panel.wrong
        mesh = draw(axes, panel.used, panel.zero, causal)
        axes.set(xlabel=f"{panel.label}: state step", xticks=range(1, time + 1))
    all_axes[0].set(ylabel="loss step", yticks=range(1, time + 1))
    all_axes[0].invert_yaxis()
    if where.sums:
        mesh = draw(all_axes[-1], sums, sums < 0, np.ones(sums.shape, bool))
        steps = range(1, 1 + sums.shape[1])
        all_axes[-1].set(xticks=steps, xticklabels=list(where.sums), xlabel="sums")
        all_axes[-1].tick_params(left=not shown_panels)
    label = "times what rounding allows\n(X and 0: wrong; blue: right; ?: cannot tell)"
    figure.colorbar(mesh, ax=[*all_axes], extend="min", label=label)
    figure.suptitle(textwrap.fill(shown(name), 60), fontsize=11, parse_math=False)
    figure.supxlabel(textwrap.fill(where.words, 90), fontsize=8)
    save(figure, file)
