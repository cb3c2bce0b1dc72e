"""ElmanRNN in torch: conversion, torch.func, torch.compile, devices, dtypes."""

import numpy as np
import pytest
import torch
from hypothesis import given

from agreement import assert_gradients, numpy_array
from problems import Problem, problem, problems
from profiles import nightly
from rnn_numpy import Params, bounds, bptt, forward
from rnn_torch import ElmanRNN, squared_error
from torch_needs import needs_compiler, uses_torch_script


@given(problems)
def test_round_trip_of_the_parameters(problem: Problem) -> None:
    model = ElmanRNN.from_params(problem.params)
    assert [name for name, _ in model.named_parameters()] == ["U", "W", "V"]
    back = model.to_params()
    for one, other in zip(back, problem.params, strict=True):
        np.testing.assert_array_equal(one, other, strict=True)
    # Copies in both directions: training one must not move the other.
    back.W[:] = 7
    with torch.no_grad():
        model.U.fill_(7)
    assert not (model.W == 7).any()
    assert not (problem.params.U == 7).any()


def test_a_fresh_model_draws_a_standard_normal() -> None:
    torch.manual_seed(0)
    model = ElmanRNN(3, 200, 2, dtype=torch.float64)
    assert (model.U.shape, model.W.shape, model.V.shape) == ((3, 200), (200, 200), (200, 2))
    # 40,000 draws: mean and standard deviation have standard errors of 0.005 and 0.0035.
    assert abs(model.W.mean().item()) < 0.03
    assert abs(model.W.std().item() - 1) < 0.02
    assert repr(ElmanRNN()) == "ElmanRNN(n_in=2, hidden=16, n_out=1, dtype=torch.float32)"
    assert repr(model) == "ElmanRNN(n_in=3, hidden=200, n_out=2, dtype=torch.float64)"


@nightly  # by day the fused layer is compiled
@pytest.mark.unannotated  # dynamo would trace into the annotation checks
@uses_torch_script
@pytest.mark.parametrize("backend", ["aot_eager", pytest.param("inductor", marks=needs_compiler)])
def test_compile(backend: str) -> None:
    params, x, targets, _ = problem(0, 3, 2, 2, 4, 1)
    model = ElmanRNN.from_params(params)
    compiled = torch.compile(model, backend=backend, fullgraph=True)
    outputs, _ = compiled(torch.tensor(x))
    squared_error(outputs, torch.tensor(targets)).backward()
    by_hand = bptt(params, forward(params, x)[1], targets)
    gradient = Params(*(numpy_array(p.grad) for p in (model.U, model.W, model.V)))
    assert_gradients(gradient, by_hand, bounds(params, x, targets).params)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_any_float_dtype(dtype: torch.dtype) -> None:
    model = ElmanRNN(2, 4, 1, dtype=dtype)
    outputs, states = model(torch.randn(3, 2, 2, dtype=dtype))
    outputs.sum().backward()
    assert outputs.dtype == states.dtype == dtype
    assert model.W.grad is not None
    assert model.W.grad.dtype == dtype


def test_any_device() -> None:
    """The meta device knows shapes alone, so any tensor made on another device would be found."""
    model = ElmanRNN(2, 4, 1, device="meta")
    outputs, states = model(torch.empty(3, 2, 2, device="meta"))
    assert (outputs.shape, states.shape) == ((3, 2, 1), (3, 2, 4))
    assert outputs.device.type == "meta"
    assert {p.device.type for p in model.parameters()} == {"meta"}
    moved = ElmanRNN.from_params(
        problem(0, 1, 1, 2, 3, 1).params, device="meta", dtype=torch.float16
    )
    assert {(p.device.type, p.dtype) for p in moved.parameters()} == {("meta", torch.float16)}


@pytest.mark.unannotated
def test_bad_input_to_the_module() -> None:
    model = ElmanRNN(2, 4, 1, dtype=torch.float64)
    x, h_0 = torch.zeros(3, 5, 2).double(), torch.zeros(5, 4).double()
    for arguments, message in (
        ((x[..., :1],), r"x must be \(time, batch, n_in=2\), got \(3, 5, 1\)"),
        ((x[:, 0],), r"add the batch axis with x\[:, None, :\]\?"),
        ((x[:0],), "every axis needs at least one entry"),
        ((x.float(),), r"x must be torch.float64 .* pass x.to\(torch.float64\)\?"),
        ((x.to("meta"),), r"x must be on cpu .* got meta: pass x.to\('cpu'\)\?"),
        ((x, h_0.float()), r"h_0 must be torch.float64 .* pass h_0.to\(torch.float64\)\?"),
        ((x, h_0.T), r"h_0 must be \(batch=5, hidden=4\), got \(4, 5\): pass h_0.T"),
    ):
        with pytest.raises((TypeError, ValueError), match=message):
            model(*arguments)
    for name in ("n_in", "hidden", "n_out"):
        with pytest.raises(ValueError, match=f"{name} must be at least 1, got 0"):
            ElmanRNN(**{name: 0})  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"float32 or float64.*bfloat16"):
        ElmanRNN(dtype=torch.bfloat16).to_params()
    params = model.to_params()
    params.W[1, 2] = np.nan
    with pytest.raises(ValueError, match=r"W must be finite, got nan at \[1, 2\]"):
        ElmanRNN.from_params(params)
