"""The Elman layer as one differentiable operation with a hand-written backward, for speed.

`elman` supports what a loop of torch operations under autograd (`model.ElmanRNN`) does: forward and
backward, higher derivatives (`create_graph`), forward mode, `torch.func` (`vmap` over examples or
networks), and `torch.compile(fullgraph=True)` with one operation in the graph for any number of
steps. Only the hidden states are stored.

`autograd_functions.py` has the derivatives, `recurrence.py` the loops over time.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from rnn_numpy.elman_network.checks import check_shape
from rnn_torch.elman_network.model import ElmanRNN
from rnn_torch.fused import custom_ops
from rnn_torch.fused.autograd_functions import (
    Layer,
    LayerInFunc,
    apply,
    forward_levels,
    step_by_step,
    transformed,
)


def elman(
    x: Float[Tensor, "time batch n_in"],
    U: Float[Tensor, "n_in hidden"],
    W: Float[Tensor, "hidden hidden"],
    h_0: Float[Tensor, "batch hidden"] | None = None,
) -> Float[Tensor, "time batch hidden"]:
    """The states h_1 ... h_T of (1) and (2), differentiable in every argument.

    Raises:
        TypeError: the arguments have different dtypes or devices.
        ValueError: the shapes do not match.
    """
    _check(x, U, W, h_0)
    compiling = torch.compiler.is_compiling()
    if not compiling and not transformed(x):
        return apply(Layer, x, U, W, h_0)
    if h_0 is None:
        h_0 = x.new_zeros(x.shape[1], W.shape[1])
    if compiling and not torch._C._are_functorch_transforms_active():
        return custom_ops.elman(x, U, W, h_0)
    # The compiler takes torch.func apart itself, and operators cannot follow it there. And of a
    # forward derivative's forward derivative torch gives 0 for any operation with a jvp of its own.
    if compiling or forward_levels() > 1:
        return step_by_step(x, U, W, h_0)
    return apply(LayerInFunc, x, U, W, h_0)


class FusedElmanRNN(ElmanRNN):
    """`ElmanRNN` with `elman` as its layer: the same parameters, results and errors."""

    def forward(
        self,
        x: Float[Tensor, "time batch n_in"],
        h_0: Float[Tensor, "batch hidden"] | None = None,
    ) -> tuple[Float[Tensor, "time batch n_out"], Float[Tensor, "time batch hidden"]]:
        """As `ElmanRNN.forward`."""
        self._check(x, h_0)
        states = elman(x, self.U, self.W, h_0)
        return torch.sigmoid(states @ self.V), states  # (3)


def _check(x: Tensor, U: Tensor, W: Tensor, h_0: Tensor | None) -> None:
    """Raise unless the shapes, dtypes and devices of the arguments match."""
    shapes, kinds = [x.shape, U.shape, W.shape], {x.dtype, U.dtype, W.dtype}
    devices = {x.device, U.device, W.device}
    if h_0 is not None:
        shapes.append(h_0.shape)
        kinds.add(h_0.dtype)
        devices.add(h_0.device)
    if len(shapes[0]) == 3 and 0 not in shapes[0] and len(shapes[1]) == 2:
        (_, batch, n_in), hidden = shapes[0], shapes[1][1]
        fitting = [(n_in, hidden), (hidden, hidden), (batch, hidden)]
        if all(map(tuple.__eq__, shapes[1:], fitting)) and len(kinds) == len(devices) == 1:
            return
    check_shape("x", tuple(x.shape), {"time": None, "batch": None, "n_in": None})
    check_shape("U", tuple(U.shape), {"n_in": x.shape[2], "hidden": None})
    hidden = U.shape[1]
    check_shape("W", tuple(W.shape), {"hidden": hidden, "hidden ": hidden})
    if h_0 is not None:
        check_shape("h_0", tuple(h_0.shape), {"batch": x.shape[1], "hidden": hidden})
    raise TypeError(
        "x, U, W and h_0 must have one dtype and one device, got "
        f"{', '.join(sorted(map(str, kinds)))} on {', '.join(sorted(map(str, devices)))}"
    )
