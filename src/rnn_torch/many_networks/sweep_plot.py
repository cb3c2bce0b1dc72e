"""Draw the number of exact networks against the steps. Needs matplotlib: the extra `plot`."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from rnn_numpy.storage.pictures import save
from rnn_torch.many_networks.tables import Row, Setting


def sweep_plot(tables: Mapping[Setting, Sequence[Row]], file: str | Path) -> None:
    """Draw how many networks of a sweep add exactly after each counted step, a line a setting.

    Raises:
        ModuleNotFoundError: matplotlib is not installed.
        WeightsError: the file cannot be written.
        ValueError: a file ending that matplotlib does not know.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import PercentFormatter

    figure = Figure(figsize=(7.2, 4.2), layout="constrained")
    axes = figure.subplots()
    # What all settings share goes into the title, the rest into the legend.
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
    words = {
        "bits": "{} bits",
        "hidden": "{} hidden units",
        "iterations": "{} steps",
        "learning_rate": "learning rate {:g}",
        "dtype": "{}",
        "batch_size": "{} examples a step",
    }
    return words[name].format(value)
