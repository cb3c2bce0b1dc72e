"""A mistake is data: each change is run and worded, mistakes compare, print and combine."""

from functools import cache

import numpy as np
import pytest

from bptt_check.catalogue import Catalogue, sentence
from bptt_check.catalogue.words import WORDS
from bptt_check.networks import random, stock
from bptt_check.tracing.changes import (
    ANSWERS,
    ARGUMENTS,
    ARRAYS,
    CARRIES,
    EDGES,
    GATES,
    OPERATIONS,
    gradients,
)
from bptt_check.tracing.mistakes import Mistake, Part
from hand_written import embedded

pytestmark = pytest.mark.unannotated  # thousands of small calls

NETWORKS = {"elman": stock("elman"), "lstm": stock("lstm"), "embedded": embedded}
A, B = (Part("path", name, ((site, 0),), operand="h") for site, name in ((1, "a"), (2, "b")))


@cache
def catalogue(name: str) -> Catalogue:
    return Catalogue(NETWORKS[name])


def test_every_change_is_worded() -> None:
    arrays = {*ARRAYS, "another's"}
    worded = {kind: {change.partition(", ")[0] for change in WORDS[kind]} for kind in WORDS}
    assert {*EDGES} <= worded["path"] | worded["uses"] | worded["carry"]
    assert worded["path"] | worded["uses"] <= {*EDGES, *ARRAYS}
    assert {*CARRIES} <= worded["carry"] <= {*CARRIES, *EDGES, *ARRAYS}
    assert {*ANSWERS} <= worded["answer"] <= {*ANSWERS, *ARRAYS}
    assert {*ARRAYS} <= set().union(*(worded[k] for k in ("path", "uses", "carry", "answer")))
    assert worded["operation"] == {*OPERATIONS} >= worded["taken"]
    assert worded["arguments"] - arrays == {*ARGUMENTS, *GATES} - arrays


@pytest.mark.parametrize("name", NETWORKS)
def test_the_mistakes_of_a_network_are_distinct_and_print(name: str) -> None:
    mistakes = catalogue(name).mistakes
    assert len(set(mistakes)) == len(mistakes) > 500
    for mistake in mistakes:
        assert mistake.change in repr(mistake)
        assert sentence(mistake)


def test_mistakes_in_the_same_contribution_cannot_be_combined() -> None:
    cut, doubled, other = Mistake(A, "cut"), Mistake(A, "factor", (2,)), Mistake(B, "cut")
    assert cut + doubled is None
    assert cut + other == (cut, other)
    for kind in ("operation", "loss", "window"):
        part = Part(kind)
        assert Mistake(part, "cut") + Mistake(part, "negated") is None
        assert Mistake(part, "cut") + other is not None
    dropped = Mistake(Part("carry", states=(3,)), "dropped", (2,))
    assert dropped + Mistake(Part("carry", states=(3, 4)), "cut") is None
    halved, is_zero = (Mistake(Part("answer", names=("W",)), c) for c in ("factor", "cut"))
    assert halved + is_zero == (halved, is_zero)  # one after the other


def test_the_initial_state_is_found_at_any_number_of_steps() -> None:
    """A constant of zeros has another place on a tape with other steps."""
    its, problem = catalogue("elman"), next(iter(random(stock("elman"), seed=3, count=1)))
    assert problem.sizes["time"] != its.template.problem.sizes["time"]
    (mistake,) = (
        m
        for m in its.mistakes
        if (m.change, m.part.operand, m.part.op) == ("operand", "V", "mm")
        and m.by[0].shift == "_(t+1)"
    )
    v = problem.values
    h, o = np.zeros((problem.sizes["time"] + 1, *v["x"].shape[1:-1], len(v["W"]))), []
    for t, x in enumerate(v["x"]):
        h[t] = 1 / (1 + np.exp(-(x @ v["U"] + h[t - 1] @ v["W"])))
        o.append(1 / (1 + np.exp(-h[t] @ v["V"])))
    eps = (np.array(o) - v["y"]) * o * (1 - np.array(o))
    found = gradients(its.graph(problem), mistake)["V"]
    wrong = sum(h[t + 1].T @ eps[t] for t in range(len(eps)))
    np.testing.assert_allclose(found, wrong, rtol=1e-9, atol=1e-12)
