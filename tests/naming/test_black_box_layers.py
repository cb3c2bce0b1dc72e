"""Mistakes of layers: upstream gradients ignored, quantities taken as constants, an epsilon."""

from collections.abc import Callable, Iterator
from functools import cache, partial
from typing import Any

import pytest
import torch
from torch import Tensor

from bptt_check.catalogue import Catalogue, sentence
from bptt_check.error_bound.bound import Reference, reference
from bptt_check.naming import Asked, name_mistakes
from bptt_check.networks import Problem, designed, network, random, upstream
from bptt_check.networks.network import Array, Network
from profiles import nightly

pytestmark = pytest.mark.unannotated
Keep = Callable[[str, Tensor], Tensor]
TIMED = "time batch hidden"


def as_it_is(_: str, a: Tensor) -> Tensor:
    return a


def mlstm(q: Tensor, k: Tensor, v: Tensor, i: Tensor, f: Tensor, dy: Tensor, keep: Keep) -> Any:
    """Equations (19) to (27) of Beck et al., "xLSTM" (2024), with a stabilised input gate."""
    C, n, m = torch.zeros_like(k[0]).unsqueeze(2) * v[0].unsqueeze(1), 0 * k[0], 0 * i[0]
    for t in range(q.shape[0]):
        a = torch.nn.functional.logsigmoid(f[t])
        new = keep("m", torch.maximum(a + m, i[t]))
        forget, write = torch.exp(a + m - new), torch.exp(i[t] - new)
        m = new
        C = forget[:, None, None] * C + write[:, None, None] * k[t][:, :, None] * v[t][:, None, :]
        n = forget[:, None] * n + write[:, None] * k[t]
        den = keep("den", torch.maximum((q[t] * n).sum(1).abs(), torch.exp(-m)))
        y = (q[t][:, None, :] @ C)[:, 0] / den[:, None]
        yield (y * dy[t]).sum()


def tanh(x: Tensor, U: Tensor, W: Tensor, h0: Tensor, dy: Tensor, dhn: Tensor, keep: Keep) -> Any:
    h = h0
    for t in range(x.shape[0]):
        h = torch.tanh(keep("argument", x[t] @ U + h @ W))
        loss = (h * keep("dy", dy[t])).sum()
        yield loss + (h * keep("dhn", dhn)).sum() if t == x.shape[0] - 1 else loss


@network(**dict.fromkeys("qkv", TIMED), **dict.fromkeys("if", "time batch"), dy=upstream(TIMED))
def mlstm_layer(q, k, v, i, f, dy) -> Iterator[Tensor]:  # type: ignore[no-untyped-def]
    yield from mlstm(q, k, v, i, f, dy, as_it_is)


@network(
    x="time batch input",
    U="input hidden",
    W="hidden hidden",
    h0="batch hidden",
    dy=upstream(TIMED),
    dhn=upstream("batch hidden"),
)
def tanh_layer(x, U, W, h0, dy, dhn) -> Iterator[Tensor]:  # type: ignore[no-untyped-def]
    yield from tanh(x, U, W, h0, dy, dhn, as_it_is)


LAYERS: dict[str, tuple[Network, Callable[..., Any]]] = {
    "mlstm": (mlstm_layer, mlstm),
    "tanh": (tanh_layer, tanh),
}


@cache
def judge(name: str) -> tuple[Catalogue, list[tuple[Problem, Reference]]]:
    its, _ = LAYERS[name]
    few = [p for p in designed(its) if max(p.sizes.values()) < 8]
    problems = [*few[:4], *random(its, seed=1, count=1, longest=4)]
    return Catalogue(its), [(p, reference(its, p)) for p in problems]


def named(name: str, change: dict[str, Callable[[Tensor], Tensor]]) -> list[list[str]]:
    """The mistakes named of autograd's gradients with these quantities changed."""
    its, function = LAYERS[name]

    def keep(what: str, a: Tensor) -> Tensor:
        return change[what](a) if what in change else a

    def answer(values: dict[str, Array]) -> dict[str, Array]:
        given = {n: torch.tensor(v, requires_grad=True) for n, v in values.items()}
        losses = sum(function(**given, keep=keep))
        of = [given[n] for n in its.differentiated]
        found = torch.autograd.grad(losses, of, materialize_grads=True)
        return {n: g.numpy() for n, g in zip(its.differentiated, found, strict=True)}

    catalogue, problems = judge(name)
    asked = [Asked(p, answer(p.values), right) for p, right in problems]
    return [[sentence(m) for m in e.mistakes] for e in name_mistakes(asked, catalogue)]


def constant(value: float, a: Tensor) -> Tensor:
    return torch.full_like(a, value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"dhn": torch.ones_like}, "the upstream gradient dhn of h_t is taken as 1"),
        ({"dy": torch.ones_like}, "the upstream gradient dy[t] of h_t is taken as 1"),
        (
            {"argument": partial(torch.add, other=1e-12)},
            "in the forward pass 1e-12 is added to the argument of h_t = tanh(...)",
        ),
    ],
)
def test_a_mistake_of_a_layer(change: dict[str, Any], words: str) -> None:
    assert named("tanh", change) == [[words]]


@nightly
def test_detached_quantities_one_of_which_alone_changes_nothing() -> None:
    """The stabiliser cancels, unless the denominator is a constant too."""
    assert named("mlstm", {"m": Tensor.detach}) == []
    (mistakes,) = named("mlstm", {"m": Tensor.detach, "den": Tensor.detach})
    assert set(mistakes) == {
        "m_t is taken as a constant (detached)",
        "the path y -> den[:, None] is cut",
    }
