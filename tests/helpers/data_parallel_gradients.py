"""For several processes: the gradient of several processes against that of one, on random problems.

Prints, as JSON, the worst fraction of the rounding bound, and of how many problems a planted
mistake was seen: the mean over the processes, as DistributedDataParallel takes by itself.
"""

import json

import numpy as np
import torch
from torch import distributed
from torch.distributed import GradBucket  # type: ignore[attr-defined]

from profiles import NIGHTLY
from rnn_numpy import Params
from rnn_numpy.tasks.addition import draw_pairs
from rnn_numpy.training.recipe import Recipe, start
from rnn_torch.training import learners
from rnn_torch.training.learners import AutogradLearner, DataParallelLearner, FusedLearner
from rnn_torch.training.torchrun import join

PROBLEMS = 64 if NIGHTLY else 8


def mean(state: object, bucket: GradBucket) -> torch.futures.Future[torch.Tensor]:
    world = distributed.get_world_size()
    work = distributed.all_reduce(bucket.buffer(), async_op=True)
    return work.get_future().then(lambda future: future.value()[0] / world)


def main(_: list[str]) -> int:
    ranks = join()
    rng = np.random.default_rng(0)
    worst, seen, blind = 0.0, 0, 0
    for problem in range(PROBLEMS):
        # Uneven batches, and some with fewer examples than there are processes.
        batch, bits, hidden = (int(rng.integers(1, most + 1)) for most in (9, 12, 20))
        dtype = ("float32", "float64")[problem % 2]
        recipe = Recipe(problem, bits, hidden, dtype=dtype, batch_size=batch)  # type: ignore[arg-type]
        params, draws = start(recipe)
        scale = rng.choice([0.1, 1.0, 4.0])
        params = Params(*(np.asarray(scale * array, dtype) for array in params))
        engine = (AutogradLearner, FusedLearner)[problem % 4 // 2]
        pairs = draw_pairs(draws, bits, batch)
        used = DataParallelLearner(params, recipe, "cpu", engine).audit(pairs)
        right, learners._summed = learners._summed, mean
        planted = DataParallelLearner(params, recipe, "cpu", engine).audit(pairs)
        learners._summed = right
        blind += used is None
        worst = max(worst, used or 0.0)
        seen += planted is not None and planted > 1
    everywhere = ranks.gather(worst)
    if ranks.leads():
        print(json.dumps({"worst": max(everywhere), "seen": seen, "blind": blind}))
    ranks.close()
    return 0
