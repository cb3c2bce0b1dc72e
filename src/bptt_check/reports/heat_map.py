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
    time, sums = where.steps, np.column_stack([*where.sums.values(), np.zeros((where.steps, 0))])
    shades = LinearSegmentedColormap.from_list("wrong", ["#fde0b5", "#e6550d", "#7f0000"])
    colours = shades.with_extremes(under="#d3e4f3", bad="white")
    # Values below 1 are right and get one colour; the scale starts at 1.
    fractions = np.concatenate([*(p.used.ravel() for p in shown_panels), sums.ravel()])
    top = float(np.nan_to_num(fractions, posinf=1e300).clip(10, 1e300).max())
    widths = [time] * len(shown_panels) + [max(1, sums.shape[1])]
    size = max(6.4, 0.62 * sum(widths) + 2), max(4.1, 0.5 * time + 2)
    figure = Figure(figsize=size, layout="constrained")
    *all_axes, sum_axes = figure.subplots(1, len(widths), sharey=True, width_ratios=widths)

    def draw(axes: Any, values: Any) -> Any:
        edges = [np.arange(size + 1) + 0.5 for size in values.shape]
        clipped = np.ma.clip(values, 1e-3, top)
        look = {"cmap": colours, "norm": LogNorm(1, top), "edgecolors": "white", "linewidth": 1}
        return axes.pcolormesh(edges[1], edges[0], clipped, **look)

    def write(axes: Any, t: int, s: int, used: float, zero: bool = False) -> None:
        ink = "white" if used > top**0.4 else "black"
        look = {"ha": "center", "va": "center", "color": ink, "weight": "bold"}
        axes.text(s + 1, t + 1, mark(used, zero).strip("."), **look)

    for axes, panel in zip(all_axes, shown_panels, strict=True):
        causal = np.tril(np.ones((time, time), bool)) | panel.wrong
        mesh = draw(axes, np.ma.masked_array(panel.used, ~causal))
        for t, s in np.argwhere(causal):
            write(axes, t, s, panel.used[t, s], panel.zero[t, s])
        axes.set(xlabel=f"{panel.label}: state step", xticks=range(1, time + 1))
    all_axes[0].set(ylabel="loss step", yticks=range(1, time + 1))
    all_axes[0].invert_yaxis()
    if sums.shape[1]:
        draw(sum_axes, np.ma.masked_array(sums))
        for (t, s), used in np.ndenumerate(sums):
            write(sum_axes, t, s, used)
        steps = range(1, 1 + sums.shape[1])
        sum_axes.set(xticks=steps, xticklabels=list(where.sums), xlabel="sums")
        sum_axes.tick_params(left=False)
    else:
        sum_axes.set_axis_off()
    label = "times what rounding allows\n(X and 0: wrong; blue: right; ?: cannot tell)"
    figure.colorbar(mesh, ax=[*all_axes, sum_axes], extend="min", label=label)
    figure.suptitle(textwrap.fill(shown(name), 60), fontsize=11, parse_math=False)
    figure.supxlabel(textwrap.fill(where.words, 90), fontsize=8)
    save(figure, file)
