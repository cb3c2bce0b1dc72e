"""Sets of mistakes: found block by block, and said only of the blocks that they give."""

from collections.abc import Callable, Mapping
from functools import cache

import numpy as np
import pytest

from bptt_check.catalogue import Catalogue, sentence
from bptt_check.error_bound.bound import Reference, reference
from bptt_check.naming import Asked, Explanation, name_mistakes, sets
from bptt_check.naming.evidence import Evidence
from bptt_check.naming.probe import Probe
from bptt_check.networks import designed, random, stock
from bptt_check.networks.network import Array
from bptt_check.networks.problems import Problem
from bptt_check.tracing.mistakes import Mistake, Mistakes

Gradients = dict[str, Array]

pytestmark = pytest.mark.unannotated


@cache
def network(name: str) -> tuple[Catalogue, list[tuple[Problem, Reference]]]:
    its = stock(name)
    problems = [p for p in designed(its) if p.sizes["time"] < 10 and p.sizes["hidden"] < 10]
    problems = [*problems[::2], *random(its, seed=1, count=8, longest=6)]
    return Catalogue(its), [(p, reference(its, p)) for p in problems]


def mistake(name: str, words: str) -> Mistake:
    return next(m for m in network(name)[0].mistakes if sentence(m) == words)


def found(
    name: str, mistakes: Mistakes, change: Callable[[Gradients, Problem], Mapping[str, Array]]
) -> list[Explanation]:
    """What is named of a pass with these mistakes, whose answers are then changed."""
    catalogue, problems = network(name)
    asked = []
    for problem, right in problems:
        answer = catalogue.of(mistakes, problem)
        assert answer is not None
        asked.append(Asked(problem, change(answer, problem), right))
    return name_mistakes(asked, catalogue)


def as_it_is(answer: Gradients, _: Problem) -> Gradients:
    return answer


def odd(*names: str) -> Callable[[Gradients, Problem], Gradients]:
    """These gradients are wrong in a way that is in no catalogue."""
    return lambda answer, _: {n: g * 1.01 + 0.001 if n in names else g for n, g in answer.items()}


SETS = {
    "two factors of one path": (
        "lstm",
        "the derivative of o = sigmoid(...) is taken as sigmoid'(v), with v its value",
        "the path h_t -> o is multiplied by c_t, not torch.tanh(c)",
    ),
    "local, carried, summed": (
        "tanh",
        "the derivative of h_t = tanh(...) is taken as 1 - v, with v its value",
        "the path h @ W -> h_(t-1) is cut",
        "dU has only the last step",
        "dV takes h_(t-1), not h_t",
    ),
    "a sum hides what is passed back": (
        "lstm",
        "the path f * c -> c_(t-1) is cut",
        "dU has only the last step",
        "db is doubled",
    ),
}


@pytest.mark.parametrize("name", SETS)
def test_all_mistakes_of_a_set_are_named(name: str) -> None:
    its, *words = SETS[name]
    mistakes = tuple(mistake(its, each) for each in words)
    (explanation,) = found(its, mistakes, as_it_is)
    assert {sentence(m) for m in explanation.mistakes} == set(words)
    assert not explanation.left
    assert not explanation.one_step


def test_what_no_mistake_gives_is_listed() -> None:
    its = mistake("tanh", "dV takes h_(t-1), not h_t")
    (explanation,) = found("tanh", (its,), odd("U", "b"))
    assert (explanation.mistakes, explanation.explains) == ((its,), ("dV",))
    assert explanation.left == ("dU", "db")


def test_a_gradient_that_is_zero_shows_no_other_mistake() -> None:
    def change(answer: Gradients, problem: Problem) -> Gradients:
        return odd("U", "W", "b")({**answer, "h_0": 0 * answer["h_0"]}, problem)

    (explanation,) = found("tanh", (), change)
    assert [sentence(m) for m in explanation.mistakes] == ["dh_0 is zero"]
    assert explanation.explains == ("dh_0",)
    assert explanation.left == ("dU", "dW", "db")


def test_a_gate_that_is_not_explained_shares_no_mistake() -> None:
    """Where no error is passed back, a mistake in gate f reaches the gradients of gate f alone."""
    words = "the derivative of {} = sigmoid(...) is taken as 1 - v, with v its value"
    its = tuple(mistake("lstm", words.format(gate)) for gate in "io")
    carry = mistake("lstm", "no error is passed back through every state to the step before")

    def change(answer: Gradients, problem: Problem) -> Gradients:
        size = problem.sizes["hidden"]
        wrong = odd("U", "W", "b")(answer, problem)
        its = {
            n: np.concatenate(
                [answer[n][..., :size], g[..., size : 2 * size], answer[n][..., 2 * size :]], -1
            )
            for n, g in wrong.items()
            if n in "UWb"
        }
        return {**answer, **its}

    explanations = found("lstm", (*its, carry), change)
    said = {sentence(m) for each in explanations for m in each.mistakes}
    assert said == {sentence(m) for m in (*its, carry)}


def test_a_gradient_that_is_another_one_needs_no_catalogue() -> None:
    def change(answer: Gradients, problem: Problem) -> Gradients:
        changed = odd("c_0", "U")(answer, problem)
        return {**changed, "h_0": changed["c_0"]}

    (explanation,) = found("lstm", (), change)
    assert [sentence(m) for m in explanation.mistakes] == ["dh_0 is dc_0"]
    assert explanation.explains == ("dh_0",)
    assert set(explanation.left) == {"dc_0", "dU"}


def test_at_one_step_only_is_said_so() -> None:
    local = mistake("tanh", "the derivative of h_t = tanh(...) is taken as 1 - v, with v its value")

    def change(answer: Gradients, problem: Problem) -> Gradients:
        all_wrong = odd("x", "U", "W", "b", "h_0")
        return answer if problem.sizes["time"] == 1 else all_wrong(answer, problem)

    (explanation,) = found("tanh", (local,), change)
    assert explanation.one_step
    assert explanation.mistakes == (local,)
    assert set(explanation.left) == {"dx", "dU", "dW", "db", "dh_0"}


def test_the_search_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sets, "_MOST_COMPUTED", 0)
    its = mistake("tanh", "dV takes h_(t-1), not h_t")
    assert found("tanh", (its,), odd("U", "b")) == []


def test_a_gate_that_is_zero_does_not_make_every_gradient_zero() -> None:
    catalogue, problems = network("lstm")
    probes = []
    for problem, right in problems:
        answer = {n: g.copy() for n, g in odd("U")(dict(right.gradients), problem).items()}
        answer["W"][:, : problem.sizes["hidden"]] = 0
        graph = catalogue.graph(problem)
        probes.append(Probe(problem, answer, right, catalogue.step, graph))
    its = (mistake("lstm", "every gradient is zero"),)
    evidence = Evidence(catalogue, probes, one_step=False)
    given = evidence.given(its, probes[0].all)
    assert [n for i, n in enumerate(probes[0].labels) if given >> i & 1] == ["dW, gate i"]
    assert evidence.supported(its, given) == ((), 0)
