"""The examination: every mistake of the catalogue caught and named, no right pass accused."""

import functools
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from constructions import RIGHT
from problems import Array
from rnn_numpy import Params, bptt, forward
from rnn_numpy.mistakes import CATALOGUE, Mistake, planted
from rnn_numpy.textbook import Backward, sigmoid, textbook
from rnn_torch.candidate import Answer, CannotCheck, in_this_process, remade
from rnn_torch.diagnose import Asked, name_mistakes
from rnn_torch.examine import Report, examine
from rnn_torch.locate import locate
from rnn_torch.parity import Reference, agrees, blind_to, power, reference
from rnn_torch.problems import RECIPE, Problem, Shapes, Sizes, designed, problem, random
from rnn_torch.screen import as_markdown, as_text

pytestmark = pytest.mark.unannotated  # thousands of small calls
dtypes = pytest.mark.parametrize("dtype", ["float64", "float32"])
ANY = Shapes()


@functools.cache
def questions(dtype: str) -> list[tuple[Problem, Reference]]:
    asked = [*designed(ANY, dtype), *random(ANY, dtype, 0, 6)]
    return [(p, reference(p)) for p in asked]


def interrogated(make: Callable[[], Backward], dtype: str) -> list[Asked]:
    ask = remade(make)
    with np.errstate(all="ignore"):
        return [Asked(p, ask(p), right) for p, right in questions(dtype)]


@dtypes
@pytest.mark.parametrize("mistake", CATALOGUE, ids=lambda m: m.name)
def test_every_mistake_is_caught_and_named(mistake: Mistake, dtype: str) -> None:
    asked = interrogated(lambda: planted(mistake), dtype)
    caught = [
        a
        for a in asked
        if not (agrees(a.answer.gradient, a.right) and agrees(a.answer.second, a.right))
    ]
    assert caught
    assert name_mistakes(asked) == [(mistake,)]


@dtypes
def test_the_kill_matrix_has_no_blind_spot(dtype: str) -> None:
    assert blind_to(designed(ANY, dtype)) == []


def test_no_right_candidate_is_accused() -> None:
    """1,000 answers of nine constructions, at designed and random problems in both dtypes."""
    rng = np.random.default_rng(0)
    pool = [(p, reference(p)) for t in ("float64", "float32") for p in random(ANY, t, 1, 60)]
    pool += questions("float64") + questions("float32")
    for number in range(1000):
        backward = RIGHT[number % len(RIGHT)]
        one, right = pool[rng.integers(len(pool))]
        answer = in_this_process(backward)(one)
        assert agrees(answer.gradient, right), (backward.__name__, one.sizes)
        assert agrees(answer.second, right)
        assert not answer.impure


@pytest.mark.parametrize("backward", RIGHT, ids=lambda f: f.__name__)
def test_right_passes_pass(backward: Backward) -> None:
    report = examine(in_this_process(backward))
    assert report.right
    assert report.verdict == "agrees"
    assert report.used <= 1
    assert as_text(report, "f").startswith("RIGHT: f agrees with autograd to within rounding")
    assert "\n" not in as_text(report, "f")


# The same mistakes in passes that are written another way than the textbook's.
def vectorised(
    x: Array, y: Array, U: Array, W: Array, V: Array, wrong: str = ""
) -> tuple[Array, Array, Array]:
    time, batch, _ = x.shape
    h = np.zeros((time + 1, batch, len(W)), x.dtype)
    projected = x @ U
    for t in range(time):
        h[t + 1] = sigmoid(projected[t] + h[t] @ W)
    o = sigmoid(h[1:] @ V)
    eps = (o - y) * (o - o * o)
    if wrong == "cross-entropy's delta":
        eps = o - y
    slope = h[1:] - h[1:] ** 2
    if wrong == "tanh's derivative":
        slope = (1 - h[1:]) * (1 + h[1:])
    delta = eps @ V.T
    for t in reversed(range(time)):
        if t + 1 < time:
            delta[t] += delta[t + 1] @ (W if wrong == "W not transposed" else W.T)
        delta[t] *= slope[t]
    before = h[1:] if wrong == "h_t for h_{t-1} in dW" else h[:-1]
    gradients = [np.einsum("tbi,tbo->io", *p) for p in ((x, delta), (before, delta), (h[1:], eps))]
    if wrong == "batch averaged, not summed":
        gradients = [gradient / batch for gradient in gradients]
    dU, dW, dV = gradients
    return dU, dW, dV


