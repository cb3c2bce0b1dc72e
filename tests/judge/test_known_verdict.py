"""A verdict that is known is given, whatever else fails; what is not known is "cannot tell"."""

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import pytest
import torch

from bptt_check.error_bound import Reference
from bptt_check.judge import examine as judge
from bptt_check.judge.any_network import AnyNetwork
from bptt_check.judge.asking import Answer, Ask, Asked, CannotCheck
from bptt_check.judge.candidate import in_this_process
from bptt_check.judge.examine import examine
from bptt_check.judge.report import Report
from bptt_check.reports.page import as_html
from bptt_check.reports.text import as_markdown, as_text
from bptt_check.testing import check
from rnn_torch.networks import Problem, network, targets
from rnn_torch.testing import assert_gradient_parity

pytestmark = [pytest.mark.unannotated, pytest.mark.few]
Array = np.ndarray
Gradients = dict[str, Array]


@network(x="time batch n_in", y=targets("time batch hidden"), U="n_in hidden", W="hidden hidden")
def rnn(x: Any, y: Any, U: Any, W: Any) -> Iterator[Any]:
    h = torch.zeros(x.shape[1], len(W))
    for x_t, y_t in zip(x, y, strict=True):
        h = torch.tanh(x_t @ U + h @ W)
        yield 0.5 * ((h - y_t) ** 2).sum()


def every(x: Array, y: Array, U: Array, W: Array, h_0: Array) -> tuple[float, list[Array], Array]:
    """The loss, the gradients of x, U and W, and the last state."""
    h, loss = [h_0], 0.0
    for x_t, y_t in zip(x, y, strict=True):
        h.append(np.tanh(x_t @ U + h[-1] @ W))
        loss += 0.5 * ((h[-1] - y_t) ** 2).sum()
    dx, dU, dW, dh = 0 * x, 0 * U, 0 * W, 0 * h_0
    for t in reversed(range(len(x))):
        dz = (h[t + 1] - y[t] + dh) * (1 - h[t + 1] ** 2)
        dx[t], dU, dW = dz @ U.T, dU + x[t].T @ dz, dW + h[t].T @ dz
        dh = dz @ W.T
    return loss, [dx, dU, dW], h[-1]


def last_state(x: Array, y: Array, U: Array, W: Array) -> Array:
    return every(x, y, U, W, np.zeros((x.shape[1], len(W)), x.dtype))[2]


def backward(x: Array, y: Array, U: Array, W: Array) -> Gradients:
    _, found, _ = every(x, y, U, W, np.zeros((x.shape[1], len(W)), x.dtype))
    return dict(zip(("dx", "dU", "dW"), found, strict=True))


def wrong(x: Array, y: Array, U: Array, W: Array) -> Gradients:
    found = backward(x, y, U, W)
    return {**found, "dW": 7 * found["dW"]}


SUBJECT = AnyNetwork(rnn)  # with its references, for all tests


def examined(function: Callable[..., Any]) -> Report:
    return examine(in_this_process(function, SUBJECT), SUBJECT)


def refusing(function: Callable[..., Gradients], size: Callable[..., int]) -> Callable[..., Any]:
    def raises_at_one(x: Array, y: Array, U: Array, W: Array) -> Gradients:
        if size(x, W) == 1:
            raise ValueError("operands could not be broadcast together")
        return function(x, y, U, W)

    return raises_at_one


@pytest.mark.parametrize(
    ("axis", "size", "answered"),
    [("batch", lambda x, W: x.shape[1], 3), ("time", lambda x, W: len(x), 6)],
)
def test_raising_at_one_size_leaves_the_other_problems(
    axis: str, size: Callable[..., int], answered: int
) -> None:
    report = examined(refusing(backward, size))
    assert (report.verdict, report.exit_code) == ("cannot tell", 2)
    assert report.conditions == ((axis, 1, answered),)
    assert {each.sizes[axis] for each in report.unanswered} == {1}
    assert report.problems - len(report.unanswered) == report.telling
    assert f"--shapes {axis}={answered} asks only" in " ".join(as_text(report, "f").split())
    assert check(refusing(backward, size), rnn, shapes=f"{axis}={answered}").right

    report = examined(refusing(wrong, size))
    assert (report.verdict, report.exit_code) == ("disagrees", 1)
    assert report.conditions == ((axis, 1, answered),)
    assert report.mistakes is not None


def test_no_size_is_blamed_where_none_explains_it() -> None:
    def raises_at_large_inputs(x: Array, y: Array, U: Array, W: Array) -> Gradients:
        if abs(x).max() > 100:
            raise OverflowError("too large")
        return backward(x, y, U, W)

    report = examined(raises_at_large_inputs)
    assert report.verdict == "cannot tell"
    assert [each.problem for each in report.unanswered] == ["inputs of 300"]
    assert report.conditions == ()
    assert "--shapes" not in as_text(report, "f")


