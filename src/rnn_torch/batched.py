"""Many networks of one size trained all at once, as one batch: for devices with thousands of cores.

The networks have an axis of their own, in front of batch and features: U (networks, 2, hidden).
Everything else is `rnn_numpy.many.train`, with the same draws for each network.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from rnn_numpy.addition import MOST_BITS_EXHAUSTIVE, draw_pairs
from rnn_numpy.many import Trained, counted_steps
from rnn_numpy.recipe import Recipe, start
from rnn_torch import recurrence

Weights = list[Tensor]


def train_batch(
    recipes: Sequence[Recipe], count_every: int = 1000, device: torch.device | str = "cpu"
) -> Iterator[int | list[Trained]]:
    """Train a network for each recipe; yields the steps taken since the last time, then the result.

    Raises:
        ValueError: recipes that differ in more than seed and learning rate, or too many bits.
    """
    recipe = recipes[0]
    alike = {(r.bits, r.hidden, r.iterations, r.dtype, r.batch_size) for r in recipes}
    if len(alike) > 1:
        raise ValueError(f"a batch needs recipes alike in size, dtype and steps, got {alike}")
    if recipe.bits > MOST_BITS_EXHAUSTIVE:
        raise ValueError(f"a batch needs bits of at most {MOST_BITS_EXHAUSTIVE}, got {recipe.bits}")
    drawn = [start(each) for each in recipes]
    # The three weights, each of all networks: (networks, rows, columns).
    weights = [
        torch.as_tensor(np.stack(arrays), device=device)
        for arrays in zip(*(params for params, _ in drawn), strict=True)
    ]
    rates = torch.tensor([r.learning_rate for r in recipes], dtype=weights[0].dtype, device=device)
    diverged = np.zeros(len(recipes), bool)
    steps = counted_steps(recipe, count_every)
    exact = np.zeros((len(recipes), len(steps)), np.int64)
    last = np.full(len(recipes), len(steps))  # how many counts each network lived to see
    before = 0
    for index, step in enumerate(steps):
        shape = (step - before, recipe.batch_size, 2)
        pairs = np.stack(
            [draw_pairs(rng, recipe.bits, shape[0] * shape[1]).reshape(shape) for _, rng in drawn],
            axis=1,
        )
        _descend(weights, torch.as_tensor(pairs, device=device), recipe.bits, rates)
        finite = torch.stack([w.isfinite().all(dim=(1, 2)) for w in weights]).all(dim=0)
        alive = finite.cpu().numpy()
        last[~alive & ~diverged] = index
        diverged |= ~alive
        exact[:, index] = count_exact(weights, recipe.bits).cpu().numpy()
        yield step - before
        before = step
    yield [
        Trained(
            each,
            "diverged" if diverged[i] else "finished",
            steps[: last[i]],
            exact[i, : last[i]].tolist(),
            4 ** (recipe.bits - 1),
        )
        for i, each in enumerate(recipes)
    ]


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
    """How many of the 4^(bits - 1) sums each network gets right; all prefixes shared.

    Args:
        most: states that are held at once; more networks than that allows are counted in turn.
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
