"""`rnn_numpy`'s functions: the initial draw, and error messages."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from problems import problem
from rnn_numpy import Params, bptt, check_params, complex_step, forward, initial_params, rtrl, vjp

params, x, targets, h_0 = problem(0, time=3, batch=5, n_in=2, hidden=4, n_out=1)
pytestmark = pytest.mark.unannotated


def test_initial_draw_is_u_then_w_then_v() -> None:
    drawn = initial_params(np.random.RandomState(7), 2, 3, 1)
    rng = np.random.RandomState(7)
    for array, shape in zip(drawn, [(2, 3), (3, 3), (3, 1)], strict=True):
        np.testing.assert_array_equal(array, rng.randn(*shape), strict=True)


def test_float32_starts_at_the_rounded_float64_point() -> None:
    wide = initial_params(np.random.RandomState(7))
    narrow = initial_params(np.random.RandomState(7), dtype=np.float32)
    for one, other in zip(narrow, wide, strict=True):
        np.testing.assert_array_equal(one, other.astype(np.float32), strict=True)


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"U": params.U.T}, ValueError, r"U must be \(n_in, hidden=4\), got \(4, 2\): pass U.T\?"),
        ({"V": params.V.T}, ValueError, r"V must be \(hidden=4, n_out\), got \(1, 4\): pass V.T\?"),
        ({"W": params.W[:3]}, ValueError, r"W must be square \(hidden, hidden\), got \(3, 4\)"),
        ({"W": params.W[0]}, ValueError, r"W must be square \(hidden, hidden\), got \(4,\)"),
        (
            {"W": np.float64(1)},
            TypeError,
            "W must be a float32 or float64 NumPy array, got float64",
        ),
        ({"U": params.U[:0]}, ValueError, "every axis needs at least one entry"),
        ({"U": params.U.astype(np.float32)}, TypeError, "U must be float64 like the weights"),
        ({"U": params.U.astype(int)}, TypeError, "U must be a float32 or float64 .* got int64"),
        ({"V": params.V.tolist()}, TypeError, "V must be .* NumPy array, got list"),
        ({"V": params.V + np.inf}, ValueError, r"V must be finite, got inf at \[0, 0\]"),
        ({"W": np.full((4, 4), np.nan)}, ValueError, r"W must be finite, got nan at \[0, 0\]"),
    ],
)
def test_bad_weights(changed: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        check_params(params._replace(**changed))


_, TRACE = forward(params, x)
GRADIENTS: dict[str, Callable[..., object]] = {
    "forward": lambda x=x, targets=targets, h_0=h_0: forward(params, x, h_0),
    "rtrl": lambda x=x, targets=targets, h_0=h_0: rtrl(params, x, targets, h_0),
    "complex_step": lambda x=x, targets=targets, h_0=h_0: complex_step(params, x, targets, h_0),
    "bptt": lambda x=x, targets=targets, h_0=h_0: bptt(params, TRACE, targets),
}
OF_X = ("forward", "rtrl", "complex_step")
OF_TARGETS = ("rtrl", "complex_step", "bptt")


@pytest.mark.parametrize(
    ("names", "given", "message"),
    [
        (OF_X, {"x": x[..., :1]}, r"x must be \(time, batch, n_in=2\), got \(3, 5, 1\)"),
        (OF_X, {"x": x[:, 0]}, r"got \(3, 2\): add the batch axis with x\[:, None, :\]\?"),
        (OF_X, {"x": x.astype(np.float32)}, r"pass x.astype\(np.float64\)\?"),
        (OF_X, {"x": x.tolist()}, "x must be a NumPy array, got list"),
        (OF_X, {"x": x + np.inf}, r"x must be finite, got inf at \[0, 0, 0\]"),
        (OF_X, {"h_0": h_0.T}, r"h_0 must be \(batch=5, hidden=4\), got \(4, 5\): pass h_0.T\?"),
        (OF_TARGETS, {"targets": targets[:2]}, r"must be \(time=3, batch=5, n_out=1\), got \(2"),
        (OF_TARGETS, {"targets": targets * np.nan}, "targets must be finite, got nan"),
        (OF_TARGETS, {"targets": targets.astype("f4")}, r"targets.astype\(np.float64\)"),
    ],
)
def test_bad_inputs_and_targets(
    names: tuple[str, ...], given: dict[str, Any], message: str
) -> None:
    for name in names:
        with pytest.raises((TypeError, ValueError), match=message):
            GRADIENTS[name](**given)


def test_bad_upstream_window_and_trace() -> None:
    def refused(message: str, given: Any = targets, trace: Any = TRACE, **window: Any) -> None:
        for function in (bptt, vjp):
            with pytest.raises(ValueError, match=message):
                function(params, trace, given, **window)

    refused(r"must be \(time=3, batch=5, n_out=1\)", targets[:, :1])
    for window in (-1, 1.0, "all"):
        refused(f"window must be None or an integer >= 0, got {window!r}", window=window)
    refused(r"trace.x must be \(time=3, batch=5, n_in=2\)", trace=TRACE._replace(x=x[:, :4]))
    refused("trace.outputs must be finite", trace=TRACE._replace(outputs=TRACE.outputs * np.nan))
    other = forward(Params(*problem(1, 3, 5, 2, 3, 1).params), x)[1]
    refused(r"trace.states must be \(time\+1=4, batch=5, hidden=4\)", trace=other)
    with pytest.raises(ValueError, match="into_states must be"):
        vjp(params, TRACE, targets, into_states=np.zeros((3, 5, 5)))


def test_arguments_are_not_changed() -> None:
    given = [array.copy() for array in (*params, x, targets, h_0)]
    _, trace = forward(params, x, h_0)
    traced = [array.copy() for array in trace]
    vjp(params, trace, targets, window=1)
    bptt(params, trace, targets)
    for before, after in zip(given + traced, [*params, x, targets, h_0, *trace], strict=True):
        np.testing.assert_array_equal(before, after, strict=True)