def test_an_exception_at_every_problem_is_the_candidates_own() -> None:
    def fails(x: Array, y: Array, U: Array, W: Array) -> Gradients:
        raise KeyError("Wx")

    with pytest.raises(KeyError, match="Wx"):
        examined(fails)


@pytest.mark.verdict
def test_nan_where_autograd_is_finite_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    def overflows(x: Array, y: Array, U: Array, W: Array) -> Gradients:
        scale = np.inf if abs(x).max() > 100 else 1
        return {n: g * scale for n, g in backward(x, y, U, W).items()}

    report = examined(overflows)
    assert (report.verdict, report.exit_code) == ("disagrees", 1)
    assert report.not_finite == ("inputs of 300",)
    assert report.only_at == ("inputs of 300",)
    assert report.mistakes is None  # the catalogue is not asked, and is not said to fit nothing
    assert not report.impure
    document = json.loads(json.dumps(report.as_dict(), allow_nan=False))
    assert document["not_finite"] == ["inputs of 300"]
    assert "right elsewhere" in " ".join(as_text(report, "f").split())

    seen: list[Asked] = []  # a mistake is sought at the finite answers alone
    monkeypatch.setattr(AnyNetwork, "names", lambda _, asked: seen.extend(asked))
    both = examined(lambda x, y, U, W: {**overflows(x, y, U, W), "dW": 7 * W})
    assert seen
    assert all(a.answer.is_finite for a in seen)
    assert both.not_finite == ("inputs of 300",)
    assert both.verdict == "disagrees"
    assert "right elsewhere" not in " ".join(as_text(both, "f").split())


def test_a_form_that_fits_at_equal_sizes_alone_is_no_wrong_answer() -> None:
    def in_another_order(x: Array, y: Array, U: Array, W: Array) -> tuple[Array, ...]:
        one, other, last = backward(x, y, U, W).values()
        return last, other, one  # dW, dU, dx: they fit where all sizes are equal

    with pytest.raises(CannotCheck, match="without a meaning: last, other, one"):
        examined(in_another_order)


def test_what_is_not_returned_stands_in_the_verdict() -> None:
    def part(x: Array, y: Array, U: Array, W: Array) -> Gradients:
        return {"dW": backward(x, y, U, W)["dW"]}

    report = examined(part)
    assert (report.verdict, report.returned, report.missing) == ("agrees", ("dW",), ("dx", "dU"))
    said = "RIGHT for dW; not returned: dx, dU"
    assert as_text(report, "f").startswith(said)
    assert said in as_markdown(report, "f")
    assert f"<b>{said}</b>" in as_html([("f", report)], "float64")
    with pytest.warns(UserWarning, match="not returned, so not checked: dx, dU"):
        assert_gradient_parity(part, network=rnn)
    with pytest.raises(AssertionError, match="not returned, so not checked: dx, dU"):
        assert_gradient_parity(part, network=rnn, require="all")
    assert_gradient_parity(backward, network=rnn, require="all")


#: What is returned besides the gradients, the verdict of a right pass, and what is not identified.
BESIDES: list[tuple[Callable[[Problem], Mapping[str, Any]], str, tuple[str, ...]]] = [
    (lambda p: {"others": {"dV": np.ones(p.values["W"].shape)}}, "cannot tell", ("dV",)),
    (lambda p: {"others": {"h": last_state(**p.values)}}, "agrees", ()),
    # zeros are equal to any quantity that is zero
    (lambda p: {"others": {"h": 0 * p.values["W"]}}, "cannot tell", ("h",)),
    (lambda p: {"unnamed": ("cache",)}, "cannot tell", ("cache",)),
]


@pytest.mark.verdict
@pytest.mark.parametrize(("besides", "verdict", "unidentified"), BESIDES)
def test_nothing_returned_is_dropped(
    besides: Callable[[Problem], Mapping[str, Any]], verdict: str, unidentified: tuple[str, ...]
) -> None:
    for function, its in ((backward, verdict), (wrong, "disagrees")):
        ask = in_this_process(function, SUBJECT)
        report = examine(lambda p, *b, ask=ask: ask(p, *b)._replace(**besides(p)), SUBJECT)
        assert (report.verdict, report.unidentified) == (its, unidentified)
        assert report.also == (() if unidentified else ("h is h after the last step",))


@network(x="time batch n_in", y=targets("time batch hidden"), U="n_in hidden", W="hidden hidden",
         h_0="batch hidden")  # fmt: skip
def with_state(x: Any, y: Any, U: Any, W: Any, h_0: Any) -> Iterator[Any]:
    h = h_0
    for x_t, y_t in zip(x, y, strict=True):
        h = torch.tanh(x_t @ U + h @ W)
        yield 0.5 * ((h - y_t) ** 2).sum()


