"""A planted mistake is named, with the line of the network; a right pass gets no name."""

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch

from bptt_check.catalogue import Catalogue
from bptt_check.error_bound.bound import Reference, reference
from bptt_check.naming import Asked, Explanation, name_mistakes
from bptt_check.tracing.locate import error_arguments, locate
from hand_written import PLANTED, embedded, planted
from profiles import NIGHTLY
from rnn_torch.networks import Network, Problem, designed, network, random, stock, upstream
from tests.passes.elman_mistakes import CATALOGUE
from tests.passes.elman_mistakes import planted as planted_in_elman

pytestmark = pytest.mark.unannotated  # thousands of small calls

FEW = {"general", "two steps", "one hidden"}
#: The last one is right in a first call, and no problem is asked twice here.
OUT_OF_REACH = {"h_0 treated as h_1", "bits most significant first", "stale gradient buffers"}

#: What is right at a problem of a network, with both: ids are theirs as long as they live.
RIGHT: dict[tuple[int, int], tuple[Network, Problem, Reference]] = {}


@cache
def lstm() -> tuple[Network, Catalogue, list[Problem]]:
    its = stock("lstm")
    return its, Catalogue(its), [p for p in designed(its) if p.name in FEW]


def named(
    its: Network, catalogue: Catalogue, problems: list[Problem], ask: Callable[[Problem], Any]
) -> list[Explanation]:
    with np.errstate(all="ignore"):
        asked = [Asked(p, ask(p), right(its, p)) for p in problems]
        return name_mistakes(asked, catalogue)


def right(its: Network, problem: Problem) -> Reference:
    key = id(its), id(problem)
    if key not in RIGHT:
        RIGHT[key] = its, problem, reference(its, problem)
    return RIGHT[key][2]


@network(x="time batch n", h="batch n", W="n n", d=upstream("batch n"))
def last_alone(x: Any, h: Any, W: Any, d: Any) -> Iterator[Any]:
    for t, x_t in enumerate(x):
        h = torch.tanh(x_t + h @ W)
        yield (h * d).sum() * (t == len(x) - 1)


def test_what_changes_nothing_explains_no_small_error() -> None:
    """Digits that an update loses are none: only the last loss is used, as in the network."""

    def updated(problem: Problem) -> dict[str, Any]:
        gradients, values = right(last_alone, problem).gradients, problem.values
        return {n: values[n] - (values[n] - g) for n, g in gradients.items()}

    (problem,) = (p for p in designed(last_alone) if p.name == "weights of 3")
    assert named(last_alone, Catalogue(last_alone), [problem], updated) == []


#: Reported: a softmax's derivative, and not that of softmax and loss together.
DIAGONAL = (
    "dy[np.arange(B), y[t]] -= 1",
    "dy = -np.eye(len(c))[y[t]] * (1 - p[t])",
    "the softmax's derivative is taken as p (1 - p), without its other entries",
    "wrong at its own step",
)


@pytest.mark.parametrize(
    ("right", "wrong", "sentence", "where"), [DIAGONAL, *(PLANTED if NIGHTLY else PLANTED[::5])]
)
def test_a_planted_mistake_is_named_and_located(
    right: str, wrong: str, sentence: str, where: str
) -> None:
    if "df = " in right:
        right, wrong = "ds * g, ds * s[t - 1], ds", "ds * g, ds * s[t], ds"
        sentence, where = "multiplied by c_t, not c_(t-1)", "gate f: wrong at its own step"
    its, catalogue, problems = lstm()
    found = named(its, catalogue, problems, planted(right, wrong))
    said = locate(its, planted(right, wrong)).words()
    assert any(sentence in text for text in (found[0].sentence, *found[0].also))
    assert where in said


def test_the_message_has_the_line() -> None:
    its, catalogue, problems = lstm()
    (found,) = named(its, catalogue, problems, planted("ds_next = ds * f", "ds_next = ds * i"))
    assert found.mistakes[0].where.endswith("of lstm.py: c = f * c + i * g")


