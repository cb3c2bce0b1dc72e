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
        """A module with a copy of these weights, in their own dtype unless another is given.

        Raises:
            TypeError, ValueError: as `rnn_numpy.check_params`.
        """
        check_params(params)
        model = cls.__new__(cls)
        nn.Module.__init__(model)
        for name, array in zip(Params._fields, params, strict=True):
            tensor = torch.tensor(array, device=device, dtype=dtype)
            model.register_parameter(name, nn.Parameter(tensor))
        return model

    def to_params(self) -> Params:
        """A copy of the weights as NumPy arrays, from any device.

        Raises:
            TypeError: the dtype is not float32 or float64.
        """
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
            TypeError: the inputs have another dtype or device than the weights.
            ValueError: shapes do not match the weights.
        """
        self._check("x", x, {"time": None, "batch": None, "n_in": self.U.shape[0]})
        batch, hidden = x.shape[1], self.W.shape[0]
        if h_0 is None:
            h = x.new_zeros(batch, hidden)
        else:
            self._check("h_0", h_0, {"batch": batch, "hidden": hidden})
            h = h_0
        states = []
        for x_t in x.unbind():
            h = torch.sigmoid(x_t @ self.U + h @ self.W)  # (1), (2)
            states.append(h)
        stacked = torch.stack(states)
        return torch.sigmoid(stacked @ self.V), stacked  # (3)

    def extra_repr(self) -> str:
        """The sizes, for `print(model)`."""
        n_in, hidden = self.U.shape
        return f"n_in={n_in}, hidden={hidden}, n_out={self.V.shape[1]}, dtype={self.W.dtype}"

    def _check(self, name: str, tensor: Tensor, axes: dict[str, int | None]) -> None:
        check_shape(name, tuple(tensor.shape), axes)
        if tensor.dtype != self.W.dtype:
            raise TypeError(
                f"{name} must be {self.W.dtype} like the weights, got {tensor.dtype}: "
                f"pass {name}.to({self.W.dtype})?"
            )
        if tensor.device != self.W.device:
            raise TypeError(
                f"{name} must be on {self.W.device} like the weights, got {tensor.device}: "
                f"pass {name}.to({str(self.W.device)!r})?"
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
    """The gradient of the squared error (4) by autograd, on the model's device, as NumPy arrays.

    Raises:
        TypeError, ValueError: as `ElmanRNN.forward`.
    """
    device = model.W.device
    outputs, _ = model(torch.as_tensor(x, device=device))
    loss = squared_error(outputs, torch.as_tensor(targets, device=device))
    gradients = torch.autograd.grad(loss, [model.U, model.W, model.V])
    return Params(*(gradient.numpy(force=True) for gradient in gradients))
