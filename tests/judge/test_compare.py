"""`compare_gradients` for any torch model: `torch.nn.LSTM`, differentiated by hand."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bptt_check.reports.text import as_text
from problems import Array
from profiles import NIGHTLY
from rnn_torch import compare_gradients

pytestmark = pytest.mark.unannotated
Weights = dict[str, Array]
Drawn = tuple[tuple[Array, Array, Weights], torch.Tensor, dict[str, torch.nn.Parameter]]


def sigmoid(z: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-z)))


def lstm_by_hand(x: Array, upstream: Array, weights: Weights, mistake: str = "") -> Weights:
    """The gradient of sum(upstream * h); the gates i, f, g, o are below each other."""
    w_x, w_h, *biases = weights.values()
    h = c = np.zeros((x.shape[1], w_h.shape[1]), x.dtype)
    kept: list[Any] = []
    for x_t in x:
        i, f, g, o = np.split(x_t @ w_x.T + h @ w_h.T + sum(biases), 4, axis=1)
        i, f, g, o = sigmoid(i), sigmoid(f), np.tanh(g), sigmoid(o)
        before = h, c
        c = f * c + i * g
        h = o * np.tanh(c)
        kept.append((i, f, g, o, np.tanh(c), *before))
    gradients = {name: np.zeros_like(w) for name, w in weights.items()}
    dh = dc = np.zeros_like(h)
    for t in reversed(range(len(x))):
        i, f, g, o, tanh_c, h_prev, c_prev = kept[t]
        dh = upstream[t] + dh
        dc = dh * o * (1 - tanh_c**2) + dc
        gates = dc * g * i * (1 - i), dc * c_prev * f * (1 - f), dc * i * (1 - g**2)
        dz = np.concatenate([*gates, dh * tanh_c * o * (1 - o)], axis=1)
        for name, of in zip(gradients, (x[t], h_prev, None, None), strict=True):
            gradients[name] += dz.sum(axis=0) if of is None else dz.T @ of
        dh, dc = dz @ w_h, dc if mistake == "cell not forgotten" else dc * f
    gradients["weight_hh_l0"] *= 2 if mistake == "factor 2" else 1
    return gradients


def drawn(seed: int, sizes: tuple[int, int, int, int], dtype: str) -> Drawn:
    """Inputs, upstream gradients and weights; the loss through torch.nn.LSTM; its parameters."""
    time, batch, n_in, hidden = sizes
    rng = np.random.default_rng(seed)
    model = torch.nn.LSTM(n_in, hidden, dtype=getattr(torch, dtype))
    parameters = dict(model.named_parameters())
    shapes = (time, batch, n_in), (time, batch, hidden), *(p.shape for p in parameters.values())
    x, upstream, *arrays = (rng.standard_normal(shape).astype(dtype) for shape in shapes)
    weights = dict(zip(parameters, arrays, strict=True))
    model.load_state_dict({name: torch.tensor(w) for name, w in weights.items()})
    loss = (model(torch.tensor(x))[0] * torch.tensor(upstream)).sum()
    return (x, upstream, weights), loss, parameters


# Terms that cancel in a sum over the batch: no change of a parameter moves that entry much.
@example(11, (1, 4, 1, 1), "float64")
@given(
    st.integers(0, 2**32 - 1),
    st.tuples(st.integers(1, 12), *[st.integers(1, 4)] * 3),
    st.sampled_from(["float64", "float32"]),
)
def test_a_right_lstm_is_accepted(seed: int, sizes: tuple[int, int, int, int], dtype: str) -> None:
    arrays, loss, parameters = drawn(seed, sizes, dtype)
    report = compare_gradients(lstm_by_hand(*arrays), loss, parameters)
    assert report.right, as_text(report, "lstm")


@settings(max_examples=3000 if NIGHTLY else 6)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["float64", "float32"]))
@example(seed=502979, dtype="float32")  # small gradients: twice one of them is no approximation
def test_a_wrong_lstm_is_rejected(seed: int, dtype: str) -> None:
    arrays, loss, parameters = drawn(seed, (4, 2, 3, 3), dtype)
    for mistake in ("cell not forgotten", "factor 2"):
        report = compare_gradients(lstm_by_hand(*arrays, mistake), loss, parameters)
        assert not report.right, mistake
        assert report.worst[0].name == "dweight_ih_l0"
    assert report.factors == ("dweight_hh_l0 is 2 times the gradient, to within rounding",)
    said = as_text(report, "lstm")
    assert said.startswith("WRONG: lstm does not agree with autograd (1 problem, ")
    # The catalogue is of another network.
    assert "Which mistake: not determined, mistakes are derived from a declared network." in said
    assert report.as_dict()["mistakes"] is None
    assert "Wrong only at" not in said
    assert "declare its network" in said
    assert str(report) == as_text(report, "backward")


@pytest.mark.parametrize("factor", [1.0001, 0.5, 1 + 1e-9, -3.0, 0.0])
def test_a_factor_is_printed_with_enough_digits(factor: float) -> None:
    w = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64, requires_grad=True)
    by_hand = factor * 3 * w.detach().numpy() ** 2
    report = compare_gradients({"w": by_hand}, (w**3).sum(), {"w": w})
    its = f"{factor!r} times the gradient".replace(".0 ", " ") if factor else "zero"
    assert report.factors == (f"dw is {its}, to within rounding",)


BAD: dict[str, Callable[[Any], tuple[dict[str, Any], Any, dict[str, Any]]]] = {
    r"must have the parameters' names \['w'\], got \['v'\]": (
        lambda w: ({"v": np.ones(3)}, (w**3).sum(), {"w": w})
    ),
    "loss must be a scalar with a graph, got shape": lambda w: ({"w": np.ones(3)}, w**3, {"w": w}),
    "loss must be a scalar with a graph": (
        lambda w: ({"w": np.ones(3)}, (w**3).sum().detach(), {"w": w})
    ),
    r"dw must have w's shape \(3,\), got \(2,\)": (
        lambda w: ({"w": np.ones(2)}, (w**3).sum(), {"w": w})
    ),
    "dw must be finite": lambda w: ({"w": np.full(3, np.nan)}, (w**3).sum(), {"w": w}),
    "a twice differentiable function of every parameter": (
        lambda w: ({"v": np.ones(3)}, (w**3).sum(), {"v": torch.ones(3, requires_grad=True)})
    ),
}


@pytest.mark.parametrize("message", BAD)
def test_bad_input(message: str) -> None:
    with pytest.raises(ValueError, match=message):
        compare_gradients(*BAD[message](torch.ones(3, requires_grad=True)))