@dtypes
@pytest.mark.parametrize(
    "wrong",
    [
        "W not transposed",
        "cross-entropy's delta",
        "tanh's derivative",
        "h_t for h_{t-1} in dW",
        "batch averaged, not summed",
    ],
)
def test_a_mistake_is_named_however_it_is_written(wrong: str, dtype: str) -> None:
    asked = interrogated(lambda: functools.partial(vectorised, wrong=wrong), dtype)
    assert [[m.name for m in found] for found in name_mistakes(asked)] == [[wrong]]


def test_a_wrong_pass_that_cannot_be_located_is_still_wrong() -> None:
    def stumbles(x: Array, y: Array, U: Array, W: Array, V: Array) -> tuple[Array, Array, Array]:
        if (x == 0).mean() > 0.8:  # one-hot inputs, with a batch
            raise ValueError("too many zeros")
        dU, dW, dV = textbook(x, y, U, W, V)
        return dU + 1, dW, dV

    def ask(one: Problem) -> Answer:
        try:
            return in_this_process(stumbles)(one)
        except ValueError as error:
            if one.name == "one-hot inputs":
                return in_this_process(textbook)(one)
            raise CannotCheck(f"it raises {error}") from None

    report = examine(ask)
    assert report.verdict == "disagrees"
    assert report.where is None
    assert "asked loss by loss, it gives no answer: it raises too many zeros" in " ".join(
        as_text(report, "f").split()
    )


@pytest.mark.parametrize("factor", [3, 0.5, 1.0005, 1 + 1e-9])
def test_one_number_is_said_as_it_is(factor: float) -> None:
    def scaled(x: Array, y: Array, U: Array, W: Array, V: Array) -> tuple[Array, Array, Array]:
        dU, dW, dV = textbook(x, y, U, W, V)
        return dU, factor * dW, dV

    report = examine(in_this_process(scaled))
    (sentence,) = report.factors
    found = re.fullmatch(r"dW is exactly (\S+) times the gradient", sentence)
    assert found is not None
    assert abs(float(found[1]) - factor) < 1e-8


def of_name(name: str) -> Mistake:
    return next(m for m in CATALOGUE if m.name == name)


@pytest.mark.parametrize(
    "names",
    [
        ("W not transposed", "factor 2"),
        ("h_t for h_{t-1} in dW", "batch averaged, not summed"),
        ("tanh's derivative", "L1's sign"),
        ("recurrent term dropped", "h_{t-1} for h_t in dV"),
    ],
)
def test_two_mistakes_at_once_are_both_found(names: tuple[str, str]) -> None:
    pair = tuple(map(of_name, names))
    found = name_mistakes(interrogated(lambda: planted(*pair), "float64"))
    # Some pairs are the same function as another pair; the right one is among those named.
    assert set(pair) in [set(together) for together in found]


def test_what_is_not_in_the_catalogue_is_not_guessed() -> None:
    def odd(x: Array, y: Array, U: Array, W: Array, V: Array) -> tuple[Array, Array, Array]:
        dU, dW, dV = textbook(x, y, U, W, V)
        return dU * 1.01, dW, dV + 0.001

    report = examine(in_this_process(odd))
    assert report.verdict == "disagrees"
    assert report.mistakes == ()
    assert report.factors == ("dU is exactly 1.010 times the gradient",)
    assert "No guess is made" in as_text(report, "odd")


