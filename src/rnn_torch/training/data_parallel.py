"""Train in several processes: each takes a share of every batch; the gradients are summed."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor, distributed
from torch.distributed import GradBucket  # type: ignore[attr-defined]
from torch.nn.parallel import DistributedDataParallel

from rnn_numpy.elman_network.params import Params
from rnn_numpy.training.recipe import Recipe
from rnn_torch.elman_network.model import squared_error
from rnn_torch.training.learners import AutogradLearner


class DataParallelLearner(AutogradLearner):
    """Plain SGD on every batch by the processes of the default group, started by torchrun.

    What is audited is their sum, against autograd's gradient of the whole batch in one process.

    Args:
        alone: the learner in one process, whose model this takes.
    """

    def __init__(
        self,
        params: Params,
        recipe: Recipe,
        device: torch.device | str,
        alone: type[AutogradLearner],
    ) -> None:
        self.model_class = alone.model_class
        super().__init__(params, recipe, device)
        self._rank, self._world = distributed.get_rank(), distributed.get_world_size()
        self._parallel = DistributedDataParallel(self.model)
        self._parallel.register_comm_hook(None, _added_up)

    def _differentiate(
        self, x: Float[Tensor, "bits batch 2"], y: Float[Tensor, "bits batch 1"]
    ) -> tuple[Float[Tensor, "bits share 1"], Sequence[Tensor]]:
        weights = [self.model.U, self.model.W, self.model.V]
        for weight in weights:
            weight.grad = None
        # A process for which there is no example takes the first, and adds nothing.
        idle = self._rank >= x.shape[1]
        share = slice(0, 1) if idle else slice(self._rank, None, self._world)
        outputs, _ = self._parallel(x[:, share])
        loss = squared_error(outputs, y[:, share])
        (0 * loss if idle else loss).backward()
        if idle:
            outputs = outputs[:, :0]
        return outputs, [weight.grad for weight in weights if weight.grad is not None]

    def _of_the_batch(
        self, outputs: Float[Tensor, "bits share 1"]
    ) -> Float[Tensor, "bits batch 1"]:
        bits, _, n_out = outputs.shape
        whole = outputs.new_zeros(bits, self._recipe.batch_size, n_out)
        whole[:, self._rank :: self._world] = outputs.detach()
        distributed.all_reduce(whole)
        return whole

    def _hand_written(self, pairs: Int64[np.ndarray, "batch 2"]) -> Params:
        whole = (torch.as_tensor(array, device=self._device) for array in self._encoded(pairs))
        return Params(*(g.numpy(force=True) for g in self._differentiate(*whole)[1]))


def _added_up(state: object, bucket: GradBucket) -> torch.futures.Future[torch.Tensor]:
    """DistributedDataParallel takes the mean; (4) is a sum."""
    work = distributed.all_reduce(bucket.buffer(), async_op=True)
    return work.get_future().then(lambda future: future.value()[0])
