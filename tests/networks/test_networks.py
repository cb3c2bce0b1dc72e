"""Networks, the problems drawn for them, and the messages of refusals."""

from collections.abc import Callable, Iterator
from itertools import count, pairwise
from typing import Any

import numpy as np
import pytest
import torch

from bptt_check.networks.soundness import is_causal
from rnn_torch.networks import (
    STOCK,
    Axis,
    Network,
    check_network,
    designed,
    network,
    random,
    stock,
    targets,
    tokens,
    upstream,
)

pytestmark = pytest.mark.unannotated  # thousands of small calls

CHAR_RNN: dict[str, Any] = {
    "Wxh": "hidden vocab",
    "Whh": "hidden hidden",
    "Why": "vocab hidden",
    "inputs": tokens("time", below="vocab"),
    "targets": tokens("time", below="vocab"),
    "hprev": "hidden 1",
}
SMALL = {"x": "time n_in", "W": "n_in", "h_0": ""}


@network(**CHAR_RNN)
def char_rnn(Wxh: Any, Whh: Any, Why: Any, inputs: Any, targets: Any, hprev: Any) -> Iterator[Any]:
    h = hprev
    for x, y in zip(inputs, targets, strict=True):
        h = torch.tanh(Wxh[:, [x]] + Whh @ h)
        yield -torch.log_softmax(Why @ h, 0)[y, 0]


def small(body: Callable[..., Iterator[Any]]) -> Network:
    return network(**SMALL)(body)


def stocks() -> Iterator[Network]:
    for name in STOCK:
        for loss in ("squared", "softmax", "upstream"):
            for columns in (False, True):
                yield stock(name, loss=loss, columns=columns)
    yield stock("tanh", biases=False)
    yield stock("gru", reset="before", order="znr")
    yield stock("lstm", peepholes=True, order="ifog")


@pytest.mark.parametrize("its", list(stocks()), ids=lambda n: n.name)
def test_stock_networks_are_sound_and_drawn_in_both_dtypes(its: Network) -> None:
    check_network(its)
    for dtype in ("float64", "float32"):
        for problem in random(its, dtype, seed=3, count=2):
            found = its.evaluate(problem.values)
            assert set(found.gradients) == set(its.differentiated)
            assert all(g.dtype == dtype for g in found.gradients.values())
            wide = its.evaluate(problem.values, "float64")
            assert wide.losses.dtype == "float64"


def test_the_designed_problems_cover_their_conditions() -> None:
    problems = {p.name: p for p in designed(char_rnn)}
    assert {"one time", "one hidden", "one vocab"} <= set(problems)
    general = problems["general"].sizes
    assert len(set(general.values())) == len(general)
    assert len(set(problems["all sizes equal"].sizes.values())) == 1
    assert max(p.sizes["time"] for p in problems.values()) == 130
    assert max(p.sizes["hidden"] for p in problems.values()) == 65
    Whh = problems["recurrent weights the identity"].values["Whh"]
    np.testing.assert_array_equal(Whh, np.eye(len(Whh)))
    for name, zero in (("weights", ["Wxh", "Whh", "Why"]), ("input weights", ["Wxh"])):
        values = problems[f"{name} 0"].values
        assert [n for n in ("Wxh", "Whh", "Why") if not values[n].any()] == zero
    own = designed(stock("tanh", columns=True))[-1].values["x"]
    assert own.ndim == 3
    fixed = designed(char_rnn, fixed={"hidden": 9, "vocab": 5})
    assert {p.sizes["hidden"] for p in fixed} == {9}
    assert len(fixed) < len(problems)
    with pytest.raises(ValueError, match="for axes among hidden, vocab, time, got batch=2"):
        designed(char_rnn, fixed={"batch": 2})


def test_one_hot_inputs_lie_along_the_features() -> None:
    for columns, axis in ((False, 2), (True, 1)):
        problems = designed(stock("tanh", columns=columns))
        x = next(p for p in problems if p.name == "inputs of their own each").values["x"]
        assert (x.sum(axis=axis) == 1).all()


def test_axes_are_sums_of_names_and_numbers() -> None:
    assert Axis.parse("4*hidden").size({"hidden": 3}) == 12
    assert Axis.parse("hidden+n_in+1").size({"hidden": 3, "n_in": 2}) == 6
    assert (Axis.parse("4*hidden").parts, Axis.parse("hidden+1").parts) == (4, 1)
    for wrong in ("hidden-1", "2*", "", "h*h", "0*h", "1.5"):
        with pytest.raises(ValueError, match="an axis must be a name"):
            Axis.parse(wrong)


