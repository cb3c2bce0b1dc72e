"""Where torch is further from the exact result than rounding explains, both are right."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

import rnn_numpy
from bptt_check.error_bound import Reference, reference
from bptt_check.judge.comparison import told
from rnn_torch import compare_gradients
from rnn_torch.networks import Network, Problem, designed, network, stock

pytestmark = pytest.mark.unannotated
F = torch.nn.functional
AT = np.array([-40.0, -25, -3, -0.7, 0.2, 5, 19.5, 20.5, 22, 27, 31, 600])


def declared(loss: Any) -> Network:
    """A network of one step whose loss is a sum over `w`."""

    @network(x="time n", w="n")
    def one_step(x: Any, w: Any) -> Iterator[Any]:
        for x_t in x:
            yield loss(x_t * w).sum()

    return one_step


def at(w: Any, dtype: str = "float64") -> Problem:
    values = {"x": np.ones((1, len(w)), dtype), "w": np.asarray(w, dtype)}
    return Problem("here", {"time": 1, "n": len(w)}, values, dtype)


def sigmoid(z: Any) -> Any:
    with np.errstate(over="ignore"):
        return 1 / (1 + np.exp(-z))


def without_rule(z: Any) -> Any:
    """The same number, by an operation that has no rule: so the bound is measured."""
    return torch.nan_to_num(torch.special.exp2(torch.log2(z.abs()))) * torch.sign(z.detach())


def trigamma(x: Any) -> Any:
    far = x + 50
    tail = 1 / far + 1 / (2 * far**2) + 1 / (6 * far**3) - 1 / (30 * far**5) + 1 / (42 * far**7)
    return tail + sum(1 / (x + k) ** 2 for k in range(50))


#: A loss, its exact derivative, and where.
LOSSES = {
    "softplus": (F.softplus, sigmoid, AT),
    "softplus(beta=2)": (lambda z: F.softplus(z, beta=2.0), lambda z: sigmoid(2 * z), AT / 2),
    "softplus, measured": (lambda z: F.softplus(without_rule(z)), sigmoid, AT),
    "binary_cross_entropy": (
        lambda z: F.binary_cross_entropy(torch.sigmoid(z), torch.full_like(z, 0.25)),
        lambda z: (sigmoid(z) - 0.25) / len(z),
        np.array([-36.0, -33, -29, -20, 0.3, 3]),
    ),
    "digamma": (torch.digamma, trigamma, np.array([0.3, 1.2, 2.5, 9.0])),
}


def used(got: Any, right: Reference) -> float:
    return float(rnn_numpy.fraction(np.asarray(got), right.gradients["w"], right.bounds["w"]).max())


@pytest.mark.parametrize("name", LOSSES)
def test_the_exact_derivative_and_torchs_are_both_right(name: str) -> None:
    loss, derivative, where = LOSSES[name]
    its, problem = declared(loss), at(where)
    right = reference(its, problem, measure=True)
    exact = derivative(where)
    assert used(its.evaluate(problem.values).gradients["w"], right) <= 1
    assert used(exact, right) <= 1
    assert abs(exact - right.gradients["w"]).max() > 1e-11  # so this test can fail
    assert name.partition("(")[0].partition(",")[0] in right.approximate
    assert bool(right.measured) == (not name.startswith("softplus") or "measured" in name)
    for factor in (1 + 1e-5, 2, 0, np.nan):
        assert used(exact * factor, right) > 1
    assert told(right, right.gradients)
    if name == "digamma":
        return  # its series ends early everywhere
    where = np.array([-3.0, 0.2, 5])  # where torch is exact nothing is said, nothing more allowed
    right = reference(its, at(where), measure=True)
    assert right.approximate == ""
    assert used(derivative(where), right) <= 1
    assert used(derivative(where) * (1 + 1e-10), right) > 1


def test_a_low_threshold_is_the_networks_own_choice() -> None:
    where = np.array([1.0, 6.0])
    right = reference(declared(lambda z: F.softplus(z, threshold=5)), at(where))
    assert right.gradients["w"][1] == 1
    assert right.approximate == ""
    assert used(sigmoid(where), right) > 1
    # In float32 rounding is larger.
    assert reference(declared(F.softplus), at(AT[:-1], "float32")).approximate == ""


def test_a_loss_of_no_declared_network() -> None:
    w = torch.tensor(AT[:-1], dtype=torch.float64, requires_grad=True)
    loss = (F.softplus(w) ** 2).sum()
    z = w.numpy(force=True)
    exact = 2 * np.log1p(np.exp(z)) * sigmoid(z)
    assert compare_gradients({"w": exact}, loss, {"w": w}).right
    assert not compare_gradients({"w": exact * (1 + 1e-5)}, loss, {"w": w}).right


@network(x="time batch n", a="n n", w="n")
def lru(x: Any, a: Any, w: Any) -> Iterator[Any]:
    h = torch.zeros_like(x[0])
    for x_t in x:
        f = torch.exp(-8 * torch.logaddexp(x_t @ a, torch.zeros_like(x_t)))
        h = f * h + torch.sqrt(1 - f * f) * w * x_t
        yield h.sum()


def test_a_floor_that_is_not_finite_cannot_decide() -> None:
    """1 - f * f is 1e-8 here, and with noise it is below zero."""
    values = {"x": np.full((2, 1, 1), 21.0), "a": np.full((1, 1), -1.0), "w": np.ones(1)}
    problem = Problem("near", {"time": 2, "batch": 1, "n": 1}, values, "float64")
    right = reference(lru, problem, measure=True)
    assert right.measured
    assert np.isinf(right.bounds["a"]).all()  # never NaN
    assert not told(right, ["a"])


def test_a_bound_that_grows_beyond_every_number_cannot_decide() -> None:
    its = stock("gru")
    right = reference(its, designed(its, "float64", {"time": 130, "batch": 1, "n_in": 1})[0])
    assert all(np.isinf(bound).all() for bound in right.bounds.values())
    assert not told(right, right.gradients)


def test_what_can_be_told() -> None:
    one, nothing = np.ones(2), np.zeros(2)
    inf, nan = np.full(2, np.inf), np.full(2, np.nan)

    def is_told(gradient: Any, bound: Any, other: float = 0) -> bool:
        gradients = {"w": gradient, "v": other * one}
        right = Reference(one, one, gradients, {"w": bound, "v": inf})
        return bool(told(right, ["w"]))

    assert is_told(one, 0.4 * one)
    assert not is_told(one, 0.6 * one)  # zeros would be right, too
    assert is_told(one, np.array([np.inf, 0.4]))
    assert is_told(nothing, 0 * one)
    assert is_told(nothing, 1e-300 * one)  # underflow
    assert is_told(1e-17 * one, 1e-16 * one, other=1)  # zero but for rounding
    assert not is_told(1e-17 * one, 1e-16 * one)
    assert not any(is_told(g, b) for g in (one, nothing) for b in (inf, nan))


def test_a_bound_that_is_not_finite_allows_all_and_no_other_bound_allows_nan() -> None:
    for bound in (np.inf, np.nan):
        for got in (3.0, np.nan, np.inf):
            assert rnn_numpy.fraction(np.array(got), np.array(1.0), np.array(bound)) == 0
    assert rnn_numpy.fraction(np.array(np.nan), np.array(1.0), np.array(0.5)) == np.inf
