"""Write and read the checkpoints of `train`: --checkpoint, --checkpoint-every, --resume."""

import argparse

import numpy as np

from rnn_numpy.commands.terminal import complain
from rnn_numpy.commands.train_flags import checkpoint_every
from rnn_numpy.storage.atomic_files import WeightsError
from rnn_numpy.storage.checkpoint_folder import Folder
from rnn_numpy.training.checkpoints import Checkpoint, newest_checkpoint, write_checkpoint
from rnn_numpy.training.processes import Processes
from rnn_numpy.training.recipe import Learner, Recipe, Run


class Keeper:
    """Writes the checkpoints of a run, if the flags ask for them, in the first process.

    Raises:
        ValueError: a flag needs another one, or the folder cannot be used.
    """

    def __init__(
        self, flags: argparse.Namespace, recipe: Recipe, engine: str, ranks: Processes
    ) -> None:
        #: Steps between two checkpoints; None without a folder.
        self.every: int | None = None
        #: The checkpoint to resume from, if any.
        self.found: Checkpoint | None = None
        #: Why the last checkpoint could not be written; empty if it was written.
        self.failure = ""
        self._last_step = -1  # the step of the last one
        self._folder: Folder | None = None
        self._engine = engine
        if flags.checkpoint is None and flags.resume:
            raise ValueError("--resume needs --checkpoint DIR")
        self.every = checkpoint_every(flags)
        if self.every is None:
            return
        resume = flags.resume or ranks.restarted
        with ranks.failing_together():
            if ranks.leads():
                self.found = self._open(flags.checkpoint, resume, recipe, engine)
        self.found = ranks.gather(self.found)[0]

    def _open(self, path: str, resume: bool, recipe: Recipe, engine: str) -> Checkpoint | None:
        """The checkpoint to resume from, if any."""
        self._folder = Folder(path)
        try:
            if resume:
                return newest_checkpoint(self._folder, recipe, engine, complain)
            if self._folder.files():
                raise ValueError(
                    f"{path} contains a run: pass --resume to continue it, or choose another folder"
                )
        except BaseException:
            self.close()
            raise
        return None

    def close(self) -> None:
        """Release the folder for other runs."""
        if self._folder is not None:
            self._folder.close()

    def keep(self, learner: Learner, rng: np.random.RandomState, run: Run) -> None:
        """Write a checkpoint; if that fails, print the reason and continue."""
        if self._folder is None or run.steps == self._last_step:
            return
        generator = rng.get_state(legacy=False)
        try:
            checkpoint = Checkpoint(learner.params(), generator, run, self._engine)
            write_checkpoint(self._folder, checkpoint)
            self.failure, self._last_step = "", run.steps
        except WeightsError as error:
            if not self.failure:
                complain(f"{error}; the training continues")
            self.failure = str(error)
