"""Draw where in time a gradient is wrong. Needs matplotlib: the extra `plot`."""

import textwrap
from pathlib import Path

import numpy as np

from rnn_numpy.isolation.strangers import shown
from rnn_numpy.storage.pictures import save
from rnn_torch.checker.examine import Report


def heat_map(report: Report, name: str, file: str | Path) -> None:
    """Draw where in time a backward pass goes wrong: (loss step, state step) against the bound.

    Raises:
        ModuleNotFoundError: matplotlib is not installed.
        WeightsError: the file cannot be written.
        ValueError: a file ending that matplotlib does not know, or a report without a location.
    """
    from matplotlib.colors import LinearSegmentedColormap, LogNorm
    from matplotlib.figure import Figure

    if report.where is None:
        raise ValueError("a report that is right has no location to draw")
    where = report.where
    time = len(where.states)
    causal = np.tril(np.ones((time, time), bool)) | where.wrong
    weights = np.column_stack([where.dW, where.dV])
    shades = LinearSegmentedColormap.from_list("wrong", ["#fde0b5", "#e6550d", "#7f0000"])
    colours = shades.with_extremes(under="#d5e8d4", bad="white")
    # Below 1 is right, whatever its size: the colours begin where wrong begins.
    everything = np.concatenate([where.states, weights], axis=1)
    top = max(10.0, float(np.clip(np.nan_to_num(everything, posinf=1e300), 0, 1e300).max()))

    figure = Figure(figsize=(max(6.4, 0.62 * time + 3.2), max(4.1, 0.5 * time + 2)))
    axes, beside = figure.subplots(
        1, 2, sharey=True, gridspec_kw={"width_ratios": [time, 2], "wspace": 0.08}
    )
    for panel, values in (
        (axes, np.ma.masked_array(where.states, ~causal)),
        (beside, np.ma.masked_array(weights)),
    ):
        edges = [np.arange(size + 1) + 0.5 for size in values.shape]
        mesh = panel.pcolormesh(
            edges[1],
            edges[0],
            np.ma.clip(values, 1e-3, top),
            cmap=colours,
            norm=LogNorm(1, top),
            edgecolors="white",
            linewidth=1,
        )
    for t, s in np.argwhere(where.wrong & where.zero):
        axes.text(s + 1, t + 1, "0", ha="center", va="center", color="white")
    axes.set(xlabel="delta: state step", ylabel="loss step", xticks=range(1, time + 1))
    axes.set_yticks(range(1, time + 1))
    axes.invert_yaxis()
    beside.set(xticks=[1, 2], xticklabels=["dW", "dV"], xlabel="sums")
    beside.tick_params(left=False)
    figure.colorbar(
        mesh, ax=[axes, beside], extend="min", label="times what rounding allows (green: right)"
    )
    figure.suptitle(textwrap.fill(shown(name), 60), fontsize=11, parse_math=False)
    figure.text(0.5, 0.02, textwrap.fill(where.words(), 90), ha="center", fontsize=8)
    figure.subplots_adjust(bottom=0.22, right=0.72)
    save(figure, file)