@pytest.mark.parametrize(
    ("marks", "message"),
    [
        ({**SMALL, "b": "hidden"}, "it has no argument b"),
        ({"x": "time n_in"}, "it lacks W, h_0"),
        ({**SMALL, "x": "n_in"}, "must have the axis time"),
        ({n: targets(str(a)) for n, a in SMALL.items()}, "must have a float argument"),
        ({**SMALL, "W": "n_in-1"}, "an axis must be a name"),
    ],
)
def test_a_wrong_declaration(marks: dict[str, Any], message: str) -> None:
    def its(x: Any, W: Any, h_0: Any) -> Iterator[Any]:
        yield (x * W).sum()

    with pytest.raises(ValueError, match=message):
        network(**marks)(its)


def test_a_function_without_yield() -> None:
    with pytest.raises(TypeError, match="its must yield the loss of each step: it has no yield"):

        @network(x="time", W="")
        def its(x: Any, W: Any) -> Any:
            return (x * W).sum()


def each(loss: Callable[..., Any]) -> Network:
    """The network whose loss of step t this is, of x, W, h_0 and t."""

    def body(x: Any, W: Any, h_0: Any) -> Iterator[Any]:
        for t in range(len(x)):
            yield loss(x, W, h_0, t)

    return small(body)


def with_steps(steps: slice) -> Network:
    def body(x: Any, W: Any, h_0: Any) -> Iterator[Any]:
        for x_t in x[steps]:
            yield (x_t * W).sum() + h_0

    return small(body)


CALLS = count()
NUMBER = "must yield one floating-point number for each step"


@pytest.mark.parametrize(
    ("its", "message"),
    [
        (
            each(lambda x, W, h_0, t: torch.tanh(x[t] @ W[:-1] + h_0)),
            r"fails in line \d+ of test_networks.py \(.*with x \(6, 4\), W",
        ),
        (with_steps(slice(0)), "must yield one loss for each of the 6 steps, got none"),
        (with_steps(slice(1, None)), "one loss for each of the 6 steps, got 5"),
        (each(lambda x, W, h_0, t: x[t] * W), rf"{NUMBER}.*got shape \(4,\)"),
        (each(lambda x, W, h_0, t: float((x[t] * W).sum().detach())), NUMBER),
        (
            each(lambda x, W, h_0, t: (x[t] * W).sum().detach() + h_0.detach()),
            "must depend on a float argument",
        ),
        (
            each(lambda x, W, h_0, t: (x[t] * W * torch.rand(1)).sum() + h_0),
            "must yield the same losses in every call",
        ),
        (
            each(lambda x, W, h_0, t: (x[t] * W).sum() * next(CALLS) + h_0),
            "must yield the same losses in every call",
        ),
        (
            each(lambda x, W, h_0, t: (x[t] * W.data.add_(1)).sum() + W.sum() + h_0),
            r"changes its argument W: work on a copy \(W.clone\(\)\)",
        ),
        (
            each(lambda x, W, h_0, t: (x[t] * W).sum() / 0 + h_0),
            "must have finite losses and gradients",
        ),
    ],
)
def test_a_network_that_cannot_be_a_reference(its: Network, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        check_network(its)
    assert "\n" not in str(caught.value)


def test_a_loss_that_depends_on_later_inputs_is_allowed() -> None:
    ahead = each(lambda x, W, h_0, t: (x[t:].sum(0) * W).sum() + h_0)
    back = each(lambda x, W, h_0, t: (x[: t + 1].sum(0) * W).sum() + h_0)
    for its, causal in ((ahead, False), (back, True)):
        check_network(its)
        assert is_causal(its) is causal


def test_a_sequence_one_longer_than_its_losses_does_not_look_ahead() -> None:
    @network(words=tokens("time+1", below=5), E="5 hidden", W="hidden hidden")
    def language_model(words: Any, E: Any, W: Any) -> Iterator[Any]:
        h = torch.zeros(len(W))
        for x, y in pairwise(words):
            h = torch.tanh(E[x] + h @ W)
            yield -torch.log_softmax(E @ h, 0)[y]

    check_network(language_model)
    assert is_causal(language_model)


def test_upstream_and_targets_are_not_differentiated() -> None:
    its = stock("gru", loss="upstream")
    assert its.differentiated == ["x", "h_0", "U", "W", "b", "d"]
    assert its.arguments["y"] == upstream("time batch hidden")
    assert stock("gru", reset="before").differentiated[-3:] == ["b", "V", "c"]


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("rnn", {}, "network must be one of elman, tanh, relu, gru, lstm"),
        ("tanh", {"order": "x"}, "tanh has the options loss, got 'order'"),
        ("lstm", {"order": "ifg"}, "each of i, f, g, o once"),
        ("gru", {"reset": "never"}, "reset must be after or before"),
        ("gru", {"loss": "l1"}, "loss must be one of squared, softmax, upstream"),
    ],
)
def test_stock_options(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        stock(name, **options)
