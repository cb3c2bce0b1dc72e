"""Legal networks of forms that ours do not have: each is traced, located and named, none raises.

What a network computes before its first loss, a loss at some steps only, integers among floats.
"""

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import layer_norm, one_hot

from bptt_check.catalogue import Catalogue
from bptt_check.error_bound import Reference, reference
from bptt_check.judge.any_network import AnyNetwork
from bptt_check.judge.asking import CannotCheck
from bptt_check.judge.candidate import in_this_process
from bptt_check.judge.comparison import agrees
from bptt_check.judge.examine import examine
from bptt_check.naming import Asked, name_mistakes
from bptt_check.subjects import subject_for
from bptt_check.tracing import locate
from bptt_check.tracing.reverse import Graph
from bptt_check.tracing.tape import record
from rnn_torch import networks
from rnn_torch.networks import Network, Problem, network, targets, tokens, upstream

pytestmark = [pytest.mark.unannotated, pytest.mark.few]  # thousands of small calls

FEW = {"general", "two steps", "one time"}
Product = Callable[[Any, Any], Any]
Maker = Callable[[Product], Network]
MAKERS: dict[str, Maker] = {}
PLAIN: dict[str, Any] = {"x": "time batch n", "U": "n h", "W": "h h"}
STEPS: dict[str, Any] = {**PLAIN, "y": upstream("time batch h")}


class Untransposed(torch.autograd.Function):
    """h @ W, with the mistake g @ W for g @ W.T in its backward pass."""

    @staticmethod
    def forward(ctx: Any, h: Any, W: Any) -> Any:
        ctx.save_for_backward(h, W)
        return h @ W

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        (g,), (h, W) = gradients, ctx.saved_tensors
        outer = torch.outer(h, g) if h.ndim == 1 else h.T @ g
        return g @ W, outer


def matmul(h: Any, W: Any) -> Any:
    return h @ W


def of(**marks: Any) -> Callable[[Callable[..., Any]], Maker]:
    """Make a network of a function whose first argument is the product of state and weight."""

    def declare(body: Callable[..., Any]) -> Maker:
        def make(product: Product) -> Network:
            def its(**arguments: Any) -> Iterator[Any]:
                yield from body(product, **arguments)

            return network(**marks)(its)

        MAKERS[body.__name__] = make
        return make

    return declare


@of(s="source n", x="time n", Ue="n h", W="h h", Ud="n h", y=upstream("time h"))
def an_encoder_before(product: Product, s: Any, x: Any, Ue: Any, W: Any, Ud: Any, y: Any) -> Any:
    h = x.new_zeros(len(W))
    for s_t in s:
        h = torch.tanh(s_t @ Ue + product(h, W))
    for x_t, y_t in zip(x, y, strict=True):
        h = torch.tanh(x_t @ Ud + 0.5 * h)
        yield (h * y_t).sum()


@of(x="time n", U="n h", W="h h", y=upstream("time h"))
def inputs_hoisted(product: Product, x: Any, U: Any, W: Any, y: Any) -> Any:
    z, h = x @ U, torch.zeros(len(W))
    for z_t, y_t in zip(z, y, strict=True):
        h = torch.tanh(z_t + product(h, W))
        yield (h * y_t).sum()


@of(**STEPS)
def losses_after_the_loop(product: Product, x: Any, U: Any, W: Any, y: Any) -> Any:
    h, states = x.new_zeros(x.shape[1], len(W)), []
    for x_t in x:
        h = torch.tanh(x_t @ U + product(h, W))
        states.append(h)
    yield from (torch.stack(states) * y).sum((1, 2))


@of(x="time n", U="n h", W="h h", V="h", d=upstream("1"))
def the_loss_last_and_zero_times_it(
    product: Product, x: Any, U: Any, W: Any, V: Any, d: Any
) -> Any:
    h = torch.zeros(len(V))
    for x_t in x:
        h = torch.tanh(x_t @ U + product(h, W))
    loss = ((h @ V) * d).sum()
    for _ in x[1:]:
        yield 0 * loss
    yield loss