def located(name: str, shapes: Shapes = ANY, window: int | None = None) -> Any:
    return locate(remade(lambda: planted(of_name(name))), shapes, "float64", window)


def test_the_recurrent_path_is_located() -> None:
    where = located("W not transposed")
    # Right where the steps coincide, wrong at every distance from one step on.
    np.testing.assert_array_equal(where.wrong, np.tril(np.ones((6, 6), bool), -1))
    assert where.words() == (
        "right where loss and state step coincide; first wrong one step back, "
        "loss t=2 -> state t=1: the recurrent path (7)"
    )


def test_truncation_is_located_as_such() -> None:
    where = located("truncation: no error travels more than 2 steps back")
    np.testing.assert_array_equal(where.wrong, np.tril(np.ones((6, 6), bool), -3))
    np.testing.assert_array_equal(where.zero[where.wrong], True)
    assert (
        "right up to 2 steps back; first wrong 3 steps back, loss t=4 -> state t=1" in where.words()
    )
    assert "the error goes no further" in where.words()


def test_the_derivative_is_located_at_the_step_itself() -> None:
    where = located("tanh's derivative")
    assert where.wrong.diagonal().all()
    assert "wrong already where loss and state step coincide" in where.words()


def test_weights_alone_are_located_by_their_loss() -> None:
    where = located("h_{t-1} for h_t in dV")
    assert not where.wrong.any()
    assert (where.dV > 1).all()
    assert where.words() == "every delta_t is right; dV is wrong from the loss at t=1 on (11)"
    where = located("dW overwritten, not accumulated")
    assert where.words() == "every delta_t is right; dW is wrong from the loss at t=2 on (10)"


def test_inputs_reversed_in_time_are_located_at_later_states() -> None:
    where = located("inputs reversed in time")
    assert where.wrong[0, 5]
    assert not located("batch averaged, not summed", Shapes(RECIPE)).wrong.any()


def test_one_size_is_located_by_single_steps() -> None:
    where = located("W not transposed", Shapes(RECIPE))
    np.testing.assert_array_equal(where.wrong, np.tril(np.ones((8, 8), bool), -1))


def test_a_mistake_in_the_middle_of_time_is_located_there() -> None:
    def forgets(x: Array, y: Array, U: Array, W: Array, V: Array) -> tuple[Array, Array, Array]:
        """Right but for one step: the loss at t=4 does not reach the state at t=2."""
        dU, dW, dV = textbook(x, y, U, W, V)
        if len(x) == 6:
            lost = y.copy()
            params = Params(U, W, V)
            outputs, trace = forward(params, x)
            lost[:3], lost[4:] = outputs[:3], outputs[4:]
            full, cut = (bptt(params, trace, lost, window=w).U for w in (2, 1))
            dU = dU - (full - cut)
        return dU, dW, dV

    where = locate(in_this_process(forgets), ANY, "float64", None)
    assert [tuple(map(int, cell)) for cell in np.argwhere(where.wrong)] == [(3, 1)]
    assert "first wrong 2 steps back, loss t=4 -> state t=2" in where.words()


def test_votes() -> None:
    report = examine(remade(lambda: planted(of_name("W not transposed"))))
    assert {
        v.method: (v.autograd_is_right, v.yours_is_right) for v in report.votes
    } == dict.fromkeys(("complex step", "RTRL", "forward mode", "Taylor order"), (True, False))
    screen = " ".join(as_text(report, "f").split())
    assert (
        "autograd, complex step, RTRL, forward mode, Taylor order agree; yours stands alone"
        in screen
    )
    assert len(as_text(report, "f").splitlines()) <= 30  # one screen


