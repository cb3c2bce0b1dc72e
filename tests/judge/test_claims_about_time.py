"""Each claim of `locate`, and a case in which it would be false: there it is not made."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import pytest
import torch

from bptt_check.error_bound import reference
from bptt_check.judge.any_network import AnyNetwork
from bptt_check.judge.asking import Answer, Asked, CannotCheck
from bptt_check.judge.asking import Where as AskedWhere
from bptt_check.reports.text import _matrices
from bptt_check.tracing import Claim, locate
from bptt_check.tracing.locate import Where, _of_one_step, where_words
from hand_written import planted
from rnn_torch.networks import Network, Problem, designed, network, stock, targets, upstream

pytestmark = [pytest.mark.unannotated, pytest.mark.few]  # thousands of small calls
Gradients = dict[str, Any]
SIZES = {"time": 4, "batch": 2, "n_in": 4, "hidden": 3, "n_out": 2}


def made(
    activation: Callable[[Any], Any] = torch.tanh, kept: Callable[[Any], Any] = lambda h: h
) -> Network:
    @network(x="time n", U="n h", W="h h", y=upstream("time h"))
    def its(x: Any, U: Any, W: Any, y: Any) -> Iterator[Any]:
        h = torch.zeros(len(W))
        for x_t, y_t in zip(x, y, strict=True):
            h = activation(x_t @ U + kept(h) @ W)
            yield (h * y_t).sum()

    return its


plain, with_elu = made(), made(torch.nn.functional.elu)


def claimed(ask: Callable[[Problem], Gradients], *only: str, **more: Any) -> Claim:
    def answer(problem: Problem) -> Gradients:
        with np.errstate(over="ignore"):
            return {n: g for n, g in ask(problem).items() if n in only or not only}

    return locate(stock("lstm"), answer, SIZES, **more).claim


def test_wrong_at_its_own_step_or_only_further_back() -> None:
    own = claimed(planted("dg * (1 - g**2)", "dg * g * (1 - g)"))
    assert (own.kind, own.lag, own.labels) == ("own step", 0, ("dU, gate g",))
    back = claimed(planted("ds_next = ds * f", "ds_next = ds * i"))
    assert (back.kind, back.lag, back.loss, back.state) == ("k back", 1, 2, 1)


def test_only_what_is_wrong_at_the_first_wrong_cell_is_said_to_be() -> None:
    """And nothing is said to be right before it where rounding may exceed a part."""
    later, first, all_zero = np.diag([0.0, 9, 9]), np.diag([9.0, 9, 9]), np.ones((3, 3), bool)
    where = Where({"dU": later, "dW": first}, {"dU": ~all_zero, "dW": ~all_zero}, {})
    assert (where.claim.labels, where.claim.loss, where.claim.hidden) == (("dW",), 1, False)
    back = np.diag([9.0, 9], -1) + np.diag([np.nan, 0, 0])
    where = Where({"dU": back}, {"dU": ~all_zero}, {})
    assert (where.claim.kind, where.claim.loss, where.claim.hidden) == ("k back", 2, True)
    assert "right" not in where.words()
    (table,) = _matrices(AskedWhere(where.cells, where.zero, {}))
    _, first_loss, second, _, legend = table.splitlines()
    assert first_loss.split() == ["loss", "t=1", "?"]
    assert second.split() == ["loss", "t=2", "X", "."]
    assert "? rounding may exceed it" in legend


def test_a_part_that_rounding_may_exceed_is_neither_right_nor_wrong() -> None:
    def rough(problem: Problem) -> Any:
        right = reference(plain, problem)
        bounds = {n: b + abs(right.gradients[n]).max() for n, b in right.bounds.items()}
        return right._replace(bounds=bounds)

    found = locate(plain, autograds(plain, lambda _, g: g), reference=rough)
    assert np.isnan(found.cells["dU"]).any()
    assert not found.wrong


def test_which_losses_are_wrong_is_said_as_it_is() -> None:
    for used, words in (
        ([9.0, 9, 9], "from the loss at t=1 on"),
        ([0.0, 9, 9], "from the loss at t=2 on"),
        ([0.0, 9, 0], "first at the loss at t=2"),
    ):
        cells = {"dU": np.zeros((3, 3))}
        where = Where(cells, {"dU": np.ones((3, 3), bool)}, {"dW": np.array(used)})
        assert f"only the sum for dW is wrong, {words}" in where.words()
        assert AskedWhere(cells, cells, where.sums).since("dW") == words


def test_what_is_wrong_as_a_whole_is_not_said_to_be_right_in_each_part() -> None:
    """Such as at one memory layout, which the probes of a step did not have."""
    cells, sums = {"dU": np.zeros((3, 3))}, {"dW": np.array([9.0, 9, 9])}
    zero = {"dU": np.ones((3, 3), bool)}
    assert Where(cells, zero, sums, ("dW",)).claim.right == ("dU",)
    claim = Where(cells, zero, sums, ("dU", "dW")).claim
    assert (claim.kind, claim.right, claim.labels) == ("cannot tell", (), ("dW",))
    assert "the whole of dU is wrong" in claim.reason


@pytest.mark.parametrize("fill", ["Fortran order", "strided views"])
def test_a_mistake_of_one_memory_layout_is_sought_in_it(fill: str) -> None:
    its = stock("tanh")
    (problem,) = (p for p in designed(its) if p.name == fill)
    strides = {n: a.strides for n, a in problem.values.items()}

    def ask(asked: Problem) -> Gradients:
        same = all(asked.values[n].strides == strides[n] for n in ("x", "y", "U"))
        return {"U": its.evaluate(asked.values).gradients["U"] * (2 if same else 1)}

    found = locate(its, ask, problem=problem)
    assert (found.claim.kind, found.claim.labels, found.apart) == ("own step", ("dU",), True)


def test_no_error_is_passed_back_or_a_wrong_one() -> None:
    cut = made(kept=torch.Tensor.detach)
    nothing = locate(plain, autograds(cut, lambda _, g: g)).claim
    assert (nothing.kind, nothing.lag, nothing.vanished) == ("k back", 1, True)
    wrong = claimed(planted("ds_next = ds * f", "ds_next = ds * i"))
    assert (wrong.kind, wrong.lag, wrong.vanished) == ("k back", 1, False)


def test_only_the_sum_is_said_if_another_gradient_shows_right_errors() -> None:
    wrong = planted("h[t - 1].T @ dz", "h[t].T @ dz")
    claim = claimed(wrong)
    assert (claim.kind, claim.labels, claim.right) == ("sums only", ("dW",), ("dU",))
    without = claimed(wrong, "W")  # nothing else was returned: nothing shows it
    assert (without.kind, without.right) == ("cannot tell", ())
    assert without.reason == "no gradient could be split by state step"
    errors = claimed(planted("dz @ W.T", "dz @ W.reshape(4 * 3, 3)"), "U", "V")
    assert errors.kind == "k back"  # dU alone is wrong, and so are the errors


@network(x=targets("time batch n"), y=targets("time batch n"), a="n", w="n")
def leaky(x: Any, y: Any, a: Any, w: Any) -> Iterator[Any]:
    """The network of docs/adding-a-network.md: no gradient has an entry for each step."""
    s = torch.zeros_like(x[0])
    for x_t, y_t in zip(x, y, strict=True):
        s = torch.sigmoid(a) * s + torch.tanh(w * x_t)
        yield 0.5 * ((s - y_t) ** 2).sum()


def test_a_step_is_separated_by_an_input_at_that_step_alone() -> None:
    """No two steps have inputs of their own: there is one number a step."""

    def backward(problem: Problem) -> Gradients:
        x, y, a, w = (problem.values[n] for n in "xyaw")
        f, s = 1 / (1 + np.exp(-a)), np.zeros((len(x) + 1, *x.shape[1:]))
        for t in range(len(x)):
            s[t + 1] = f * s[t] + np.tanh(w * x[t])
        da, dw, ds = 0 * a, 0 * w, 0 * s[0]
        for t in reversed(range(len(x))):
            ds = s[t + 1] - y[t] + ds
            da += (ds * s[t]).sum(axis=0) * f * (1 - f)
            dw += (ds * (1 - np.tanh(w * x[t]) ** 2) * x[t]).sum(axis=0)
            ds = ds * f * f  # wrong
        return {"a": da, "w": dw}

    claim = locate(leaky, backward).claim
    assert (claim.kind, claim.labels, claim.lag) == ("k back", ("dw",), 1)
    assert (claim.loss, claim.state) == (2, 1)


@network(x="time n", U="n h", W="h h", y=targets("time h"))
def mean_loss(x: Any, U: Any, W: Any, y: Any) -> Iterator[Any]:
    h = torch.zeros(len(W))
    for x_t, y_t in zip(x, y, strict=True):
        h = torch.tanh(x_t @ U + h @ W)
        yield ((h - y_t) ** 2).sum() / len(x)


def autograds(its: Network, change: Callable[[Problem, Gradients], Gradients]) -> Any:
    return lambda problem: change(problem, its.evaluate(problem.values).gradients)


def test_an_error_that_does_not_change_with_the_targets() -> None:
    decayed = autograds(mean_loss, lambda p, g: {**g, "W": g["W"] + 0.1 * p.values["W"]})
    found = locate(mean_loss, decayed)
    assert (found.claim.kind, found.whole) == ("cannot tell", ("dW",))
    assert "does not change with the targets" in found.claim.reason
    assert "the losses depend on the number of steps" in found.claim.reason
    doubled = autograds(mean_loss, lambda _, g: {**g, "W": 2 * g["W"]})
    assert locate(mean_loss, doubled).claim.kind == "sums only"
    scaled = autograds(plain, lambda _, g: {**g, "x": g["x"] + 1})
    assert "an input's gradient is not split" in locate(plain, scaled).claim.reason


def test_a_later_state_or_an_earlier_one() -> None:
    rolled = autograds(plain, lambda _, g: {"x": np.roll(g["x"], 1, 0)})
    assert locate(plain, rolled).claim.kind == "own step"  # wrong there, too
    ahead = autograds(plain, lambda p, g: {"x": g["x"] + _of_later_states(p, g)})
    assert locate(plain, ahead).claim.kind == "later state"


def _of_later_states(problem: Problem, found: Mapping[str, Any]) -> Any:
    """What each loss adds to the gradient of the last state, except the last loss."""
    added = 0 * found["x"]
    added[-1] = problem.values["y"][:-1].sum()
    return added


def elu_backward(x: Any, U: Any, W: Any, y: Any) -> Gradients:
    zs, h = [], [np.zeros(len(W))]
    for x_t in x:
        zs.append(x_t @ U + h[-1] @ W)
        h.append(np.where(zs[-1] > 0, zs[-1], np.expm1(np.minimum(zs[-1], 0))))
    dU, dW, dh = 0 * U, 0 * W, 0 * h[0]
    for t in reversed(range(len(x))):
        z = zs[t]  # wrong at z = 0 alone: elu'(0) is 1
        dz = (y[t] + dh) * np.where(z > 0, 1, np.where(z < 0, np.exp(np.minimum(z, 0)), 0))
        dU, dW, dh = dU + np.outer(x[t], dz), dW + np.outer(h[t], dz), dz @ W.T
    return {"U": dU, "W": dW}


@pytest.mark.few(False)
def test_a_mistake_at_special_problems_is_sought_there() -> None:
    def ask(problem: Problem, *_: Any) -> Answer:
        answer = elu_backward(**problem.values)
        return Answer(answer, answer)

    elsewhere = locate(with_elu, lambda p: ask(p).gradients).claim
    assert (elsewhere.kind, elsewhere.labels) == ("cannot tell", ())
    problem = next(p for p in designed(with_elu) if p.name == "weights 0")
    special = locate(with_elu, lambda p: ask(p).gradients, problem=problem)
    assert (special.problem, special.claim.loss) == ("weights 0", 1)
    asked = [Asked(problem, ask(problem), reference(with_elu, problem, measure=True))]
    assert AnyNetwork(with_elu).locate(ask, "float64", asked).wrong == special.wrong == ["dU"]


def test_the_whole_may_be_wrong_though_no_part_is() -> None:
    problem = next(p for p in designed(plain) if p.name == "general")
    bound = reference(plain, problem, measure=True).bounds["W"]

    def off(its: Problem, found: Gradients) -> Gradients:
        return {**found, "W": found["W"] + 2.1 * bound * (its.sizes["time"] == 6)}

    claim = locate(plain, autograds(plain, off), problem=problem).claim
    assert (claim.kind, claim.labels) == ("whole only", ("dW",))
    exact = locate(plain, autograds(plain, lambda _, g: g), problem=problem).claim
    assert exact.kind == "cannot tell"


def test_it_asks_in_the_dtype_of_the_pass() -> None:
    kinds = set()

    def ask(problem: Problem) -> Gradients:
        kinds.add(problem.values["x"].dtype.name)
        return autograds(plain, lambda _, g: g)(problem)

    assert not locate(plain, ask, dtype="float32").wrong
    assert kinds == {"float32"}


def test_a_pass_that_cannot_be_split_is_reported_as_such() -> None:
    @network(x="time n", U="n h", y=targets("h"))
    def last(x: Any, U: Any, y: Any) -> Iterator[Any]:
        for t, x_t in enumerate(x):
            yield ((torch.tanh(x_t @ U) - y) ** 2).sum() * (t == len(x) - 1)

    def ask(problem: Problem, *_: Any) -> Answer:
        found = {n: 2 * g for n, g in last.evaluate(problem.values).gradients.items()}
        return Answer(found, found)

    with pytest.raises(CannotCheck, match="the only loss is at the last step"):
        AnyNetwork(last).locate(ask, "float64")


def test_every_kind_has_its_own_words() -> None:
    kinds = [
        Claim("own step", ("dU",), 0, 1, 1),
        Claim("k back", ("dU",), 1, 2, 1),
        Claim("k back", ("dU",), 2, 3, 1, vanished=True),
        Claim("later state", ("dU",)),
        Claim("sums only", ("dW",), loss=1, right=("dU",)),
        Claim("sums only", ("dW",), loss=1, right=("dV",)),
        Claim("whole only", ("dW",)),
        Claim("cannot tell", ("dW",), loss=1, reason="why"),
    ]
    said = [where_words(claim, ["dU"], "general") for claim in kinds]
    assert len(set(said)) == len(kinds)
    errors_are_right = [s for s in said if "every error passed back" in s]
    assert errors_are_right == [said[4]]
    assert Where({}, {}, {}, reason="why").words().startswith("cannot tell")


def test_gates_are_named_beside_gradients_that_have_none() -> None:
    cells = ["dx", "dU, gate i", "dU, gate f", "dU, gate o"]
    of = {
        ("dx",): "dx: ",
        ("dx", "dU, gate i", "dU, gate f"): "dx, dU, gates i and f: ",
        ("dU, gate i",): "dU, gate i: ",
        tuple(cells[1:]): "dU: ",
    }
    for labels, begin in of.items():
        claim = Claim("own step", labels, 0, 1, 1)
        assert where_words(claim, cells, "general") == begin + (
            "wrong at its own step, first at loss t=1, state t=1"
        )


def test_a_row_of_one_step_is_that_steps_also_where_it_contributes_nothing() -> None:
    """A wrong pass may have an error there: gate r at the first step, where h_0 is 0."""
    touched = np.zeros((2, 3, 4), bool)
    touched[0, 0, :2] = touched[1, 1] = touched[:, 2, 1] = True  # steps, features, units
    found = _of_one_step(touched, [0, 1])
    assert found[0, 0].all()
    assert found[1, 1].all()
    assert found.sum() == 8
