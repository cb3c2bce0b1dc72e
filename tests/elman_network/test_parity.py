"""Gradient parity: hand-written BPTT, autograd, RTRL and complex step agree within the bound."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from agreement import assert_gradients, assert_right, assert_within, numpy_array, torch_forward
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
from rnn_torch import ElmanRNN, gradient_parity
from rnn_torch import absolute_error as torch_absolute_error
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


@given(problems)
def test_four_gradients_of_the_squared_error(problem: Problem) -> None:
    params, x, targets, h_0 = problem
    _, trace = forward(params, x, h_0)
    gradient = bptt(params, trace, targets)
    allowed = bounds(params, x, targets, h_0=h_0).params

    model, torch_outputs, _ = torch_forward(problem)
    torch_squared_error(torch_outputs, torch.tensor(targets)).backward()
    by_autograd = Params(*(numpy_array(p.grad) for p in (model.U, model.W, model.V)))
    assert_gradients(gradient, by_autograd, allowed)
    assert_gradients(gradient, rtrl(params, x, targets, h_0), allowed)
    # In float64 whatever the dtype: right to within a float32 problem's rounding all the more.
    assert_gradients(gradient, complex_step(params, x, targets, h_0), allowed)


@given(problems)
def test_the_oracles_start_from_zero_and_keep_the_dtype(problem: Problem) -> None:
    params, x, targets, _ = problem
    allowed = bounds(params, x, targets).params
    _, trace = forward(params, x)
    gradient = bptt(params, trace, targets)
    by_rtrl = rtrl(params, x, targets)
    assert_gradients(gradient, by_rtrl, allowed)
    assert_gradients(gradient, complex_step(params, x, targets), allowed)
    for array in (*gradient, *by_rtrl, *trace):
        assert array.dtype == problem.dtype


@given(problems)
def test_the_whole_vjp(problem: Problem) -> None:
    """An arbitrary upstream gradient, pulled back to the weights, x and h_0."""
    params, x, upstream, h_0 = problem
    _, trace = forward(params, x, h_0)

    model = ElmanRNN.from_params(params)
    inputs = [torch.tensor(x, requires_grad=True), torch.tensor(h_0, requires_grad=True)]
    outputs, _ = model(*inputs)
    outputs.backward(torch.tensor(upstream))
    by_autograd = [numpy_array(t.grad) for t in (model.U, model.W, model.V, *inputs)]
    expected = Gradients(Params(*by_autograd[:3]), *by_autograd[3:])
    allowed = bounds(params, x, upstream=upstream, h_0=h_0)
    assert_within(_flat(vjp(params, trace, upstream)), _flat(expected), _flat(allowed))


@given(problems, st.integers(0, 9))
def test_truncation_against_detach(problem: Problem, window: int) -> None:
    params, x, upstream, h_0 = problem
    _, trace = forward(params, x, h_0)
    allowed = bounds(params, x, upstream=upstream, h_0=h_0, window=window)
    assert_within(
        _flat(vjp(params, trace, upstream, window=window)),
        _flat(_detached(problem, window)),
        _flat(allowed),
    )


@given(problems, st.integers(0, 9))
def test_truncated_bptt_is_the_truncated_vjp(problem: Problem, window: int) -> None:
    params, x, targets, h_0 = problem
    outputs, trace = forward(params, x, h_0)
    by_bptt = bptt(params, trace, targets, window=window)
    by_vjp = vjp(params, trace, outputs - targets, window=window).params
    for one, other in zip(by_bptt, by_vjp, strict=True):
        np.testing.assert_array_equal(one, other)


@given(problems, st.integers(0, 3))
def test_a_window_as_long_as_the_sequence_is_the_full_gradient(problem: Problem, more: int) -> None:
    params, x, targets, h_0 = problem
    _, trace = forward(params, x, h_0)
    windowed = bptt(params, trace, targets, window=len(x) + more)
    for one, other in zip(windowed, bptt(params, trace, targets), strict=True):
        np.testing.assert_array_equal(one, other)


@given(problems)
def test_the_audit_of_the_train_command(problem: Problem) -> None:
    model = ElmanRNN.from_params(problem.params)
    parity = gradient_parity(model, problem.x, problem.targets)
    assert parity is None or parity <= 1


@given(problems)
def test_bptt_as_a_backward_function(problem: Problem) -> None:
    """The property that the planted mistakes must fail in test_mistakes.py."""

    def backward(x: Array, y: Array, U: Array, W: Array, V: Array) -> tuple[Array, Array, Array]:
        params = Params(U, W, V)
        return tuple(bptt(params, forward(params, x)[1], y))  # type: ignore[return-value]

    assert_right(backward, problem)


@given(generated)
def test_a_batch_is_the_sum_of_its_examples(problem: Problem) -> None:
    params, x, targets, h_0 = problem
    whole = bptt(params, forward(params, x, h_0)[1], targets)
    parts = []
    for n in range(x.shape[1]):
        one = np.s_[:, n : n + 1]
        _, trace = forward(params, x[one], h_0[n : n + 1])
        parts.append(bptt(params, trace, targets[one]))
    summed = Params(*(np.sum(part, axis=0) for part in zip(*parts, strict=True)))
    assert_gradients(whole, summed, bounds(params, x, targets, h_0=h_0).params)


@given(generated, st.integers(0, 2**32 - 1), st.integers(-4, 4))
def test_linearity_in_the_upstream_gradient(problem: Problem, seed: int, factor: int) -> None:
    params, x, targets, h_0 = problem
    _, trace = forward(params, x, h_0)
    # Small integers, so that the combination itself is exact.
    rng = np.random.default_rng(seed)
    first, second = rng.integers(-9, 10, (2, *targets.shape)).astype(problem.dtype)
    combined = first + factor * second

    def pulled_back(upstream: Array) -> tuple[dict[str, Array], dict[str, Array]]:
        allowed = _flat(bounds(params, x, upstream=upstream, h_0=h_0))
        return _flat(vjp(params, trace, upstream)), allowed

    (one, one_bound), (two, two_bound), (both, both_bound) = map(
        pulled_back, (first, second, combined)
    )
    for name, array in both.items():
        difference = (
            array.astype(np.longdouble) - one[name] - factor * two[name].astype(np.longdouble)
        )
        budget = both_bound[name] + one_bound[name] + abs(factor) * two_bound[name]
        assert (np.abs(difference) <= budget).all(), name


@given(generated, st.data())
def test_causality(problem: Problem, data: st.DataObject) -> None:
    """An input does not change an earlier output; a loss has no gradient at a later input."""
    params, x, upstream, h_0 = problem
    t = data.draw(st.integers(0, len(x) - 1), label="t")
    changed = x.copy()
    changed[t:] += 1
    outputs, trace = forward(params, x, h_0)
    np.testing.assert_array_equal(outputs[:t], forward(params, changed, h_0)[0][:t])
    only_t = np.zeros_like(upstream)
    only_t[t] = upstream[t]
    assert not vjp(params, trace, only_t).x[t + 1 :].any()


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


def _detached(problem: Problem, window: int) -> Gradients:
    """Truncation as torch users write it: each loss with the state before its window detached."""
    params, x, upstream, h_0 = (problem.params, *map(torch.tensor, problem[1:]))
    U, W, V = (torch.tensor(p, requires_grad=True) for p in params)
    x.requires_grad_()
    h_0.requires_grad_()
    surrogate = torch.zeros((), dtype=x.dtype)
    for loss_step in range(len(x)):
        h = h_0
        for t in range(loss_step + 1):
            if t == loss_step - window:
                h = h.detach()
            h = torch.sigmoid(x[t] @ U + h @ W)
        surrogate = surrogate + (torch.sigmoid(h @ V) * upstream[loss_step]).sum()
    leaves = [U, W, V, x, h_0]
    gradients = torch.autograd.grad(surrogate, leaves, materialize_grads=True)
    arrays = [numpy_array(g) for g in gradients]
    return Gradients(Params(*arrays[:3]), *arrays[3:])