#: A state stands where the gradient of h_0 could.
FORMS: dict[str, Callable[..., tuple[Any, ...]]] = {
    "behind gradients": lambda loss, g, h: (*g, h),
    "a loss, a list, a state": lambda loss, g, h: (loss, g, h),
    "behind a loss and gradients": lambda loss, g, h: (loss, *g, h),
}


@pytest.mark.verdict
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("factor", [1, 7])
def test_a_state_in_a_gradients_place_is_no_gradient(form: str, factor: int) -> None:
    def with_a_state(x: Array, y: Array, U: Array, W: Array, h_0: Array) -> tuple[Any, ...]:
        loss, (dx, dU, dW), h = every(x, y, U, W, h_0)
        return FORMS[form](loss, [dx, dU, factor * dW], h)

    report = check(with_a_state, with_state, shapes="time=4,batch=2")
    assert report.verdict == ("agrees" if factor == 1 else "disagrees")
    assert (report.returned, report.missing) == (("dx", "dU", "dW"), ("dh_0",))
    assert report.unidentified == ()
    assert report.also[0].endswith("is h after the last step")


def test_a_step_that_fails_after_the_verdict_changes_nothing_in_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fails(*_: Any) -> Any:
        raise KeyError("V")

    def with_input(x: Array, y: Array, U: Array, W: Array) -> Any:
        return {**wrong(x, y, U, W), "h": x[0]}

    for name in ("names", "locate", "votes", "blind"):
        monkeypatch.setattr(AnyNetwork, name, fails)
    monkeypatch.setattr(judge, "about_losses", fails)
    with pytest.raises(KeyError):
        examined(wrong)
    monkeypatch.setattr(judge, "raise_failures", False)
    report = examined(backward)
    assert report.right
    assert len(report.failed) == 2
    monkeypatch.setattr(judge, "meanings", fails)
    report = examined(with_input)
    assert (report.verdict, report.unidentified) == ("disagrees", ("h",))
    assert (report.mistakes, report.not_named, report.where) == (None, "naming it failed", None)
    steps: tuple[str, ...] = (
        "telling what else it returns",
        "comparing the losses",
        "naming the mistake",
    )
    steps += "finding the time step", "asking other methods"
    for text, step in zip(report.failed, steps, strict=True):
        assert text.startswith(f"{step} failed: KeyError: 'V'")
    assert "The verdict stands" in as_text(report, "f")


@pytest.mark.verdict
def test_after_a_time_limit_no_problem_is_asked() -> None:
    subject = SUBJECT
    problems = subject.problems("float64", 0)

    def ask_until(function: Callable[..., Gradients]) -> Ask:
        inner = in_this_process(function, subject)

        def ask(problem: Problem, *before: Problem) -> Answer:
            if problem.name == "Fortran order":
                raise CannotCheck("it gave no answer within 1 seconds", ended=True)
            assert problem is problems[0] or problem.name != "strided views"
            return inner(problem, *before)

        return ask

    report = examine(ask_until(backward), subject)
    assert report.verdict == "cannot tell"
    assert [each.problem for each in report.unanswered] == ["Fortran order"]
    assert report.problems < len(problems)
    assert examine(ask_until(wrong), subject).verdict == "disagrees"


class Blind(AnyNetwork):
    """A subject whose bound of dW is infinite; at some problems the network fails, too."""

    def _reference(self, problem: Problem) -> Reference:
        if problem.name == "inputs of 300":
            raise ValueError("rnn fails: the logarithm of a negative number")
        right = super()._reference(problem)
        return right._replace(bounds={**right.bounds, "W": right.bounds["W"] + np.inf})


@pytest.mark.verdict
def test_a_gradient_that_no_problem_can_judge_is_not_right() -> None:
    subject = Blind(rnn, {"time": 4})
    report = examine(in_this_process(wrong, subject), subject)  # wrong in dW alone
    assert report.verdict == "cannot tell"
    assert report.undecided == ("no problem can tell a right dW from a wrong one",)
    assert dict(report.untold)["inputs of 300"].startswith("the network fails")
    assert report.telling < report.problems


def test_a_different_set_of_gradients_at_one_problem_is_no_answer() -> None:
    def forgets(x: Array, y: Array, U: Array, W: Array) -> Gradients:
        found = backward(x, y, U, W)
        return {"dU": found["dU"]} if len(x) == 1 else found

    report = examined(forgets)
    assert report.verdict == "cannot tell"
    assert {each.sizes["time"] for each in report.unanswered} == {1}


def test_a_pass_that_fails_when_purity_is_asked_is_not_right() -> None:
    subject = SUBJECT
    inner = in_this_process(backward, subject)

    def ask(problem: Problem, *before: Problem) -> Answer:
        if problem.name in ("A", "B"):
            raise CannotCheck("it raises MemoryError", kind="MemoryError")
        return inner(problem, *before)

    report = examine(ask, subject)
    assert report.verdict == "cannot tell"
    assert len(report.undecided) == 1