@dtypes
@pytest.mark.parametrize("central", [True, False])
def test_a_finite_difference_is_told_apart(central: bool, dtype: str) -> None:
    step = (1e-5 if central else 1e-7) if dtype == "float64" else (1e-2 if central else 1e-3)

    def loss(x: Array, y: Array, weights: list[Array]) -> Any:
        U, W, V = weights
        h, total = np.zeros((x.shape[1], len(W)), x.dtype), 0
        for x_t, y_t in zip(x, y, strict=True):
            h = sigmoid(x_t @ U + h @ W)
            total = total + ((sigmoid(h @ V) - y_t) ** 2).sum() / 2
        return total

    def differences(x: Array, y: Array, U: Array, W: Array, V: Array) -> list[Array]:
        # Wider inside for float32, where the rounding of the loss would swamp the difference.
        x, y, *weights = (a.astype(np.float64) for a in (x, y, U, W, V))
        gradients = []
        for w in weights:
            gradient = np.zeros_like(w)
            for at in np.ndindex(w.shape):
                kept = w[at]
                w[at] = kept + step
                above = loss(x, y, weights)
                w[at] = kept - step if central else kept
                below = loss(x, y, weights)
                w[at] = kept
                gradient[at] = (above - below) / (2 * step if central else step)
            gradients.append(gradient)
        return gradients

    report = examine(in_this_process(differences), dtype=dtype)  # type: ignore[arg-type]
    assert report.verdict == "approximate"
    assert report.mistakes == ()
    assert as_text(report, "f").startswith("APPROXIMATE")


def test_float32_in_a_float64_pass_is_named() -> None:
    def narrow(*arrays: Array) -> Any:
        return textbook(*(a.astype(np.float32) for a in arrays))

    report = examine(in_this_process(narrow))
    assert [[m.name for m in found] for found in report.mistakes] == [["lower precision inside"]]


IMPURE: list[tuple[str, Callable[[], Backward]]] = []


def impure(says: str) -> Callable[[Callable[[], Backward]], Callable[[], Backward]]:
    def remember(make: Callable[[], Backward]) -> Callable[[], Backward]:
        IMPURE.append((says, make))
        return make

    return remember


@impure("x is changed in place")
def changes_x() -> Backward:
    def backward(x: Array, y: Array, U: Array, W: Array, V: Array) -> Any:
        result = textbook(x, y, U, W, V)
        x *= 2
        return result

    return backward


@impure("a second call changes what the first returned: dU, dW, dV")
def reuses_buffers() -> Backward:
    buffers: dict[Any, Any] = {}

    def backward(x: Array, y: Array, U: Array, W: Array, V: Array) -> Any:
        kept = buffers.setdefault(
            (U.shape, V.shape, U.dtype), [np.empty_like(w) for w in (U, W, V)]
        )
        for buffer, gradient in zip(kept, textbook(x, y, U, W, V), strict=True):
            buffer[:] = gradient + 0 * np.random.default_rng().random()
        noise = 1e-3 * np.random.default_rng().random()
        kept[0] += noise
        kept[1] += noise
        kept[2] += noise
        return kept

    return backward


@impure("the second call with the same inputs gives another gradient, something is kept")
def counts_its_calls() -> Backward:
    calls = [0]

    def backward(x: Array, y: Array, U: Array, W: Array, V: Array) -> Any:
        calls[0] += 1
        return [calls[0] ** 2 * gradient for gradient in textbook(x, y, U, W, V)]

    return backward


@impure("the second call with the same inputs gives another gradient, twice the first")
def never_resets() -> Backward:
    return planted(of_name("stale gradient buffers"))


@impure("dV shares its memory with dU")
def aliases() -> Backward:
    def backward(x: Array, y: Array, U: Array, W: Array, V: Array) -> Any:
        dU, dW, dV = textbook(x, y, U, W, V)
        flat = np.zeros(max(dU.size, dV.size))
        return flat[: dU.size].reshape(dU.shape), dW, flat[: dV.size].reshape(dV.shape)

    return backward