@of(**PLAIN, V="h k", y=targets("batch k"))
def a_loss_at_the_last_step(product: Product, x: Any, U: Any, W: Any, V: Any, y: Any) -> Any:
    h = x.new_zeros(x.shape[1], len(W))
    for t, x_t in enumerate(x):
        h = torch.tanh(x_t @ U + product(h, W))
        yield ((h @ V - y) ** 2).sum() if t == len(x) - 1 else x.new_zeros(())


@of(**STEPS)
def a_loss_at_every_other_step(product: Product, x: Any, U: Any, W: Any, y: Any) -> Any:
    h = x.new_zeros(x.shape[1], len(W))
    for t, x_t in enumerate(x):
        h = torch.tanh(x_t @ U + product(h, W))
        yield (h * y[t]).sum() if t % 2 else torch.zeros(())


@of(w=tokens("time batch", below="v"), E="v h", W="h h", y=tokens("time batch", below="h"))
def one_hot_tokens(product: Product, w: Any, E: Any, W: Any, y: Any) -> Any:
    h = E.new_zeros(w.shape[1], len(W))
    for w_t, y_t in zip(w, y, strict=True):
        h = torch.tanh(one_hot(w_t, len(E)).to(E.dtype) @ E + product(h, W))
        yield -(one_hot(y_t, len(W)) * torch.log_softmax(h, 1)).sum()


@of(**STEPS, m=tokens("time batch", below=2))
def an_integer_mask(product: Product, x: Any, U: Any, W: Any, y: Any, m: Any) -> Any:
    h = x.new_zeros(x.shape[1], len(W))
    for x_t, m_t, y_t in zip(x, m[..., None], y, strict=True):
        h = m_t * torch.tanh(x_t @ U + product(h, W)) + (1 - m_t) * h
        yield (h * y_t).sum()


@of(**STEPS, n_steps=tokens("batch", below="time"))
def a_boolean_mask(product: Product, x: Any, U: Any, W: Any, y: Any, n_steps: Any) -> Any:
    h = x.new_zeros(x.shape[1], len(W))
    for t, x_t in enumerate(x):
        h = torch.where((t < n_steps)[:, None], torch.tanh(x_t @ U + product(h, W)), h)
        yield (h * y[t]).sum()


@of(**STEPS, R="h h")
def two_states(product: Product, x: Any, U: Any, W: Any, y: Any, R: Any) -> Any:
    h = c = x.new_zeros(x.shape[1], len(W))
    for x_t, y_t in zip(x, y, strict=True):
        c = 0.5 * c + torch.sigmoid(x_t @ U + product(h, W))
        h = torch.tanh(c @ R)
        yield (h * y_t).sum()


@of(**STEPS, h_0="batch h", unused="h")
def a_weight_used_before_and_in_the_steps(
    product: Product, x: Any, U: Any, W: Any, y: Any, h_0: Any, unused: Any
) -> Any:
    h, scale = torch.tanh(h_0 @ W), W.sum()
    for x_t, y_t in zip(x, y, strict=True):
        h = torch.tanh(x_t @ U + product(h, W)) * scale
        yield (h * y_t).sum()


@of(**STEPS, low="h")
def written_in_place(product: Product, x: Any, U: Any, W: Any, y: Any, low: Any) -> Any:
    h = x.new_zeros(x.shape[1], len(W))
    for x_t, y_t in zip(x, y, strict=True):
        z = torch.ones(x.shape[1], len(W))
        z *= x_t @ U
        z += product(h, W)
        h = torch.tanh(layer_norm(torch.clamp(z, min=low), low.shape))
        yield (h * y_t).sum()


