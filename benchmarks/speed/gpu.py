"""On a GPU: the layer beside cuDNN in the exact tanh form, and a sweep of 10,000 networks at once.

The gate as in `layer.py`, without TF32: our distance from float64 is at most four times the naive
float32 loop's. cuDNN's kernels for small sizes do not pass it; how far they are off is kept.
"""

import argparse
import time
from collections.abc import Callable
from typing import Any

import torch

from benchmarks.harness import interleaved, keep, spread
from benchmarks.speed.layer import Arrays, naive, nn_rnn, ours
from rnn_numpy.training.many_networks import train
from rnn_numpy.training.recipe import Recipe
from rnn_torch.many_networks import stack

SIZES = ((8, 64, 16), (64, 64, 128), (1024, 64, 128), (64, 64, 512), (1024, 64, 512),
         (256, 256, 1024))  # fmt: skip


def main() -> None:
    """Run the benchmark; print what it finds and keep the numbers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda", help="(%(default)s)")
    parser.add_argument("--seconds", type=float, default=3.0, help="a size (%(default)s)")
    parser.add_argument("--networks", type=int, default=10_000, help="(%(default)s)")
    parser.add_argument("--iterations", type=int, default=20_000, help="of each (%(default)s)")
    flags = parser.parse_args()
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    device = torch.device(flags.device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)
    rows = []
    for size in SIZES:
        rows.append(layer(size, device, flags.seconds))
        print(rows[-1], flush=True)
    keep("gpu", {"device": name, "rows": rows})
    swept = sweep(flags.networks, flags.iterations, device)
    print(swept, flush=True)
    keep("gpu", {"device": name, "rows": rows, "sweep": swept})


def layer(size: tuple[int, int, int], device: torch.device, seconds: float) -> dict[str, Any]:
    """Gate, then time, the layer's contenders at one size (time, batch, hidden)."""
    steps, batch, hidden = size
    generator = torch.Generator().manual_seed(0)
    shapes = (steps, batch, hidden), (hidden, hidden), (hidden, hidden), (steps, batch, hidden)
    x, U, W, upstream = (torch.randn(*shape, generator=generator).to(device) for shape in shapes)
    problem: Arrays = [x, U / hidden**0.5, W / hidden**0.5, upstream]
    exact = naive([tensor.double() for tensor in problem])()
    contenders = {"ours": ours(problem), "naive autograd": naive(problem),
                  "nn.RNN": nn_rnn(problem)}  # fmt: skip
    errors = {
        name: [float((a.double() - b).abs().max()) for a, b in zip(answer(), exact, strict=True)]
        for name, answer in contenders.items()
    }
    worst = {
        name: max(e / naive for e, naive in zip(found, errors["naive autograd"], strict=True))
        for name, found in errors.items()
    }
    if not worst["ours"] <= 4:
        raise SystemExit(f"ours fails the parity gate at {size}: {worst['ours']:.1f}")

    def synchronised(answer: Callable[[], Any]) -> Callable[[], Any]:
        def call() -> None:
            answer()
            if device.type == "cuda":
                torch.cuda.synchronize(device)

        return call

    timed = {name: synchronised(getattr(a, "timed", a)) for name, a in contenders.items()}
    times = interleaved(timed, seconds=seconds)
    seconds_of = {name: spread(some) for name, some in times.items()}
    return {"size": size, "seconds": seconds_of, "error beside the naive loop's": worst}


def sweep(networks: int, iterations: int, device: torch.device) -> dict[str, Any]:
    """Train many seeds as one batch; the first three must end as exact as one by one."""
    recipes = [Recipe(seed, iterations=iterations) for seed in range(networks)]
    begin = time.perf_counter()
    batch = stack.begin(recipes, device)
    for _ in stack.train_batch(batch, iterations):
        pass
    seconds = time.perf_counter() - begin
    results = stack.results(batch, iterations)
    for result in results[:3]:
        if result != train(result.recipe, iterations):
            raise SystemExit(f"seed {result.recipe.seed} ends otherwise than one by one")
    exact = sum(result.exact[-1] == result.tried for result in results)
    return {"networks": networks, "iterations": iterations, "seconds": seconds, "exact": exact}


if __name__ == "__main__":
    main()
