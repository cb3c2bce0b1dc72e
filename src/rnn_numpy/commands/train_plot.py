"""`train --plot`: a network learning to carry (needs matplotlib).

Above: the loss (5) and the exact sums during the training. Below: the hidden states of the trained
network, coloured by the carry, which it was never shown.
"""

from pathlib import Path
from typing import Any

import numpy as np

from bptt_check.commands.pictures import save
from rnn_numpy.elman_network.model import absolute_error, forward
from rnn_numpy.elman_network.params import Params
from rnn_numpy.tasks.addition import encode
from rnn_numpy.tasks.exact_sums import count

COLOURS = ("#1f6fb4", "#d9541e")
#: Up to this size all sums are tried at each logged step, beyond it the sums of the loss.
_MOST_BITS = 8
_SUMS, _STEPS = 512, 2000


class Learning:
    """The curve of a training: mean loss of an example and share of exact sums, by step."""

    def __init__(self, bits: int) -> None:
        self.bits = bits
        self.steps: list[int] = []
        self.losses: list[float] = []
        self.exact: list[float] = []  # per cent
        a, b = np.random.RandomState(0).randint(2 ** (bits - 1), size=(2, _SUMS), dtype=np.int64)
        self._x, self._y = encode(a.tolist(), b.tolist(), bits)

    @property
    def tried(self) -> int:
        """The number of sums that are tried at each step."""
        return 4 ** (self.bits - 1) if self.bits <= _MOST_BITS else _SUMS

    def add(self, step: int, params: Params) -> None:
        """Measure the network with these weights."""
        outputs, _ = forward(params, self._x)
        right = ((outputs > 0.5) == (self._y > 0.5)).all(axis=(0, 2)).sum()
        if self.bits <= _MOST_BITS:
            right = count(params, self.bits).exact
        self.steps.append(step)
        self.losses.append(float(absolute_error(outputs, self._y)) / _SUMS)
        self.exact.append(100 * float(right) / self.tried)

    def draw(self, axes: Any) -> None:
        """Draw the curve."""
        from matplotlib.ticker import PercentFormatter

        label = "mean loss of an example (5)"
        (loss,) = axes.plot(self.steps, self.losses, color=COLOURS[1], label=label)
        axes.set(xlabel="SGD steps", ylabel=label)
        axes.set_ylim(bottom=0)
        beside = axes.twinx()
        (right,) = beside.plot(self.steps, self.exact, color=COLOURS[0], label="exact sums")
        beside.set(ylabel=f"exact sums of {self.tried:,}", ylim=(-2, 103))
        beside.yaxis.set_major_formatter(PercentFormatter())
        axes.grid(alpha=0.3)
        axes.legend(handles=[loss, right], loc="center right")


def draw_states(axes: Any, params: Params) -> None:
    """Draw the states during one long sum by their first two principal components, by carry."""
    rng = np.random.default_rng(0)
    x = rng.integers(2, size=(_STEPS, 1, 2)).astype(params.W.dtype)
    states = forward(params, x)[1].states[1:, 0]
    carries, now = np.zeros(_STEPS, np.int64), 0
    for t, (a_t, b_t) in enumerate(x[:, 0].astype(int)):
        carries[t] = now = (a_t + b_t + now) >> 1
    centred = states - states.mean(axis=0)
    _, singular, directions = np.linalg.svd(centred, full_matrices=False)
    share = np.append(singular, 0) ** 2 / np.square(singular).sum()
    places = centred @ np.vstack([directions, directions])[:2].T
    for carry, (colour, marker) in enumerate(zip(COLOURS, "o^", strict=True)):
        chosen = places[carries == carry]
        label = ("no carry", "carry")[carry]
        look = {"s": 12, "alpha": 0.5, "lw": 0, "marker": marker}
        axes.scatter(chosen[:, 0], chosen[:, 1], color=colour, label=label, **look)
    axes.set(
        xlabel=f"first principal component ({share[0]:.0%} of the variance)",
        ylabel=f"second ({share[1]:.0%})",
        title=f"the {states.shape[1]} hidden units after each of {_STEPS:,} steps of one sum",
    )
    axes.legend(markerscale=2)


def train_plot(learning: Learning, params: Params, file: str | Path) -> None:
    """Draw a training and its network; raises as `pictures.check_format` and `write_bytes`."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.8, 8), layout="constrained")
    above, below = figure.subplots(2)
    learning.draw(above)
    draw_states(below, params)
    save(figure, file)