@of(**STEPS)
def two_ways(product: Product, x: Any, U: Any, W: Any, y: Any) -> Any:
    def states(inputs: Any) -> Any:
        h, found = x.new_zeros(x.shape[1], len(W)), []
        for x_t in inputs:
            h = torch.tanh(x_t @ U + product(h, W))
            found.append(h)
        return torch.stack(found)

    yield from ((states(x) + states(x.flip(0)).flip(0)) * y).sum((1, 2))


def gradients(its: Network) -> Callable[[Problem], dict[str, Any]]:
    return lambda problem: its.evaluate(problem.values).gradients


@cache
def right_one(name: str) -> tuple[Network, list[tuple[Problem, Reference]]]:
    its = MAKERS[name](matmul)
    few = [p for p in networks.designed(its) if p.name in FEW]
    return its, [(p, reference(its, p, measure=True)) for p in few]


def asked_of(name: str, ask: Callable[[Problem], dict[str, Any]], part: Any) -> list[Asked]:
    return [
        Asked(problem, {n: g for n, g in ask(problem).items() if n in part}, right)
        for problem, right in right_one(name)[1]
    ]


each = pytest.mark.parametrize("name", MAKERS)


@each
def test_its_reverse_pass_is_traced(name: str) -> None:
    its, posed = right_one(name)
    networks.check_network(its)
    like = record(its, posed[0][0])
    for problem, right in posed:
        assert agrees(Graph(record(its, problem, like)).gradients(), right), problem


#: Which of several equivalent mistakes comes first is not the matter here.
UNNAMED = {"two_ways": "both loops make it", "written_in_place": "in the noise of layer_norm"}


@each
def test_a_right_pass_and_a_wrong_one_are_told_apart(name: str) -> None:
    its, wrong = right_one(name)[0], MAKERS[name](Untransposed.apply)
    catalogue, weights = Catalogue(its), [n for n in its.differentiated if n != "x"]
    assert not name_mistakes(asked_of(name, gradients(its), weights), catalogue)
    # gradients for a part of the weights, too
    for part in (weights, weights[:1]) if name not in UNNAMED else ():
        found = name_mistakes(asked_of(name, gradients(wrong), part), catalogue, sets=False)
        said = [text for e in found for text in (e.sentence, *e.also)]
        assert any(text.startswith("W is not transposed on the path") for text in said), said


@each
def test_it_is_located_or_not_at_all(name: str) -> None:
    (its, posed), wrong = right_one(name), MAKERS[name](Untransposed.apply)
    if name == "two_ways":
        with pytest.raises(NotImplementedError, match="a loss depends on later inputs"):
            locate(its, gradients(wrong))
        return
    problem = next(p for p, _ in posed if p.name == "general")
    assert not locate(its, gradients(its), problem=problem).wrong
    claim = locate(its, gradients(wrong), problem=problem).claim
    if "last" in name:
        assert (claim.kind, claim.reason) == ("cannot tell", "the only loss is at the last step")
    else:
        assert claim.loss is not None


def test_a_bidirectional_network_is_judged_without_a_place_in_time() -> None:
    its = MAKERS["two_ways"](matmul)

    def backward(x: Any, U: Any, W: Any, y: Any) -> dict[str, Any]:
        found = its.evaluate({"x": x, "U": U, "W": W, "y": y}).gradients
        return {f"d{n}": np.asarray(g) for n, g in found.items()}

    subject = AnyNetwork(its, {"time": 3, "batch": 2, "n": 2, "h": 3})
    subject.lists_blind = False
    assert examine(in_this_process(backward, subject), subject).right
    with pytest.raises(CannotCheck, match="a loss depends on later inputs"):
        AnyNetwork(its).locate(lambda *_: pytest.fail("asked"), "float64")
    with pytest.raises(ValueError, match=r"window must be left out: a loss .* got 2"):
        AnyNetwork(its, window=2)
    with pytest.raises(ValueError, match="window must be left out"):
        subject_for(network=its, window=2)
