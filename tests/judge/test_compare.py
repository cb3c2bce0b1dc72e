"""`compare_gradients` for any torch model: an LSTM and a GRU gate, differentiated by hand."""

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


def sigmoid(z: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-z)))


def lstm_weights(rng: np.random.Generator, n_in: int, hidden: int, dtype: str) -> Weights:
    """Weights in torch.nn.LSTM's layout: gates i, f, g, o below each other."""
    shapes = {
        "weight_ih_l0": (4 * hidden, n_in),
        "weight_hh_l0": (4 * hidden, hidden),
        "bias_ih_l0": (4 * hidden,),
        "bias_hh_l0": (4 * hidden,),
    }
    return {name: rng.standard_normal(shape).astype(dtype) for name, shape in shapes.items()}


def lstm_by_hand(x: Array, upstream: Array, weights: Weights, mistake: str = "") -> Weights:
    """The gradient of sum(upstream * h) for an LSTM, by BPTT."""
    w_x, w_h = weights["weight_ih_l0"], weights["weight_hh_l0"]
    bias = weights["bias_ih_l0"] + weights["bias_hh_l0"]
    time, batch, _ = x.shape
    h = c = np.zeros((batch, w_h.shape[1]), x.dtype)
    kept: list[Any] = []
    for x_t in x:
        i, f, g, o = np.split(x_t @ w_x.T + h @ w_h.T + bias, 4, axis=1)
        i, f, g, o = sigmoid(i), sigmoid(f), np.tanh(g), sigmoid(o)
        before = h, c
        c = f * c + i * g
        h = o * np.tanh(c)
        kept.append((i, f, g, o, c, *before))
    gradients = {name: np.zeros_like(w) for name, w in weights.items()}
    dh_next = dc_next = np.zeros_like(h)
    for t in reversed(range(time)):
        i, f, g, o, c, h_prev, c_prev = kept[t]
        dh = upstream[t] + dh_next
        dc = dh * o * (1 - np.tanh(c) ** 2) + dc_next
        dz = np.concatenate(
            [
                dc * g * i * (1 - i),
                dc * c_prev * f * (1 - f),
                dc * i * (1 - g**2),
                dh * np.tanh(c) * o * (1 - o),
            ],
            axis=1,
        )
        gradients["weight_ih_l0"] += dz.T @ x[t]
        gradients["weight_hh_l0"] += dz.T @ h_prev
        gradients["bias_ih_l0"] += dz.sum(axis=0)
        gradients["bias_hh_l0"] += dz.sum(axis=0)
        dh_next = dz @ w_h
        dc_next = dc if mistake == "cell not forgotten" else dc * f
    if mistake == "factor 2":
        gradients["weight_hh_l0"] *= 2
    return gradients


def lstm_loss(x: Array, upstream: Array, weights: Weights) -> tuple[torch.Tensor, dict[str, Any]]:
    """The same loss through torch.nn.LSTM itself."""
    n_in, hidden = weights["weight_ih_l0"].shape[1], weights["weight_hh_l0"].shape[1]
    model = torch.nn.LSTM(n_in, hidden, dtype=torch.as_tensor(x).dtype)
    model.load_state_dict({name: torch.tensor(w) for name, w in weights.items()})
    h, _ = model(torch.tensor(x))
    return (h * torch.tensor(upstream)).sum(), dict(model.named_parameters())


def drawn(seed: int, sizes: tuple[int, int, int, int], dtype: str) -> tuple[Array, Array, Weights]:
    time, batch, n_in, hidden = sizes
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((time, batch, n_in)).astype(dtype)
    upstream = rng.standard_normal((time, batch, hidden)).astype(dtype)
    return x, upstream, lstm_weights(rng, n_in, hidden, dtype)


# Terms that cancel in a sum over the batch: no change of a parameter moves that entry much.
@example(11, (1, 4, 1, 1), "float64")
@given(
    st.integers(0, 2**32 - 1),
    st.tuples(st.integers(1, 12), *[st.integers(1, 4)] * 3),
    st.sampled_from(["float64", "float32"]),
)
def test_a_right_lstm_is_accepted(seed: int, sizes: tuple[int, int, int, int], dtype: str) -> None:
    x, upstream, weights = drawn(seed, sizes, dtype)
    loss, parameters = lstm_loss(x, upstream, weights)
    report = compare_gradients(lstm_by_hand(x, upstream, weights), loss, parameters)
    assert report.right, as_text(report, "lstm")


@settings(max_examples=3000 if NIGHTLY else 6)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["float64", "float32"]))
@example(seed=502979, dtype="float32")  # small gradients: twice one of them is no approximation
def test_a_wrong_lstm_is_rejected(seed: int, dtype: str) -> None:
    x, upstream, weights = drawn(seed, (4, 2, 3, 3), dtype)
    loss, parameters = lstm_loss(x, upstream, weights)
    for mistake in ("cell not forgotten", "factor 2"):
        by_hand = lstm_by_hand(x, upstream, weights, mistake)
        report = compare_gradients(by_hand, loss, parameters)
        assert not report.right, mistake
        assert report.worst[0].name == "dweight_ih_l0"
    assert report.factors == ("dweight_hh_l0 is 2 times the gradient, to within rounding",)
    said = as_text(report, "lstm")
    assert said.startswith("WRONG: lstm does not agree with autograd (1 problem, ")
    # The catalogue is of another network.
    assert "Which mistake: not determined, mistakes are derived from a declared network." in said
    assert "none of the catalogue" not in said
    assert report.as_dict()["mistakes"] is None
    assert "Wrong only at" not in said
    assert "declare its network" in said
    assert str(report) == as_text(report, "backward")


@pytest.mark.parametrize("factor", [1.0001, 0.5, 1 + 1e-9, -3.0])
def test_a_factor_is_printed_with_enough_digits(factor: float) -> None:
    w = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64, requires_grad=True)
    by_hand = factor * 3 * w.detach().numpy() ** 2
    report = compare_gradients({"w": by_hand}, (w**3).sum(), {"w": w})
    assert report.factors == (
        f"dw is {factor!r} times the gradient, to within rounding".replace(".0 ", " "),
    )


def test_a_factor_of_zero_is_said_as_zero() -> None:
    w = torch.tensor([1.0, 2.0], dtype=torch.float64, requires_grad=True)
    report = compare_gradients({"w": np.zeros(2)}, (w**3).sum(), {"w": w})
    assert report.factors == ("dw is zero, to within rounding",)


def test_bad_input() -> None:
    w = torch.ones(3, requires_grad=True)
    loss = (w**3).sum()
    with pytest.raises(ValueError, match=r"must have the parameters' names \['w'\], got \['v'\]"):
        compare_gradients({"v": np.ones(3)}, loss, {"w": w})
    with pytest.raises(ValueError, match="loss must be a scalar with a graph, got shape"):
        compare_gradients({"w": np.ones(3)}, w**3, {"w": w})
    with pytest.raises(ValueError, match="loss must be a scalar with a graph"):
        compare_gradients({"w": np.ones(3)}, loss.detach(), {"w": w})
    with pytest.raises(ValueError, match=r"dw must have w's shape \(3,\), got \(2,\)"):
        compare_gradients({"w": np.ones(2)}, loss, {"w": w})
    with pytest.raises(ValueError, match="dw must be finite"):
        compare_gradients({"w": np.full(3, np.nan)}, loss, {"w": w})
    other = torch.ones(3, requires_grad=True)
    with pytest.raises(ValueError, match="a twice differentiable function of every parameter"):
        compare_gradients({"v": np.ones(3)}, loss, {"v": other})
