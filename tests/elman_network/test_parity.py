"""Gradient parity: hand-written BPTT, autograd, RTRL and complex step agree within the bound."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from agreement import assert_gradients, assert_within, numpy_array, torch_forward
from problems import Array, Problem, generated, problems
from rnn_numpy import (
    Params,
    absolute_error,
    bounds,
    bptt,
    complex_step,
    forward,
    rtrl,
    squared_error,
    vjp,
)
from rnn_numpy.elman_network.model import Gradients
from rnn_numpy.elman_network.rounding import Bounds
from rnn_torch import absolute_error as torch_absolute_error
from rnn_torch import gradient_parity
from rnn_torch import squared_error as torch_squared_error


@given(problems)
def test_outputs_and_states(problem: Problem) -> None:
    params, x, targets, h_0 = problem
    outputs, trace = forward(params, x, h_0)
    _, torch_outputs, torch_states = torch_forward(problem)
    allowed = bounds(params, x, targets, h_0=h_0)
    assert_within(
        {"outputs": outputs, "states": trace.states[1:]},
        {"outputs": numpy_array(torch_outputs), "states": numpy_array(torch_states)},
        {"outputs": allowed.outputs, "states": allowed.states},
    )


@given(problems, st.booleans())
def test_four_gradients_of_the_squared_error(problem: Problem, from_zero: bool) -> None:
    params, x, targets, h_0 = problem
    if from_zero:
        problem.h_0[:] = 0
    first = None if from_zero else h_0
    _, trace = forward(params, x, first)
    gradient = bptt(params, trace, targets)
    by_rtrl = rtrl(params, x, targets, first)
    model, torch_outputs, _ = torch_forward(problem)
    torch_squared_error(torch_outputs, torch.tensor(targets)).backward()
    by_autograd = Params(*(numpy_array(p.grad) for p in (model.U, model.W, model.V)))
    # In float64 whatever the dtype: right to within a float32 problem's rounding all the more.
    by_complex_step = complex_step(params, x, targets, first)
    allowed = bounds(params, x, targets, h_0=h_0).params
    for other in (by_autograd, by_rtrl, by_complex_step):
        assert_gradients(gradient, other, allowed)
    assert {array.dtype for array in (*gradient, *by_rtrl, *trace)} == {problem.dtype}
    parity = gradient_parity(model, x, targets)
    assert parity is None or parity <= 1


@given(problems, st.none() | st.integers(0, 9))
def test_the_whole_vjp_truncated_or_not(problem: Problem, window: int | None) -> None:
    """An arbitrary upstream gradient, pulled back to the weights, x and h_0; `bptt` is its case."""
    params, x, upstream, h_0 = problem
    outputs, trace = forward(params, x, h_0)
    pulled = vjp(params, trace, upstream, window=window)
    allowed = bounds(params, x, upstream=upstream, h_0=h_0, window=window)
    assert_within(_flat(pulled), _flat(_by_autograd(problem, window)), _flat(allowed))
    by_bptt = bptt(params, trace, upstream, window=window)
    for one, other in zip(
        by_bptt, vjp(params, trace, outputs - upstream, window=window).params, strict=True
    ):
        np.testing.assert_array_equal(one, other)
    if window is not None and window >= len(x):  # it is the full gradient
        for one, other in zip(by_bptt, bptt(params, trace, upstream), strict=True):
            np.testing.assert_array_equal(one, other)


@given(generated)
def test_both_losses(problem: Problem) -> None:
    """(4) and (5) by name, equal in both packages; (4) is the one that is differentiated."""
    params, x, targets, h_0 = problem
    outputs, _ = forward(params, x, h_0)
    error = (outputs.astype(np.longdouble) - targets).ravel()
    terms = error.size + 3
    allowed = terms * np.finfo(problem.dtype).eps
    tensors = torch.tensor(outputs), torch.tensor(targets)
    for of_numpy, of_torch, exact in (
        (squared_error, torch_squared_error, 0.5 * (error @ error)),
        (absolute_error, torch_absolute_error, np.abs(error).sum()),
    ):
        assert abs(of_numpy(outputs, targets) - exact) <= allowed * exact
        assert abs(of_torch(*tensors).item() - exact) <= allowed * exact


def _flat(result: Gradients | Bounds) -> dict[str, Array]:
    return {**result.params._asdict(), "x": result.x, "h_0": result.h_0}


def _by_autograd(problem: Problem, window: int | None) -> Gradients:
    """Truncation as torch users write it: each loss with the state before its window detached."""
    params, x, upstream, h_0 = (problem.params, *map(torch.tensor, problem[1:]))
    U, W, V = (torch.tensor(p, requires_grad=True) for p in params)
    leaves = [U, W, V, x.requires_grad_(), h_0.requires_grad_()]
    surrogate = torch.zeros((), dtype=x.dtype)
    for loss_step in range(len(x)):
        h = h_0
        for t in range(loss_step + 1):
            if window is not None and t == loss_step - window:
                h = h.detach()
            h = torch.sigmoid(x[t] @ U + h @ W)
        surrogate = surrogate + (torch.sigmoid(h @ V) * upstream[loss_step]).sum()
    gradients = torch.autograd.grad(surrogate, leaves, materialize_grads=True)
    arrays = [numpy_array(g) for g in gradients]
    return Gradients(Params(*arrays[:3]), *arrays[3:])
