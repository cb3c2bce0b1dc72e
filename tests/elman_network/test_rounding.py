"""The rounding bound: never exceeded, each evaluation within its half, tight enough to matter."""

import numpy as np
import pytest
import torch
from hypothesis import given

from agreement import assert_gradients, numpy_array, torch_forward
from constructions import RIGHT
from problems import Array, Problem, problem, problems
from profiles import NIGHTLY
from rnn_numpy import Params, bounds, bptt, forward, fraction
from rnn_numpy.elman_network.textbook import textbook
from rnn_torch import ElmanRNN, autograd_gradient, squared_error

FLUSHES = torch.set_flush_denormal(True)
torch.set_flush_denormal(False)
EXTENDED = np.finfo(np.longdouble).eps < np.finfo(np.float64).eps


def random_problem(rng: np.random.Generator) -> Problem:
    """A problem of scale 0.01 to 20, up to 64 steps; one in four has some extreme entries."""
    dtype = np.dtype(rng.choice(["float32", "float64"]))
    drawn = problem(
        seed=int(rng.integers(2**32)),
        time=int(2 ** rng.uniform(0, 6.02)),
        batch=int(rng.integers(1, 4)),
        n_in=int(rng.integers(1, 4)),
        hidden=int(rng.integers(1, 6)),
        n_out=int(rng.integers(1, 4)),
        scale=10 ** rng.uniform(-2, np.log10(20)),
        x_scale=10 ** rng.uniform(-2, np.log10(20)),
        dtype=dtype.name,
    )
    if rng.random() < 0.25:
        tiny = np.finfo(dtype).tiny
        extremes = np.array([0, tiny, -tiny / 16, 1e3, -1e3], dtype)  # subnormal, saturating
        for array in (drawn.x, *drawn.params):
            chosen = rng.random(array.shape) < 0.2
            array[chosen] = rng.choice(extremes, chosen.sum())
    return drawn


def by_autograd(problem: Problem) -> Params:
    model, outputs, _ = torch_forward(problem)
    squared_error(outputs, torch.tensor(problem.targets)).backward()
    return Params(*(numpy_array(p.grad) for p in (model.U, model.W, model.V)))


@pytest.mark.skipif(not EXTENDED, reason="this platform's longdouble is no wider than float64")
@pytest.mark.parametrize("seed", range(80 if NIGHTLY else 3))
def test_each_evaluation_stays_within_its_half(seed: int) -> None:
    """So that two never exceed the bound."""
    rng = np.random.default_rng([2, seed])
    for _ in range(50):
        assert_halves(random_problem(rng))


@pytest.mark.skipif(not EXTENDED, reason="this platform's longdouble is no wider than float64")
@given(problems)
def test_each_evaluation_stays_within_its_half_at_the_corners(problem: Problem) -> None:
    assert_halves(problem)


@pytest.mark.skipif(not FLUSHES, reason="this processor cannot flush subnormal numbers to zero")
@given(problems)
def test_flushing_to_zero_is_a_correct_evaluation(problem: Problem) -> None:
    """Subnormal numbers read and written as zero, by torch and NumPy alike; strided inputs, too."""
    params, x, targets, _ = problem
    right = autograd_gradient(ElmanRNN.from_params(params), x, targets)
    allowed = bounds(params, x, targets).params
    apart = [np.repeat(array, 2, axis=-1)[..., ::2] for array in (x, targets, *params)]
    torch.set_flush_denormal(True)
    try:
        answers = [Params(*backward(*apart)) for backward in RIGHT[:3] + RIGHT[-3:]]
    finally:
        torch.set_flush_denormal(False)
    for answer in answers:
        assert_gradients(answer, right, allowed)