@impure("dW shares its memory with W")
def returns_an_input() -> Backward:
    def backward(x: Array, y: Array, U: Array, W: Array, V: Array) -> Any:
        dU, dW, dV = textbook(x, y, U, W, V)
        W[:] = dW
        return dU, W, dV

    return backward


@pytest.mark.parametrize(("says", "make"), IMPURE, ids=[make.__name__ for _, make in IMPURE])
def test_impurities_are_named(says: str, make: Callable[[], Backward]) -> None:
    report = examine(remade(make))
    assert not report.right
    assert any(says in text for text in report.impure), report.impure
    assert says in as_text(report, "f")


def test_right_but_impure_is_its_own_verdict() -> None:
    assert examine(remade(changes_x)).verdict == "impure"
    stale = examine(remade(never_resets))
    assert stale.verdict == "impure"
    assert [m.name for m in stale.mistakes[0]] == ["stale gradient buffers"]


def test_truncated_bptt_is_right_with_its_window_only() -> None:
    def truncated(x: Array, y: Array, U: Array, W: Array, V: Array) -> Any:
        params = Params(U, W, V)
        return bptt(params, forward(params, x)[1], y, window=3)

    ask = in_this_process(truncated)
    assert examine(ask, window=3).right
    report = examine(ask)
    assert [m.name for m in report.mistakes[0]] == [
        "truncation: no error travels more than 3 steps back"
    ]
    other = examine(ask, window=2)
    assert other.verdict == "disagrees"
    assert other.votes == ()  # the oracles know the full gradient only


def test_power() -> None:
    weak = problem(0, Sizes(1, 1, 1, 1, 1), name="weak")
    strong = problem(0, Sizes(6, 3, 2, 4, 3), name="strong")
    hidden = {"recurrent term dropped", "W not transposed", "batch averaged, not summed"}
    assert not hidden & power(weak)
    assert hidden <= power(strong)
    symmetric = strong._replace(
        params=strong.params._replace(W=strong.params.W + strong.params.W.T)
    )
    assert "W not transposed" not in power(symmetric)
    assert "W not transposed" in blind_to([weak, symmetric])


@pytest.mark.parametrize(
    ("backward", "says"),
    [
        (lambda x, y, U, W, V: None, "it must return (dU, dW, dV) or a mapping"),
        (lambda x, y, U, W, V: (U, W), "got tuple of 2"),
        (lambda x, y, U, W, V: {"dU": U, "dV": V}, "a mapping without dW"),
        (lambda x, y, U, W, V: (U.tolist(), W, V), "dU must be a NumPy array"),
        (lambda x, y, U, W, V: (U, W.astype(int), V), "dW must be a NumPy array of floating-point"),
        (
            lambda x, y, U, W, V: (U.T, W, V),
            "dU must have U's shape (2, 4), got (4, 2): transposed?",
        ),
        (lambda x, y, U, W, V: (U, W, V * np.nan), "dV[0, 0] is nan at the problem 'general'"),
    ],
)
def test_answers_that_cannot_be_judged(backward: Backward, says: str) -> None:
    with pytest.raises(CannotCheck) as error:
        examine(in_this_process(backward))
    assert says in str(error.value)
    assert "--shapes recipe" in str(error.value)


def test_json_and_markdown_have_everything() -> None:
    report: Report = examine(remade(lambda: planted(of_name("factor 2"))))
    document = report.as_dict()
    assert document["verdict"] == "disagrees"
    assert [e["name"] for e in document["worst"]] == ["dU", "dW", "dV"]
    assert document["mistakes"][0][0]["name"] == "factor 2"
    assert document["factors"] == [f"d{p} is exactly 2.000 times the gradient" for p in "UWV"]
    assert np.shape(document["where"]["states"]) == (6, 6)
    markdown = as_markdown(report, "f")
    assert markdown.startswith("### WRONG: f does not agree")
    assert markdown.count("```") == 4
