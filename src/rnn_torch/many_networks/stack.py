"""Train many networks of one size as one batch, for devices with thousands of cores.

The networks have an axis of their own, in front of batch and features: U (networks, 2, hidden).
Everything else is `rnn_numpy.training.many_networks.train`, with the same draws for each network.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from rnn_numpy.tasks.addition import draw_pairs
from rnn_numpy.tasks.exact_sums import MOST_BITS_EXHAUSTIVE
from rnn_numpy.training.many_networks import Stopped, Trained, counted_steps
from rnn_numpy.training.recipe import STEPS_WITHOUT_CHANGE, Recipe, start
from rnn_torch.fused import recurrence

Weights = list[Tensor]

#: Steps between two calls of `stop`.
_STRIDE = 250
#: Replaces a network's count of exact sums if its weights are not finite.
DIVERGED = -1


@dataclass
class Batch:
    """Networks after `steps` steps.

    `weights` are U, W, V, each of all networks: (networks, rows, columns). `counts` has a row for
    each counted step: each network's exact sums, or DIVERGED. `check_alike` accepts the recipes.
    """

    recipes: Sequence[Recipe]
    weights: Weights
    generators: list[np.random.RandomState]
    steps: int = 0
    counts: list[Int64[np.ndarray, " networks"]] = field(default_factory=list)


def check_alike(recipes: Sequence[Recipe]) -> None:
    """Check that one batch can train these recipes.

    Raises:
        ValueError: they differ in more than seed and learning rate, have too many bits, or the
            sequence is empty.
    """
    alike = {(r.bits, r.hidden, r.iterations, r.dtype, r.batch_size) for r in recipes}
    if len(alike) != 1:
        got = alike or "none"
        raise ValueError(f"a batch needs recipes alike in size, dtype and steps, got {got}")
    bits = recipes[0].bits
    if bits > MOST_BITS_EXHAUSTIVE:
        raise ValueError(f"a batch needs bits of at most {MOST_BITS_EXHAUSTIVE}, got {bits}")


def begin(recipes: Sequence[Recipe], device: torch.device | str = "cpu") -> Batch:
    """The networks before their first step; ValueError as `check_alike`."""
    check_alike(recipes)
    drawn = [start(each) for each in recipes]
    weights = [
        torch.as_tensor(np.stack(arrays), device=device)
        for arrays in zip(*(params for params, _ in drawn), strict=True)
    ]
    return Batch(recipes, weights, [rng for _, rng in drawn])


def train_batch(
    batch: Batch,
    count_every: int = 1000,
    *,
    stop: Callable[[], bool] = lambda: False,
    save_every: int | None = None,
    on_save: Callable[[Batch], object] = lambda batch: None,
) -> Iterator[int]:
    """Train a batch in place to its end; yields the number of steps since the last yield.

    Args:
        count_every: steps between two counts; sums are also counted after the last step.
        stop: called between steps; True ends the training after a call of `on_save`.
        save_every: steps between two calls of `on_save`.

    Raises:
        Stopped: `stop` returned True.
    """
    recipe = batch.recipes[0]
    weights = batch.weights
    device, dtype = weights[0].device, weights[0].dtype
    rates = torch.tensor([r.learning_rate for r in batch.recipes], dtype=dtype, device=device)
    for counted in islice(counted_steps(recipe, count_every), len(batch.counts), None):
        while batch.steps < counted:
            if stop():
                on_save(batch)
                raise Stopped
            steps = min(_STRIDE, counted - batch.steps)
            if save_every is not None:
                steps = min(steps, save_every - batch.steps % save_every)
            shape = (steps, recipe.batch_size, 2)
            pairs = np.stack(
                [
                    draw_pairs(rng, recipe.bits, steps * recipe.batch_size).reshape(shape)
                    for rng in batch.generators
                ],
                axis=1,
            )
            _descend(weights, torch.as_tensor(pairs, device=device), recipe.bits, rates)
            batch.steps += steps
            if save_every is not None and batch.steps % save_every == 0 and batch.steps < counted:
                on_save(batch)
            yield steps
        finite = torch.stack([w.isfinite().all(dim=(1, 2)) for w in weights]).all(dim=0)
        exact = torch.where(finite, count_exact(weights, recipe.bits), DIVERGED)
        batch.counts.append(exact.cpu().numpy())
        if save_every is not None and batch.steps % save_every == 0:
            on_save(batch)


def results(batch: Batch, count_every: int = 1000) -> list[Trained]:
    """The result of each network of a trained batch."""
    steps = list(islice(counted_steps(batch.recipes[0], count_every), len(batch.counts)))
    found, tried = [], 4 ** (batch.recipes[0].bits - 1)
    vanished = _vanished(batch, [n for n, c in enumerate(batch.counts[-1]) if 0 <= c < tried])
    for number, recipe in enumerate(batch.recipes):
        counts = [int(row[number]) for row in batch.counts]
        # A weight that is not finite stays so.
        lived = counts.index(DIVERGED) if DIVERGED in counts else len(counts)
        status: Literal["finished", "diverged", "vanished"] = "finished"
        if lived < len(counts):
            status = "diverged"
        elif number in vanished:
            status = "vanished"
        found.append(Trained(recipe, status, steps[:lived], counts[:lived], tried))
    return found


def _vanished(batch: Batch, networks: list[int]) -> set[int]:
    """The networks that no further step changes, as in `rnn_numpy.training.recipe.vanished`."""
    recipe, rng = batch.recipes[0], np.random.RandomState(0)
    if not networks:
        return set()
    for steps in (1, STEPS_WITHOUT_CHANGE - 1):
        before = [w[networks] for w in batch.weights]
        weights = [w.clone() for w in before]
        pairs = draw_pairs(rng, recipe.bits, steps * recipe.batch_size)
        shape = (steps, 1, recipe.batch_size, 2)
        every = torch.as_tensor(pairs, device=weights[0].device).reshape(shape)
        rates = [batch.recipes[number].learning_rate for number in networks]
        _descend(
            weights,
            every.expand(-1, len(networks), -1, -1),
            recipe.bits,
            weights[0].new_tensor(rates),
        )
        stayed = [(w == b).all(dim=(1, 2)) for w, b in zip(weights, before, strict=True)]
        still = torch.stack(stayed).all(dim=0).tolist()
        networks = [number for number, same in zip(networks, still, strict=True) if same]
        if not networks:
            break
    return set(networks)


def _descend(
    weights: Weights,
    pairs: Int64[Tensor, "steps networks batch 2"],
    bits: int,
    rates: Float[Tensor, " networks"],
) -> None:
    """A step of SGD for every network on each of its batches, in place: (1)-(11)."""
    U, W, V = weights
    place = torch.arange(bits, device=pairs.device).reshape(-1, 1, 1, 1)
    down = -rates.reshape(-1, 1, 1)
    for pair in pairs:
        x = (pair >> place & 1).to(U.dtype)  # (bits, networks, batch, 2)
        y = (pair.sum(-1, keepdim=True) >> place & 1).to(U.dtype)
        h = recurrence.states(x, U, W, None)
        o = torch.sigmoid(h @ V)  # (3)
        eps = (o - y) * o * (1 - o)  # (6)
        _, into_U, into_W, _ = recurrence.gradients(x, U, W, None, h, eps @ V.mT)
        into_V = recurrence.sum_of_products(h, eps)  # (11)
        for weight, gradient in ((U, into_U), (W, into_W), (V, into_V)):
            weight += down * gradient


def count_exact(weights: Weights, bits: int, most: int = 1 << 22) -> Int64[Tensor, " networks"]:
    """Count the sums, of 4^(bits - 1), that each network gets right, sharing all prefixes.

    Args:
        most: largest number of states in memory; networks are counted in groups if necessary.
    """
    networks = len(weights[0])
    share = max(1, most // 4 ** (bits - 1))
    parts = [[w[i : i + share] for w in weights] for i in range(0, networks, share)]
    return torch.cat([_count_exact(part, bits) for part in parts])


def _count_exact(weights: Weights, bits: int) -> Int64[Tensor, " networks"]:
    U, W, V = weights
    h = U.new_zeros(len(U), 1, W.shape[-1])
    right = torch.ones(len(U), 1, dtype=torch.bool, device=U.device)
    carry = torch.zeros(1, dtype=torch.int64, device=U.device)
    for place in range(bits):
        every = 4 if place < bits - 1 else 1  # the last bits are 0
        inputs = torch.arange(every, device=U.device)
        a, b = inputs & 1, inputs >> 1
        from_inputs = torch.stack([a, b], dim=1).to(U.dtype) @ U  # (networks, inputs, hidden)
        z = (h @ W).unsqueeze(2) + from_inputs.unsqueeze(1)
        h = torch.sigmoid_(z).flatten(1, 2)  # (1), (2)
        total = (carry.unsqueeze(1) + a + b).flatten()
        said = torch.sigmoid((h @ V)[..., 0]) > 0.5  # (3)
        right = right.repeat_interleave(every, dim=1) & (said == (total & 1).bool())
        carry = total >> 1
    return right.sum(dim=1)