def test_a_partial_sum_that_overflows_leaves_the_bound_infinite() -> None:
    params, x, targets, _ = problem(0, 3, 1, 3, 2, 1, dtype="float32")
    U = np.array([[2.9e38, 1], [2.9e38, 1], [-2.9e38, 1]], np.float32)
    allowed = bounds(params._replace(U=U), np.ones_like(x), targets)
    assert np.isinf(allowed.states[..., 0]).all()
    assert np.isinf(allowed.params.U).all()
    huge = Params(U, np.full((2, 2), 3e38, np.float32), params.V)
    assert np.isinf(bounds(huge, x * 100, targets).params.U).all()
    endless = np.array([[1.7e308, 1], [1.7e308, 1], [-1.7e308, 1]])  # infinity minus infinity
    wide = Params(*(array.astype(np.float64) for array in params))._replace(U=endless)
    allowed = bounds(wide, np.full(x.shape, 10.0), targets.astype(np.float64))
    assert all(np.isinf(bound).all() for bound in allowed.params)


def assert_halves(problem: Problem) -> None:
    params, x, targets, h_0 = problem
    h_0[:] = 0  # the textbook pass starts there
    wide = [array.astype(np.longdouble) for array in (x, targets, *params)]
    exact = Params(*textbook(*wide))
    # The exact result is wider than any dtype the bound is for: compare the difference itself.
    allowed = bounds(params, x, targets).params
    _, trace = forward(params, x)
    for evaluation in (bptt(params, trace, targets), by_autograd(problem)):
        differences = Params(
            *(np.asarray(g - e, np.float64) for g, e in zip(evaluation, exact, strict=True))
        )
        zeros = Params(*map(np.zeros_like, differences))
        assert_gradients(differences, zeros, allowed, limit=0.5)


def test_the_bound_is_tight() -> None:
    rng = np.random.default_rng(3)
    relative: dict[str, list[float]] = {"float32": [], "float64": []}
    for _ in range(100):
        params, x, targets, h_0 = drawn = random_problem(rng)
        _, trace = forward(params, x, h_0)
        allowed = bounds(params, x, targets, h_0=h_0).params
        for gradient, bound in zip(bptt(params, trace, targets), allowed, strict=True):
            nonzero = gradient != 0
            ratios = bound[nonzero] / np.abs(gradient[nonzero], dtype=np.float64)
            relative[drawn.dtype.name] += ratios.tolist()
    assert np.median(relative["float64"]) < 1e-12
    assert np.median(relative["float32"]) < 1e-3


def test_the_bound_of_a_window_is_of_what_is_in_it() -> None:
    params, x, targets, _ = problem(0, 6, 2, 3, 4, 2)
    later = targets.copy()
    later[-1] += 1e6  # only the loss at the last step grows
    for window in (0, 2, 4):
        one, other = (bounds(params, x, y, window=window) for y in (targets, later))
        first = len(x) - 1 - window  # the first state that this loss reaches
        np.testing.assert_array_equal(one.x[:first], other.x[:first])
        assert (other.x[first:] > one.x[first:]).all()
    assert (bounds(params, x, later).x > bounds(params, x, targets).x).all()


def test_fraction_of_what_rounding_allows() -> None:
    def used(got: float, expected: float, bound: float) -> float:
        one: list[Array] = [np.array([value]) for value in (got, expected, bound)]
        return float(fraction(*one)[0])

    assert used(1.0, 1.5, 1.0) == 0.25
    assert used(1.0, 5.0, 1.0) == 2
    assert used(0.0, 0.0, 0.0) == 0
    assert used(0.0, 1.0, 0.0) == np.inf
    assert used(np.nan, 1.0, 1.0) == np.inf
    assert used(np.nan, np.nan, 1.0) == np.inf
    assert used(np.inf, 1.0, 1.0) == np.inf
    # In float64, whatever the dtype: no overflow where there is none.
    far = np.array([3e38], np.float32)
    assert fraction(far, -far, far.astype(np.float64)) == 1
    assert used(1e308, -1e308, 1e308) == np.inf
    # Where rounding alone may overflow, nothing can be said.
    assert used(np.inf, 1e300, np.inf) == 0


@pytest.mark.unannotated
def test_exactly_one_of_targets_and_upstream() -> None:
    params, x, targets, _ = problem(0, 3, 1, 1, 1, 1)
    with pytest.raises(ValueError, match="exactly one of targets and upstream"):
        bounds(params, x)
    with pytest.raises(ValueError, match="exactly one of targets and upstream"):
        bounds(params, x, targets, upstream=targets)
