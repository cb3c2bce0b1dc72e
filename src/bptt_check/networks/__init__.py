"""Definitions of recurrent networks: stock ones, and the decorator that declares your own."""

import inspect
from collections.abc import Callable, Iterator

from torch import Tensor

from bptt_check.networks.axes import Argument, Axis, floats, inputs, targets, tokens, upstream
from bptt_check.networks.elman import elman, relu, tanh
from bptt_check.networks.gru import gru
from bptt_check.networks.lstm import lstm
from bptt_check.networks.network import Evaluation, Network, network
from bptt_check.networks.problems import (
    CONDITIONS,
    Condition,
    Problem,
    designed,
    drawn,
    general,
    in_turn,
    random,
)
from bptt_check.networks.soundness import check_network

#: The stock networks by name: functions of their options that return a `Network`.
STOCK: dict[str, Callable[..., Network]] = {
    "elman": elman,
    "tanh": tanh,
    "relu": relu,
    "gru": gru,
    "lstm": lstm,
}


def stock(
    name: str, *, biases: bool = True, columns: bool = False, **options: str | bool
) -> Network:
    """A stock network: `options` are those of its function, such as `loss` or `order`.

    Args:
        name: elman, tanh, relu, gru or lstm.
        biases: whether b, c (and the GRU's d) are arguments; if not, they are 0.
        columns: examples are columns: every array is transposed, except for its time axis.
        options: `loss` for all; `reset` and `order` for gru; `order` and `peepholes` for lstm.

    Raises:
        ValueError: no such network, option or value.
    """
    if name not in STOCK:
        raise ValueError(f"network must be one of {', '.join(STOCK)}, got {name!r}")
    parameters = inspect.signature(STOCK[name]).parameters
    for option in options:
        if option not in parameters:
            raise ValueError(f"{name} has the options {', '.join(parameters)}, got {option!r}")
    found = STOCK[name](**options)
    if not biases:
        found = found.without(*(n for n in "bcd" if n in found.arguments and n not in found.zeros))
    return in_columns(found) if columns else found


def in_columns(rows: Network) -> Network:
    """The same network for examples in columns: `W h` for `h W`, every matrix transposed.

    Vectors become columns, `hidden 1`; tokens are unchanged.
    """

    def columns(**tensors: Tensor) -> Iterator[Tensor]:
        transposed = {n: t.mT if t.is_floating_point() else t for n, t in tensors.items()}
        yield from rows.function(**transposed)

    marks: dict[str, str | Argument] = {}
    for name, argument in rows.arguments.items():
        axes = argument.axes
        if argument.role != "tokens":
            pair = axes if len(axes) > 1 else (Axis.parse("1"), *axes)
            axes = (*pair[:-2], pair[-1], pair[-2])
        marks[name] = Argument(axes, argument.role, argument.below, argument.between)
    columns.__name__ = rows.name
    return network(**marks)(columns).without(*rows.zeros)


__all__ = [
    "CONDITIONS",
    "STOCK",
    "Argument",
    "Axis",
    "Condition",
    "Evaluation",
    "Network",
    "Problem",
    "check_network",
    "designed",
    "drawn",
    "elman",
    "floats",
    "general",
    "gru",
    "in_columns",
    "in_turn",
    "inputs",
    "lstm",
    "network",
    "random",
    "relu",
    "stock",
    "tanh",
    "targets",
    "tokens",
    "upstream",
]
