"""The bound derived by machine covers every evaluation, and is near the bound by hand."""

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

import rnn_numpy
from bptt_check.error_bound.bound import Reference, reference
from profiles import NIGHTLY
from rnn_torch.networks import (
    Network,
    Problem,
    designed,
    in_columns,
    network,
    random,
    stock,
    tokens,
)

pytestmark = pytest.mark.unannotated  # thousands of small calls

NETWORKS = [
    stock("elman"),
    stock("tanh"),
    stock("relu", loss="squared"),
    stock("gru", reset="before", loss="upstream"),
    stock("lstm", peepholes=True),
]


def worst(got: dict[str, Any], right: Reference) -> float:
    return max(
        float(rnn_numpy.fraction(np.asarray(g, float), right.gradients[n], right.bounds[n]).max())
        for n, g in got.items()
    )


def problems(its: Network, dtype: str) -> list[Problem]:
    return [*designed(its, dtype), *random(its, dtype, seed=1, count=5, longest=40)]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_on_our_own_network_it_is_near_the_one_derived_by_hand(dtype: str) -> None:
    elman, ratios = stock("elman"), []
    for problem in problems(elman, dtype):
        x, y, U, W, V = (problem.values[n] for n in ("x", "y", "U", "W", "V"))
        params = rnn_numpy.Params(U, W, V)
        with np.errstate(all="ignore"):
            by_hand = rnn_numpy.bounds(params, x, y).params
            outputs, trace = rnn_numpy.forward(params, x)
            written = rnn_numpy.bptt(params, trace, y)
        right = reference(elman, problem)
        loss = float(rnn_numpy.squared_error(outputs, y))
        assert right.losses.sum() == pytest.approx(loss, rel=1e-5)
        assert worst(dict(zip("UWV", written, strict=True)), right) < 1
        for name, hand in zip("UWV", by_hand, strict=True):
            told = np.isfinite(hand) & (hand > 1000 * np.finfo(dtype).tiny)
            ratios += [*(right.bounds[name][told] / hand[told])]
    assert 0.9 < np.median(ratios) < 1.3
    assert max(ratios) < 1.5


@pytest.mark.parametrize("its", NETWORKS, ids=lambda n: n.name)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_it_covers_autograd_with_rows_and_columns(its: Network, dtype: str) -> None:
    columns, relative = in_columns(its), []
    every = 2 if NIGHTLY else 4 if dtype == "float64" else 8
    for problem in problems(its, dtype)[::every]:
        right = reference(its, problem)
        assert worst(its.evaluate(problem.values).gradients, right) < 1
        turned = {
            n: v if its.arguments[n].role == "tokens" else np.atleast_2d(v).swapaxes(-1, -2)
            for n, v in problem.values.items()
        }
        found = columns.evaluate(turned).gradients
        back = {n: found[n].swapaxes(-1, -2).reshape(v.shape) for n, v in right.gradients.items()}
        assert worst(back, right) < 1
        losses = its.evaluate(problem.values).losses
        with np.errstate(all="ignore"):
            assert (abs(losses - right.losses) <= 2 * right.loss_bounds).all()
            shares = [(b / abs(right.gradients[n])).ravel() for n, b in right.bounds.items()]
        share = np.concatenate(shares)
        relative.append(np.median(share[np.isfinite(share)]) if np.isfinite(share).any() else 0.0)
    assert np.median(relative) < {"float64": 1e-11, "float32": 1e-2}[dtype]


def test_it_covers_flushing_subnormal_numbers_to_zero() -> None:
    its = stock("elman")
    for scale in (1e-13, 1e-19, 1e-30, 1e-38):
        drawn = designed(its, "float32")[0]
        small = {n: (v * scale).astype("float32") for n, v in drawn.values.items() if n in "UW"}
        problem = drawn._replace(values={**drawn.values, **small})
        right = reference(its, problem)
        kept = its.evaluate(problem.values).gradients
        assert torch.set_flush_denormal(True)
        try:
            flushed = its.evaluate(problem.values).gradients
        finally:
            torch.set_flush_denormal(False)
        assert worst(kept, right) < 1
        assert worst(flushed, right) < 1


