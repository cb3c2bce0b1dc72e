"""The one-token changes of a textbook pass: of every kind, each wrong, and named."""

import inspect
from itertools import islice

import numpy as np
import pytest

from benchmarks.trust.one_token import Backward, every_change, one_token, runs_and_is_wrong
from bptt_check.catalogue import Catalogue
from bptt_check.error_bound import Reference, reference
from bptt_check.naming import Asked, name_mistakes
from profiles import NIGHTLY
from rnn_torch.networks import Problem, random, stock
from tests.passes import textbook
from tests.passes.planted import PLANTED, made
from tests.passes.stock_problems import answer, first_wrong, posed

# Thousands of small calls; in one process, which keeps what is right at each problem.
pytestmark = [pytest.mark.unannotated, pytest.mark.xdist_group("stock problems")]


def test_they_are_many_and_in_the_lines_of_the_pass() -> None:
    """One of each kind: operator, constant, index, name, transpose, sign, slice, call, +=."""
    lines, first = inspect.getsourcelines(textbook.lstm)
    changes = [*every_change("lstm")]
    assert len(changes) > 4 * len(lines)
    assert {change.line - first for change in changes} < set(range(len(lines)))
    assert {
        "dy @ V.T + dh_next -> dy @ V.T - dh_next",
        "2 -> 1",
        "s[t] -> s[t - 1]",
        "g -> i",
        "W.T -> W",
        "dh * o[t] -> -dh * o[t]",
        ":H -> H:2 * H",
        "np.tanh(s[t]) -> sigmoid(s[t])",
        "ds += ds_next -> ds = ds_next",
        "reversed(range(T)) -> range(T)",
    } <= {change.description for change in changes}


def test_the_changes_used_are_wrong() -> None:
    kept = [*islice(one_token("tanh"), 15)]
    assert len(kept) == 15
    assert all(first_wrong("tanh", change.function) for change in kept)


def asked(backward: Backward, problems: list[tuple[Problem, Reference]]) -> list[Asked]:
    """Only finite answers: the judge refuses others."""
    given = [Asked(problem, answer(backward, problem), right) for problem, right in problems]
    return [a for a in given if all(np.isfinite(g).all() for g in a.answer.values())]


@pytest.mark.parametrize("name", ["tanh", "gru", "lstm"] if NIGHTLY else ["tanh"])
def test_three_in_four_are_named_by_what_holds_at_other_problems(name: str) -> None:
    its = stock(name)
    catalogue = Catalogue(its)
    others = [(p, reference(its, p)) for p in random(its, seed=5, count=8)]
    some = islice(every_change(name), 0, None, 1 if NIGHTLY else 32)
    changes = [change for change in some if runs_and_is_wrong(name, change.function)]
    named, refuted = 0, {}
    for change in changes:
        found = name_mistakes(asked(change.function, posed(name)), catalogue)
        if not found or found[0].left:
            continue
        named += 1
        elsewhere = name_mistakes(asked(change.function, others), catalogue, sets=False)
        said = {sentence for e in elsewhere for sentence in (e.sentence, *e.also)}
        if elsewhere and len(found[0].mistakes) == 1 and found[0].sentence not in said:
            refuted[change.description] = found[0].sentence, said
    assert named >= 0.75 * len(changes)
    assert refuted == {}


@pytest.mark.parametrize(
    ("mistake", "axes"), [("the batch", "axis 0"), ("batch and outputs together", "all axes")]
)
def test_a_softmax_less_its_own_maximum_over_a_wrong_sum(mistake: str, axes: str) -> None:
    """Only that less the maximum over the wrong axis was known."""
    one = next(p for p in PLANTED if p.mistake == f"the softmax is normalised over {mistake}")
    (found,) = name_mistakes(asked(made(one), posed("tanh")[:6]), Catalogue(stock("tanh")))
    assert (found.sentence, found.left) == (
        f"the softmax of the error is normalised over {axes}",
        (),
    )
