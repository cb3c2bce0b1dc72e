"""The examination: verdict and votes; every mistake detected, every right pass accepted."""

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bptt_check.error_bound import Reference
from bptt_check.judge.any_network import AnyNetwork
from bptt_check.judge.asking import CannotCheck, Explanation, Mistake, Where
from bptt_check.judge.comparison import Entry, agrees
from bptt_check.judge.report import Report
from bptt_check.networks import Problem, designed, random, stock
from bptt_check.reports.page import as_html
from bptt_check.reports.text import as_markdown, as_text, in_one_line
from catalogued import of_name, questions
from constructions import RIGHT, without_derivatives
from judged import SMALL, examine, in_this_process, remade, subject_for
from problems import Array
from profiles import NIGHTLY
from rnn_numpy.elman_network.textbook import Backward, textbook
from tests.passes.elman_mistakes import CATALOGUE, planted

TINY = "4,2,1,2,1"
pytestmark = [pytest.mark.unannotated, pytest.mark.few]  # thousands of small calls


def test_no_right_candidate_is_accused() -> None:
    """All constructions, at designed and random problems in both dtypes."""
    rng = np.random.default_rng(0)
    subject = subject_for()
    drawn = (p for t in ("float64", "float32") for p in random(subject.network, t, 1, 60))
    pool = [(p, subject.reference(p)) for p in drawn]
    pool += questions("float64") + questions("float32")
    for number in range(10_000 if NIGHTLY else 120):
        backward = RIGHT[number % len(RIGHT)]
        one, right = pool[rng.integers(len(pool))]
        answer = in_this_process(backward)(one)
        assert agrees(answer.gradients, right), (backward.__name__, one.sizes)
        assert agrees(answer.second, right)
        assert not answer.impure


@pytest.mark.parametrize("backward", RIGHT, ids=lambda f: f.__name__)
def test_right_passes_pass(backward: Backward) -> None:
    slow = backward is without_derivatives and not NIGHTLY
    report = examine(in_this_process(backward), shapes=SMALL if slow else "any")
    assert report.right
    assert report.verdict == "agrees"
    assert report.used <= 1
    assert as_text(report, "f").startswith("RIGHT: f agrees with autograd to within rounding")
    assert "\n" not in as_text(replace(report, blind=()), "f")


def test_right_gradients_are_prepared_once_for_the_subjects_own_problems() -> None:
    asked = []

    class Counting(AnyNetwork):
        def _reference(self, problem: Problem) -> Reference:
            asked.append(problem.name)
            return super()._reference(problem)

    network = stock("elman")
    subject = Counting(network)
    own, stranger = subject.problems("float64", 0)[0], designed(network)[0]
    assert asked.count(own.name) == 1  # it has been seen that it can tell
    subject.prepare(own)
    assert subject.reference(own) is subject.reference(own)
    subject.prepare(stranger)
    assert asked.count(own.name) == 1
    assert subject.reference(stranger) is not subject.reference(stranger)


@pytest.mark.few(False)
def test_a_wrong_pass_that_cannot_be_located_is_still_wrong() -> None:
    def stumbles(x: Array, y: Array, U: Array, W: Array, V: Array) -> tuple[Array, Array, Array]:
        if ((x == 0) | (x == 1)).all() and (x.sum(-1) == 1).all():  # one-hot inputs
            raise ValueError("too many zeros")
        dU, dW, dV = textbook(x, y, U, W, V)
        return dU + 1, dW, dV

    report = examine(in_this_process(stumbles))
    assert report.verdict == "disagrees"
    assert {each.problem for each in report.unanswered} == {
        "inputs of their own each",
        "the same input twice",
        "some inputs again",
    }
    assert report.where is None
    assert report.not_located == "it raises ValueError: too many zeros"


def test_no_entry_of_a_right_gradient_is_shown() -> None:
    report = examine(remade(lambda: planted(of_name("W not transposed"))))
    assert [entry.right for entry in report.worst] == [False, False, True]
    noise = Entry("dV", (7, 9), "elsewhere", 1.25, 1.25 + 1e-17, 1e-15, 0.5, 0.25)
    elsewhere = replace(report, worst=(*report.worst[:2], noise))
    assert as_text(report, "f") == as_text(elsewhere, "f")
    assert as_markdown(report, "f") == as_markdown(elsewhere, "f")
    assert "dV: right" in as_text(report, "f").splitlines()


def test_votes() -> None:
    report = examine(remade(lambda: planted(of_name("W not transposed"))))
    assert {
        v.method: (v.autograd_is_right, v.yours_is_right) for v in report.votes
    } == dict.fromkeys(("complex step", "RTRL", "Taylor order"), (True, False))
    screen = " ".join(as_text(report, "f").split())
    assert "autograd, complex step, RTRL, Taylor order agree; yours stands alone" in screen
    assert len(as_text(report, "f").splitlines()) <= 30  # one screen


