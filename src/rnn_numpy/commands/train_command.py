"""Both `train` commands, from top to bottom: train, prove if asked, save, count sums, exit code."""

import argparse
import json
import signal
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from bptt_check.commands.atomic_files import WeightsError, made_by
from bptt_check.commands.terminal import (
    Stop,
    bad_input,
    check_outputs,
    complain,
    interruptible,
    progress,
    say,
)
from rnn_numpy.commands import train_log
from rnn_numpy.commands.train_plot import Learning, train_plot
from rnn_numpy.compiled import native
from rnn_numpy.storage.weights import save_params
from rnn_numpy.tasks.exact_sums import MOST_BITS_EXHAUSTIVE, Count, count
from rnn_numpy.training.checkpoint import Checkpoint
from rnn_numpy.training.recipe import Engine, Recipe, Training, vanished

if TYPE_CHECKING:
    from rnn_numpy.training.until_proved import Outcome

CODES = {"finished": 0, "interrupted": 128 + signal.SIGINT, "diverged": 1, "vanished": 1}


def train(
    parser: argparse.ArgumentParser, flags: argparse.Namespace, recipe: Recipe, engine: Engine
) -> int:
    """Train, save, count exact sums, print; returns the exit code."""
    kept = Checkpoint(flags.checkpoint, complain)
    with bad_input(parser, "not enough memory for a network of this size"):
        check_outputs(flags, "out", "plot")
        training = kept.begin(recipe, engine, resume=flags.resume)
    try:
        return _Run(flags, training, kept).code()
    except KeyboardInterrupt:  # a second Ctrl-C stops immediately
        complain("stopped immediately; nothing was saved after the last checkpoint")
        return 128 + signal.SIGINT


class _Run:
    """A training as the command runs it: its flags, its checkpoint, the curve for --plot."""

    def __init__(self, flags: argparse.Namespace, training: Training, kept: Checkpoint) -> None:
        self.flags, self.training, self.kept = flags, training, kept
        self.curve = Learning(training.recipe.bits) if flags.plot is not None else None
        self.proof: dict[str, Any] | None = None  #: of --until-proved, for --json
        self.tell: Callable[[str], object] = (lambda line: None) if flags.json else say

    def code(self) -> int:
        """Take the remaining steps, then save, count and print; returns the exit code."""
        flags, training = self.flags, self.training
        outcome: Outcome | None = None
        with interruptible() as stopped:
            self.take_steps(stopped)
            if flags.until_proved and training.status == "finished":
                outcome = self.prove(stopped)
            # Save before counting sums, so that the weights are safe first.
            failure = self.save()
        sums = self.count_sums()
        proved = outcome is not None and outcome.is_proved
        inexact = sums is not None and sums.exact < sums.tried
        doubtful = training.status == "finished" and inexact and not proved
        if doubtful and vanished(training.recipe, training.learner):
            training.status = "vanished"
            self.tell(*train_log.ending(training))
        if flags.json:
            say(train_log.as_json(training, sums, None if failure else flags.out, self.proof))
        failures = [reason for reason in (failure, self.kept.failure) if reason]
        for reason in failures:
            complain(f"error: {reason}")
        if failures:
            return 2
        if training.status == "interrupted" and stopped():
            return stopped.exit_code
        unproved = outcome is not None and not proved
        return CODES[training.status] or int(unproved or bool(train_log.wrong_steps(training)))

    def take_steps(self, stopped: Stop) -> None:
        """Take the recipe's remaining steps; log them and write checkpoints."""
        training, recipe, every = self.training, self.training.recipe, self.flags.checkpoint_every
        audited = training.learner.audited
        self.tell(train_log.heading(recipe, audited=audited))
        if training.steps > 0:
            self.tell(f"continuing from step {training.steps}")
        self.measure()
        with progress(recipe.iterations, "step", done=training.steps) as bar:
            for record in training.run(self.flags.log_every, pause_every=every):
                if record is not None:
                    self.tell(train_log.line(record, recipe.bits, audited=audited))
                    self.measure()
                bar.update(training.steps - bar.n)
                if every is not None and training.steps % every == 0:
                    self.kept.keep(training)
                if training.steps < recipe.iterations and stopped():
                    training.status = "interrupted"
                    break
        for line in train_log.ending(training):
            self.tell(line)
        if training.status != "diverged":
            self.kept.keep(training)

    def measure(self) -> None:
        """Add the network as it is to the curve, if there is one."""
        if self.curve is not None:
            self.curve.add(self.training.steps, self.training.learner.params())

    def prove(self, stopped: Stop) -> "Outcome":
        """Train on until the network is proved, and put the result into `training`."""
        # Imported here: most trainings end without a proof, and start sooner without its modules.
        from rnn_numpy.real_proof.report import as_json, headline
        from rnn_numpy.training.until_proved import until_proved

        training, recipe = self.training, self.training.recipe
        most = self.flags.max_iterations - recipe.iterations
        outcomes = until_proved(training.learner.params(), recipe.seed, most_steps=most)
        with progress(most, "step") as bar:
            for outcome in outcomes:
                bar.update(outcome.steps - bar.n)
                training.steps = recipe.iterations + outcome.steps
                training.learner = training.engine.learner(outcome.params, recipe)
                self.tell(f"{training.steps:8}  {headline(outcome.verdict)}")
                self.measure()
                if not outcome.is_proved and stopped():
                    training.status = "interrupted"
                    break
        self.proof = as_json(outcome.verdict)
        return outcome

    def save(self) -> str:
        """Write --out and --plot, if given; returns the reason of a failure, or an empty text."""
        flags, training = self.flags, self.training
        params = training.learner.params()
        metadata = {
            "made_by": made_by(),
            "recipe": json.dumps(asdict(training.recipe)),
            "steps": str(training.steps),
            "status": training.status,
        }
        try:
            if flags.out is not None:
                save_params(flags.out, params, metadata)
                self.tell(f"weights written to {flags.out}")
            elif training.status == "interrupted" and flags.checkpoint is None:
                self.tell("weights not written: no --out given")
            if self.curve is not None:
                train_plot(self.curve, params, flags.plot)
                self.tell(f"picture written to {flags.plot}")
        except WeightsError as error:
            return str(error)
        return ""

    def count_sums(self) -> Count | None:
        """Count and print the exact sums; None if Ctrl-C stops that."""
        recipe, engine = self.training.recipe, self.training.engine.name
        total = 4 ** (recipe.bits - 1) if recipe.bits <= MOST_BITS_EXHAUSTIVE else None
        params = self.training.learner.params()
        try:
            with progress(total, "sum") as bar:
                exact = count(params, recipe.bits, on_progress=bar.update)
        except KeyboardInterrupt:
            self.training.status = "interrupted"
            self.tell("stopped while trying the sums")
            return None
        if self.flags.engine is None and engine != "compiled" and not native.available():
            engine += f" (the compiled one is not built: {native.INSTALL})"
        self.tell(f"{train_log.in_words(exact, recipe.bits)}; engine: {engine}")
        return exact
