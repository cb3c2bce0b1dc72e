"""The layer, forward and backward, over (time, batch, hidden): ours against everything else.

The gradients of x, U and W from a random gradient of every state, float32, n_in = hidden. The gate
for each contender and size: its distance from a float64 evaluation, entry by entry at most four
times the worst of the naive float32 loop on that very problem.
"""

import argparse
import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from benchmarks.harness import interleaved, keep, spread
from rnn_numpy import Params
from rnn_torch import ElmanRNN, elman, to_nn_rnn

Arrays = list[Tensor]


class Contender(NamedTuple):
    """What is timed, and how its answer is read: as states, and gradients of x, U and W."""

    run: Callable[[], Any]
    read: Callable[[Any], Arrays] = list


TIMES, BATCHES, HIDDEN = (8, 64, 1024), (1, 8, 64), (16, 64, 128, 256, 512)
#: torch.compile unrolls the naive loop: at 64 steps it compiles for a minute and more.
MOST_COMPILED_STEPS = 8


def main() -> None:
    """Run the benchmark; print its table and keep the numbers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3.0, help="a size (%(default)s)")
    parser.add_argument("--sizes", nargs="+", metavar="T,B,H", help="others than the whole grid")
    flags = parser.parse_args()
    grid = [(t, b, h) for h in HIDDEN for b in BATCHES for t in TIMES]
    if flags.sizes:
        grid = [tuple(map(int, size.split(","))) for size in flags.sizes]  # type: ignore[misc]
    rows = []
    for size in grid:
        row = measure(size, flags.seconds)
        rows.append(row)
        medians = {name: f"{1e6 * s['median']:.0f}" for name, s in row["seconds"].items()}
        print(size, medians, f"best / ours {best_ratio(row):.2f}", flush=True)
    if not flags.sizes:
        keep("layer", {"threads": torch.get_num_threads(), "rows": rows})


def best_ratio(row: dict[str, Any]) -> float:
    """The best other contender's median time over ours."""
    medians = {name: some["median"] for name, some in row["seconds"].items()}
    ours = medians.pop("ours")
    return float(min(medians.values()) / ours)


def measure(size: tuple[int, int, int], seconds: float) -> dict[str, Any]:
    """Gate, then time, all contenders at one size."""
    time_, batch, hidden = size
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    x, upstream = normal(time_, batch, hidden), normal(time_, batch, hidden)
    U, W = (normal(hidden, hidden) / hidden**0.5 for _ in range(2))
    problem = [x, U, W, upstream]
    exact = by_autograd(step_by_step, [t.double() for t in problem]).run()

    def errors(contender: Contender) -> list[float]:
        got = contender.read(contender.run())
        return [float((a.double() - b).abs().max()) for a, b in zip(got, exact, strict=True)]

    contenders: dict[str, Contender] = {}
    making: dict[str, float] = {}
    for name, make in CONTENDERS.items():
        begin = time.perf_counter()
        if (made := make(problem)) is not None:
            contenders[name], making[name] = made, time.perf_counter() - begin
    worst = errors(contenders["naive autograd"])
    for name, contender in contenders.items():
        for error, limit in zip(errors(contender), worst, strict=True):
            if not error <= 4 * limit:
                raise SystemExit(f"{name} fails the parity gate at {size}: {error:.1e}")
    times = interleaved({name: each.run for name, each in contenders.items()}, seconds=seconds)
    return {
        "size": size,
        "seconds": {name: spread(some) for name, some in times.items()},
        "compile_seconds": {n: making[n] for n in ("torch.compile", "JAX") if n in making},
    }


def compiled(problem: Arrays) -> Contender | None:
    """The same loop under torch.compile, compiled here."""
    if len(problem[0]) > MOST_COMPILED_STEPS:
        return None
    torch._dynamo.reset()
    contender = by_autograd(torch.compile(step_by_step), problem)
    contender.run()
    return contender


def step_by_step(x: Tensor, U: Tensor, W: Tensor) -> Tensor:
    """The layer as one writes it in torch."""
    h, states = x.new_zeros(x.shape[1], W.shape[0]), []
    for a_t in (x @ U).unbind():
        h = torch.sigmoid(a_t + h @ W)
        states.append(h)
    return torch.stack(states)


def by_autograd(layer: Callable[..., Tensor], problem: Arrays) -> Contender:
    """States and gradients of a layer by torch autograd."""
    *arguments, upstream = problem
    leaves = [t.detach().requires_grad_() for t in arguments]

    def run() -> Arrays:
        states = layer(*leaves)
        return [states.detach(), *torch.autograd.grad(states, leaves, upstream)]

    return Contender(run)


def nn_rnn(problem: Arrays) -> Contender:
    """torch.nn.RNN in the exact tanh form; only its own work is timed, not the way to that form."""
    x, U, W, upstream = problem
    rnn, _ = to_nn_rnn(ElmanRNN.from_params(Params(U.numpy(), W.numpy(), W.numpy())))
    leaf = x.detach().requires_grad_()
    g_0, half = x.new_full((1, x.shape[1], len(W)), -1.0), upstream / 2
    leaves = [leaf, *rnn.parameters()]

    def run() -> Arrays:
        g, _ = rnn(leaf, g_0)
        return [g, *torch.autograd.grad(g, leaves, half)]

    def read(answer: Arrays) -> Arrays:
        g, into_x, into_ih, into_hh, into_bias, _ = answer
        return [(1 + g.detach()) / 2, into_x, into_ih.mT / 2, into_hh.mT / 4 + into_bias / 4]

    return Contender(run, read)


def jax_scan(problem: Arrays) -> Contender | None:
    """jax.lax.scan, forward and backward as one jitted program, if JAX is installed."""
    try:
        import jax
    except ModuleNotFoundError:
        return None

    def layer(x: Any, U: Any, W: Any) -> Any:
        def step(h: Any, a_t: Any) -> Any:
            h = jax.nn.sigmoid(a_t + h @ W)
            return h, h

        return jax.lax.scan(step, jax.numpy.zeros((x.shape[1], len(W)), x.dtype), x @ U)[1]

    def both(x: Any, U: Any, W: Any, upstream: Any) -> Any:
        states, pull = jax.vjp(layer, x, U, W)
        return states, *pull(upstream)

    arrays, jitted = [jax.numpy.asarray(t.numpy()) for t in problem], jax.jit(both)

    def run() -> Any:
        return jax.block_until_ready(jitted(*arrays))

    run()
    return Contender(run, lambda answer: [torch.tensor(np.asarray(array)) for array in answer])


CONTENDERS: dict[str, Callable[[Arrays], Contender | None]] = {
    "ours": partial(by_autograd, elman),
    "naive autograd": partial(by_autograd, step_by_step),
    "nn.RNN": nn_rnn,
    "torch.compile": compiled,
    "JAX": jax_scan,
}


if __name__ == "__main__":
    main()
