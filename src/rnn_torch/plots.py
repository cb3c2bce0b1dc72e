"""Pictures. Needs matplotlib: the extra `plot`."""

from pathlib import Path

import numpy as np

from rnn_torch.examine import Report


def heat_map(report: Report, name: str, file: str | Path) -> None:
    """Draw where in time a backward pass goes wrong: (loss step, state step) against the bound.

    Raises:
        ModuleNotFoundError: matplotlib is not installed.
        OSError: the file cannot be written.
        ValueError: a file ending that matplotlib does not know, or a report without a location.
    """
    from matplotlib.colors import LinearSegmentedColormap, LogNorm
    from matplotlib.figure import Figure

    if report.where is None:
        raise ValueError("a report that is right has no location to draw")
    where = report.where
    time = len(where.states)
    # Below 1 is right, whatever its size: the colours begin where wrong begins.
    values = np.clip(np.nan_to_num(where.states, posinf=1e300), 1e-3, 1e300)
    causal = np.tril(np.ones((time, time), bool)) | where.wrong
    shown = np.ma.masked_array(values, ~causal)
    colours = LinearSegmentedColormap.from_list("wrong", ["#fde0b5", "#e6550d", "#7f0000"])
    colours.set_under("#d5e8d4")
    colours.set_bad("white")

    figure = Figure(figsize=(max(5.6, 0.62 * time + 2.4), max(3.9, 0.5 * time + 1.9)))
    axes = figure.add_subplot()
    steps = np.arange(time + 1) + 0.5
    top = max(10.0, float(values.max()))
    mesh = axes.pcolormesh(
        steps, steps, shown, cmap=colours, norm=LogNorm(1, top), edgecolors="white", linewidth=1
    )
    for t, s in np.argwhere(where.wrong & where.zero):
        axes.text(s + 1, t + 1, "0", ha="center", va="center", color="white")
    axes.set(xlabel="state step s", ylabel="loss step t", xticks=range(1, time + 1), aspect="equal")
    axes.set_yticks(range(1, time + 1))
    axes.invert_yaxis()
    axes.set_title(f"{name}: delta by loss and state step", fontsize=11)
    figure.colorbar(mesh, extend="min", label="times what rounding allows (green: right)")
    figure.text(0.5, 0.02, where.words(), ha="center", fontsize=8, wrap=True)
    figure.subplots_adjust(bottom=0.2)
    figure.savefig(file, dpi=150)