def test_a_result_in_single_precision_is_no_mistake_of_the_catalogue() -> None:
    its, catalogue, problems = lstm()

    def ask(problem: Problem) -> Any:
        small = {
            n: v.astype("float32") if v.dtype.kind == "f" else v for n, v in problem.values.items()
        }
        return planted()(problem._replace(values=small))

    assert named(its, catalogue, [p for p in problems if p.name != "one hidden"], ask) == []


def test_our_own_catalogue_is_named_by_the_derived_one() -> None:
    its = stock("elman")
    catalogue, problems = Catalogue(its), [p for p in designed(its) if max(p.sizes.values()) < 30]
    unnamed = []
    for mistake in CATALOGUE[:: 1 if NIGHTLY else 16]:

        def ask(problem: Problem, mistake: Any = mistake) -> Any:
            v = problem.values
            with np.errstate(all="ignore"):
                answer = planted_in_elman(mistake)(v["x"], v["y"], v["U"], v["W"], v["V"])
            return {n: np.array(a, float) for n, a in zip("UWV", answer, strict=True)}

        if not named(its, catalogue, problems, ask):
            unnamed.append(mistake.name)
    assert set(unnamed) <= OUT_OF_REACH


def test_a_mistake_in_the_loss_alone_is_found() -> None:
    assert error_arguments(stock("lstm")) == ["y"]
    assert error_arguments(stock("gru", loss="upstream", columns=True)) == ["y"]
    assert error_arguments(embedded) == ["y"]

    @network(x="time n", W="n n")
    def no_targets(x: Any, W: Any) -> Any:
        h = 0 * x[0]
        for x_t in x:
            h = (x_t + h @ W).tanh()
            yield h.sum()

    assert error_arguments(no_targets) == []

    def doubled(problem: Problem) -> Any:
        return {n: 2 * g for n, g in no_targets.evaluate(problem.values).gradients.items()}

    found = locate(no_targets, doubled)
    assert found.wrong == ["dW"]


@network(X="batch time n_in", W="n_in hid", b="hid", U="hid hid", up=upstream("batch time hid"))
def batch_first(X: Any, W: Any, b: Any, U: Any, up: Any) -> Iterator[Any]:
    h = X.new_zeros(len(X), len(U))
    for x, d in zip(X.unbind(1), up.unbind(1), strict=True):
        h = torch.tanh(x @ W + h @ U + b)
        yield (h * d).sum()


def test_an_infinite_derivative_does_not_explain_every_answer() -> None:
    """A derivative of 1 / (v (1 - v)), infinite where relu is 0, explained every answer."""

    def backward(X: Any, W: Any, b: Any, U: Any, up: Any) -> dict[str, Any]:
        h = [np.zeros((len(X), len(U)))]
        for x in X.swapaxes(0, 1):
            h.append(np.tanh(x @ W + h[-1] @ U + b))
        dX, dW, db, dU, back = np.zeros_like(X), 0 * W, 0 * b, 0 * U, 0 * h[0]
        for t in reversed(range(X.shape[1])):
            dz = (1 - np.tanh(h[t + 1]) ** 2) * (up[:, t] + back)
            dW += X[:, t].T @ dz
            dU += h[t].T @ dz
            db += up[:, t].sum(0)
            back = dz @ U.T
            dX[:, t] = (up[:, t] @ U.T) @ W.T
        return {"X": dX, "W": dW, "b": db, "U": dU}

    def ask(problem: Problem) -> dict[str, Any]:
        return backward(**problem.values)

    problems = [p for p in designed(batch_first) if p.sizes["time"] < 10]
    problems += random(batch_first, count=4)
    (found,) = named(batch_first, Catalogue(batch_first), problems, ask)
    assert found.left == ("dX",)
    assert [m.change for m in found.mistakes] == ["derivative", "value for gradient"]
    assert found.mistakes[0].by[0] == "tanh'(v)"