def test_a_finite_difference_is_called_approximate() -> None:
    """In float32 and forward; a central one in float64 is an example."""
    step, evaluate = 1e-3, subject_for().network.evaluate

    def differences(**given: Array) -> dict[str, Array]:
        # Wider inside for float32, where the rounding of the loss would swamp the difference.
        values = {n: a.astype(np.float64) for n, a in given.items()}
        before = evaluate(values).losses.sum()
        gradients = {f"d{n}": np.zeros_like(values[n]) for n in "UWV"}
        for n in "UWV":
            for at in np.ndindex(values[n].shape):
                kept = values[n][at]
                values[n][at] = kept + step
                gradients[f"d{n}"][at] = (evaluate(values).losses.sum() - before) / step
                values[n][at] = kept
        return gradients

    # At one size: the example of a finite difference is asked all of them.
    report = examine(in_this_process(differences), dtype="float32", shapes=TINY)
    assert report.verdict == "approximate"
    assert report.mistakes == ()
    assert as_text(report, "f").startswith("APPROXIMATE")


def test_another_size_would_not_help_where_the_form_is_wrong() -> None:
    with pytest.raises(CannotCheck, match=r"it must return \(dU, dW, dV\) or a mapping") as error:
        examine(in_this_process(lambda x, y, U, W, V: None))
    assert "--shapes" not in str(error.value)


def test_float32_in_a_float64_pass_is_named() -> None:
    def narrow(*arrays: Array) -> Any:
        return textbook(*(a.astype(np.float32) for a in arrays))

    report = examine(in_this_process(narrow))
    assert report.mistakes
    assert [[m.name for m in found.mistakes] for found in report.mistakes] == [
        ["lower precision inside"]
    ]


def test_json_and_markdown_have_everything() -> None:
    report: Report = examine(remade(lambda: planted(of_name("factor 2"))))
    document = report.as_dict()
    assert document["verdict"] == "disagrees"
    assert [e["name"] for e in document["worst"]] == ["dU", "dW", "dV"]
    assert document["mistakes"][0]["mistakes"][0]["name"] == report.mistakes[0].name  # type: ignore[index]
    assert document["factors"] == [
        f"d{p} is 2 times the gradient, to within rounding" for p in "UWV"
    ]
    assert np.shape(document["where"]["cells"]["dU"]) == (6, 6)
    markdown = as_markdown(report, "f")
    assert markdown.startswith("### WRONG: `f` does not agree")
    assert markdown.count("```") == 4
    # GitHub joins lines that no empty one parts.
    prose = re.sub(r"^```.*?^```", "", markdown, flags=re.DOTALL | re.MULTILINE)
    assert all("\n" not in paragraph for paragraph in prose.strip().split("\n\n"))
    starred = Mistake("a*b*c", "_W_")
    markdown = as_markdown(replace(report, mistakes=(Explanation((starred,)),)), "f")
    assert "a\\*b\\*c" in markdown
    assert "\\_W\\_" in markdown


def test_an_unknown_mistake_gets_no_name() -> None:
    def odd(x: Array, y: Array, U: Array, W: Array, V: Array) -> tuple[Array, Array, Array]:
        dU, dW, dV = textbook(x, y, U, W, V)
        return dU * 1.01, dW, dV + 0.001

    report = examine(in_this_process(odd))
    assert report.verdict == "disagrees"
    assert report.mistakes == ()
    assert report.factors == ("dU is 1.01 times the gradient, to within rounding",)
    assert "None of those known gives these gradients" in as_text(report, "odd")


@pytest.mark.parametrize("count", [1, 2, 5])
def test_the_mistakes_of_a_set_are_numbered(count: int) -> None:
    mistakes = tuple(Mistake(m.name, m.equation) for m in CATALOGUE[:count])
    report = Report("disagrees", "float64", None, 1, 1, 9.0, mistakes=(Explanation(mistakes),))
    said = as_text(report, "f")
    page = re.sub(r"<.*?>|\s+", " ", as_html([("f", report)], "float64"))
    numbered = re.findall(r"^  (\d)\. (.+)$", said, re.MULTILINE)
    if count == 1:
        assert f"\nIt behaves exactly like: {CATALOGUE[0].name}\n" in said
        assert not numbered
    else:
        lead = f"It behaves exactly like these {count} mistakes together:"
        assert lead in said
        assert lead in page
        assert numbered == [(str(k), m.name) for k, m in enumerate(mistakes, 1)]


def test_what_nothing_explains_is_listed_with_its_first_wrong_loss() -> None:
    its = Explanation((Mistake("a mistake", ""),), (), ("dU",), ("dV", "dW, gate i"))
    used = np.array([[1.0, 0], [1.0, 9.0]])
    where = Where({"dV": used}, {"dV": used == 0}, {"dW, gate i": np.array([9.0, 1.0])})
    report = Report("disagrees", "float64", None, 1, 1, 9.0, mistakes=(its,), where=where)
    words = (
        "Not explained: dV (wrong from the loss at t=2 on); dW, gate i (wrong first at the loss at "
        "t=1)."
    )
    assert words in " ".join(as_text(report, "f").split())
    assert in_one_line(report, "f") == "f: dU: a mistake; "