def test_it_is_infinite_if_rounding_may_overflow() -> None:
    @network(x="time", W="")
    def cubes(x: Any, W: Any) -> Iterator[Any]:
        for x_t in x:
            yield (x_t * W) * (x_t * W) * (x_t * W)

    values = {"x": np.full(2, 1e25, "float32"), "W": np.float32(1e-12)}
    problem = Problem("", {"time": 2}, {n: np.asarray(v) for n, v in values.items()}, "float32")
    assert np.isinf(reference(cubes, problem).bounds["W"])


@network(x="time n_in", W="n_in")
def _gamma(x: Any, W: Any) -> Iterator[Any]:
    for x_t in x:
        yield torch.lgamma(1 + (x_t * W) ** 2).sum()


@network(x="time n_in", W="n_in")
def _reads(x: Any, W: Any) -> Iterator[Any]:
    for x_t in x:
        loss = (x_t * W).sum()
        yield loss if float(loss.detach()) > 0 else -loss


def test_an_operation_without_a_rule_is_named_and_measured_instead() -> None:
    for its, name in ((_gamma, "aten.lgamma"), (_reads, r"\.item\(\)")):
        problem = designed(its)[0]
        with pytest.raises(NotImplementedError, match=f"no rounding rule .*{name}"):
            reference(its, problem)
        right = reference(its, problem, measure=True)
        assert right.measured.startswith("a measured noise floor, not a bound: no rounding rule")
        assert worst(its.evaluate(problem.values).gradients, right) < 1
        wrong = {n: g * (1 + 1e-9) for n, g in right.gradients.items()}
        assert worst(wrong, right) > 1


@network(x="time batch n_in", W="n_in hidden", g="hidden", U="hidden hidden")
def _other_operations(x: Any, W: Any, g: Any, U: Any) -> Iterator[Any]:
    outputs = torch.zeros(len(x), x.shape[1], len(g))
    h = torch.zeros(x.shape[1], len(g))
    for t, x_t in enumerate(x):
        h = torch.nn.functional.layer_norm(torch.cat([x_t @ W, h @ U], 1), [2 * len(g)])
        a, b = h.split(len(g), 1)
        h = torch.nn.functional.gelu(a) * torch.softmax(b, 1) / (1 + g.exp().sqrt())
        outputs[t] = h
        yield torch.logsumexp(outputs[t].clone(), 1).mean() + torch.nn.functional.softplus(h).norm()


def test_other_operations_and_writing_in_place() -> None:
    for dtype in ("float64", "float32"):
        for problem in random(_other_operations, dtype, seed=5, count=6, longest=6):
            right = reference(_other_operations, problem)
            assert worst(_other_operations.evaluate(problem.values).gradients, right) < 1
            right_64 = _other_operations.evaluate(problem.values, "float64").gradients
            for name, gradient in right_64.items():
                np.testing.assert_allclose(gradient, right.gradients[name], rtol=1e-6, atol=1e-9)


@network(y=tokens("batch time", below="vocab"), W="vocab")
def _in_a_view(y: Any, W: Any) -> Iterator[Any]:
    totals = torch.zeros(2)
    total = totals[0]
    for y_t in y.t():
        total += W[y_t].sin().sum()
        yield (totals.clone() ** 2).sum()


@network(y=tokens("batch time", below="vocab"), W="vocab")
def _in_a_number(y: Any, W: Any) -> Iterator[Any]:
    total = torch.zeros(())
    for y_t in y.t():
        total = total + W[y_t].sin().sum()
        yield total**2


def test_a_write_to_a_view_of_one_entry_changes_the_whole() -> None:
    for problem in designed(_in_a_view)[:6]:
        whole, number = reference(_in_a_view, problem), reference(_in_a_number, problem)
        assert worst(_in_a_view.evaluate(problem.values).gradients, whole) < 1
        np.testing.assert_allclose(whole.loss_bounds, number.loss_bounds, rtol=0.5)


@network(x="time batch n", w="n")
def _spread(x: Any, w: Any) -> Iterator[Any]:
    for x_t in x:
        h = w * x_t
        yield (h.var(1) + h.sum(1) / (len(w) - 1)).sum()


def test_a_division_by_zero_decides_nothing_and_is_no_failure() -> None:
    """Of one number the variance is NaN."""
    problem = next(p for p in designed(_spread) if p.name == "one n")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's
        assert not np.isfinite(reference(_spread, problem).bounds["w"]).any()
