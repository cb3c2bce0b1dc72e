"""`sweep --plot`: how many networks get every sum right. Needs matplotlib, the extra `plot`."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from rnn_numpy.storage.pictures import save
from rnn_torch.many_networks.tables import Row, Setting


def sweep_plot(tables: Mapping[Setting, Sequence[Row]], file: str | Path) -> None:
    """Draw a line for each setting: the per cent of exact networks after each counted step.

    Args:
        tables: as `rnn_torch.many_networks.tables.summary`.
        file: written in the format of its suffix.

    Raises:
        ModuleNotFoundError: matplotlib is not installed.
        WeightsError: the file cannot be written.
        ValueError: matplotlib does not know the file's suffix.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import PercentFormatter

    figure = Figure(figsize=(7.2, 4.2), layout="constrained")
    axes = figure.subplots()
    # The title has the values that all settings share; the legend has the others.
    common = set.intersection(*(set(setting) for setting in tables))
    for setting, rows in tables.items():
        own = ", ".join(_in_words(*item) for item in setting if item not in common)
        steps = [0, *(row.step for row in rows)]
        share = [0.0, *(100 * row.exact / row.networks for row in rows)]
        networks = f"{rows[0].networks} networks"
        label = f"{own}: {networks}" if own else networks
        axes.plot(steps, share, marker="o", markersize=3, label=label)
    axes.set(xlabel="SGD steps", ylabel="networks that get every sum right", ylim=(-2, 102))
    axes.yaxis.set_major_formatter(PercentFormatter())
    axes.set_xlim(left=0)
    axes.grid(alpha=0.3)
    axes.legend()
    order = next(iter(tables))
    axes.set_title(", ".join(_in_words(*item) for item in order if item in common), fontsize=10)
    save(figure, file)


def _in_words(name: str, value: object) -> str:
    """A value of a setting, with its unit."""
    words = {
        "bits": "{} bits",
        "hidden": "{} hidden units",
        "iterations": "{} steps",
        "learning_rate": "learning rate {:g}",
        "dtype": "{}",
        "batch_size": "{} examples a step",
    }
    return words[name].format(value)
