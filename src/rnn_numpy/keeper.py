"""The checkpoints of a `train` command: --checkpoint, --checkpoint-every, --resume."""

import argparse
import sys
from collections.abc import Callable

import numpy as np

from rnn_numpy.checkpoints import Checkpoint, Folder
from rnn_numpy.files import WeightsError
from rnn_numpy.recipe import Learner, Recipe, Run


class Keeper:
    """Keeps a run in its folder, if the flags ask for one.

    Raises:
        ValueError: flags that do not go together, or a folder that cannot be used.
    """

    def __init__(self, flags: argparse.Namespace, recipe: Recipe, engine: str) -> None:
        #: Every how many steps; None without a folder.
        self.every: int | None = None
        #: Where to go on from, if that was asked for and there is something.
        self.found: Checkpoint | None = None
        #: Why the last checkpoint could not be written; empty if it could.
        self.failure = ""
        self._kept = -1  # the step of the last one
        self._close: Callable[[], object] = lambda: None
        if flags.checkpoint is None:
            for name, given in (
                ("--checkpoint-every", flags.checkpoint_every is not None),
                ("--resume", flags.resume),
            ):
                if given:
                    raise ValueError(f"{name} goes with --checkpoint DIR")
            return
        self.every = 1000 if flags.checkpoint_every is None else flags.checkpoint_every
        if self.every < 1:
            raise ValueError(f"--checkpoint-every must be at least 1, got {self.every}")
        self._folder = Folder(flags.checkpoint)
        self._close = self._folder.close
        try:
            if flags.resume:
                self.found = self._folder.newest(recipe, engine, _warn)
            elif self._folder.files():
                raise ValueError(
                    f"{flags.checkpoint} holds a run already: --resume goes on with it, "
                    "or choose another folder"
                )
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let another run use the folder."""
        self._close()

    def keep(self, learner: Learner, rng: np.random.RandomState, run: Run) -> None:
        """Write a checkpoint. If that fails it is said, and the training goes on."""
        if self.every is None or run.steps == self._kept:
            return
        generator = rng.get_state(legacy=False)
        try:
            self._folder.write(Checkpoint(learner.params(), generator, run, learner.engine))
            self.failure, self._kept = "", run.steps
        except WeightsError as error:
            if not self.failure:
                _warn(f"{error}; the training goes on")
            self.failure = str(error)


def _warn(line: str) -> None:
    print(line, file=sys.stderr)
