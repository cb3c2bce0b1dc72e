"""The same Elman RNN as a torch.nn.Module: equations (1)-(5), and the gradient by autograd.

It is the reference for the hand-written backward pass, so it imports nothing from
`rnn_numpy.elman_network.model` and contains no derivative.
"""

from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from rnn_numpy.elman_network.checks import check_shape
from rnn_numpy.elman_network.params import Params, check_params

Model = TypeVar("Model", bound="ElmanRNN")


class ElmanRNN(nn.Module):
    """An Elman RNN without biases: `h_t = sigmoid(x_t U + h_{t-1} W)`, `o_t = sigmoid(h_t V)`.

    Parameters, in the layout of `rnn_numpy.Params`: U (n_in, hidden), W (hidden, hidden),
    V (hidden, n_out), drawn from a standard normal. Works on any device and in any floating dtype.
    """

    def __init__(
        self,
        n_in: int = 2,
        hidden: int = 16,
        n_out: int = 1,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        for name, size in (("n_in", n_in), ("hidden", hidden), ("n_out", n_out)):
            if size < 1:
                raise ValueError(f"{name} must be at least 1, got {size}")
        self.U = nn.Parameter(torch.randn(n_in, hidden, device=device, dtype=dtype))
        self.W = nn.Parameter(torch.randn(hidden, hidden, device=device, dtype=dtype))
        self.V = nn.Parameter(torch.randn(hidden, n_out, device=device, dtype=dtype))

    @classmethod
    def from_params(
        cls: type[Model],
        params: Params,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> Model:
        """A copy of these weights, in their own dtype by default; raises as `check_params`."""
        check_params(params)
        model = cls.__new__(cls)
        nn.Module.__init__(model)
        for name, array in zip(Params._fields, params, strict=True):
            tensor = torch.tensor(array, device=device, dtype=dtype)
            model.register_parameter(name, nn.Parameter(tensor))
        return model

    def to_params(self) -> Params:
        """A copy of the weights as NumPy arrays; TypeError if not float32 or float64."""
        if self.W.dtype not in (torch.float32, torch.float64):
            raise TypeError(
                f"Params are float32 or float64, these weights are {self.W.dtype}: "
                "convert a copy with .to(torch.float32)?"
            )
        return Params(*(np.array(p.numpy(force=True)) for p in (self.U, self.W, self.V)))

    def forward(
        self,
        x: Float[Tensor, "time batch n_in"],
        h_0: Float[Tensor, "batch hidden"] | None = None,
    ) -> tuple[Float[Tensor, "time batch n_out"], Float[Tensor, "time batch hidden"]]:
        """The outputs o_1 ... o_T and the states h_1 ... h_T; h_0 is zero if left out.

        Raises:
            TypeError, ValueError: the inputs' dtype, device or shape is not that of the weights.
        """
        self._check(x, h_0)
        h, states = x.new_zeros(x.shape[1], len(self.W)) if h_0 is None else h_0, []
        for x_t in x.unbind():
            h = torch.sigmoid(x_t @ self.U + h @ self.W)  # (1), (2)
            states.append(h)
        stacked = torch.stack(states)
        return torch.sigmoid(stacked @ self.V), stacked  # (3)

    def extra_repr(self) -> str:
        """The sizes, for `print(model)`."""
        n_in, hidden = self.U.shape
        return f"n_in={n_in}, hidden={hidden}, n_out={self.V.shape[1]}, dtype={self.W.dtype}"

    def _check(self, x: Tensor, h_0: Tensor | None) -> None:
        n_in, hidden = self.U.shape
        check_shape("x", tuple(x.shape), {"time": None, "batch": None, "n_in": n_in})
        self._check_kind("x", x)
        if h_0 is not None:
            check_shape("h_0", tuple(h_0.shape), {"batch": x.shape[1], "hidden": hidden})
            self._check_kind("h_0", h_0)

    def _check_kind(self, name: str, tensor: Tensor) -> None:
        dtype, device = self.W.dtype, self.W.device
        if tensor.dtype != dtype:
            raise TypeError(
                f"{name} must be {dtype} like the weights, got {tensor.dtype}: "
                f"pass {name}.to({dtype})?"
            )
        if tensor.device != device:
            raise TypeError(
                f"{name} must be on {device} like the weights, got {tensor.device}: "
                f"pass {name}.to({str(device)!r})?"
            )


def squared_error(
    outputs: Float[Tensor, "*axes"], targets: Float[Tensor, "*axes"]
) -> Float[Tensor, ""]:
    """The loss (4), which is differentiated."""
    return 0.5 * torch.square(outputs - targets).sum()


def absolute_error(
    outputs: Float[Tensor, "*axes"], targets: Float[Tensor, "*axes"]
) -> Float[Tensor, ""]:
    """The loss (5), which the recipe reports while it descends (4)."""
    return torch.abs(outputs - targets).sum()


def autograd_gradient(
    model: ElmanRNN,
    x: Float[np.ndarray, "time batch n_in"],
    targets: Float[np.ndarray, "time batch n_out"],
) -> Params:
    """The gradient of (4) by autograd, on the model's device; raises as `ElmanRNN.forward`."""
    device = model.W.device
    outputs, _ = model(torch.as_tensor(x, device=device))
    loss = squared_error(outputs, torch.as_tensor(targets, device=device))
    gradients = torch.autograd.grad(loss, [model.U, model.W, model.V])
    return Params(*(gradient.numpy(force=True) for gradient in gradients))
