"""Both `train` commands, from top to bottom: train, prove if asked, save, count sums, exit code."""

import argparse
import json
import signal
from dataclasses import asdict
from functools import partial

from bptt_check.commands.atomic_files import WeightsError, made_by
from bptt_check.commands.terminal import (
    Stop,
    bad_input,
    check_outputs,
    complain,
    interruptible,
    progress,
)
from rnn_numpy.commands.train_log import Log, verdict, wrong_steps
from rnn_numpy.commands.train_plot import Learning, train_plot
from rnn_numpy.compiled import native
from rnn_numpy.real_proof.report import as_json, headline
from rnn_numpy.real_proof.verdict import Proved
from rnn_numpy.storage.weights import save_params
from rnn_numpy.tasks.exact_sums import MOST_BITS_EXHAUSTIVE, Count, advance, count_exact
from rnn_numpy.training.checkpoint import Checkpoint
from rnn_numpy.training.recipe import Engine, Logged, Recipe, Training, vanished
from rnn_numpy.training.until_proved import Outcome, until_proved

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
        return _run(flags, training, kept)
    except KeyboardInterrupt:  # a second Ctrl-C stops immediately
        complain("stopped immediately; nothing was saved after the last checkpoint")
        return 128 + signal.SIGINT


def _run(flags: argparse.Namespace, training: Training, kept: Checkpoint) -> int:
    """Take the remaining steps, then save, count and print; returns the exit code."""
    recipe = training.recipe
    learning = Learning(recipe.bits) if flags.plot is not None or flags.live else None
    log = Log(recipe, quiet=flags.json, learning=learning, live=flags.live)
    log.heading(audited=training.learner.audited)
    outcome: Outcome | None = None
    with interruptible() as stopped:
        _take_steps(flags, training, kept, log, stopped)
        if flags.until_proved and training.status == "finished":
            outcome = _prove(flags, training, log, stopped)
        # Save before counting sums, so that the weights are safe first.
        failure = _save(flags, training, log) or _plot(flags, training, log)
    count = _count_sums(flags, training, log)
    proved = outcome is not None and isinstance(outcome.verdict, Proved)
    inexact = count is not None and count.exact < count.tried
    doubtful = training.status == "finished" and inexact and not proved
    if doubtful and vanished(recipe, training.learner):
        training.status = "vanished"
        log.vanished()
    if flags.json:
        proof = outcome and as_json(outcome.params, outcome.verdict)
        log.json(training, count, None if failure else flags.out, proof)
    failures = [reason for reason in (failure, kept.failure) if reason]
    for reason in failures:
        complain(f"error: {reason}")
    if failures:
        return 2
    if training.status == "interrupted" and stopped():
        return stopped.exit_code
    unproved = outcome is not None and not proved
    return CODES[training.status] or int(unproved or bool(wrong_steps(training)))


def _take_steps(
    flags: argparse.Namespace, training: Training, kept: Checkpoint, log: Log, stopped: Stop
) -> None:
    """Take the recipe's remaining steps; log them and write checkpoints."""
    iterations, every = training.recipe.iterations, flags.checkpoint_every
    if training.steps > 0:
        log.say(f"continuing from step {training.steps}")
    log.measure(training.steps, training.learner.params(), draw=False)
    with progress(iterations, "step", done=training.steps) as bar:
        for event in training.run(flags.log_every, pause_every=every):
            if isinstance(event, Logged):
                log.record(event.record)
                log.measure(training.steps, training.learner.params())
            bar.update(event.steps)
            if every is not None and training.steps % every == 0:
                kept.keep(training)
            if training.steps < iterations and stopped():
                training.status = "interrupted"
                break
    log.ending(training)
    if training.status != "diverged":
        kept.keep(training)


def _prove(flags: argparse.Namespace, training: Training, log: Log, stopped: Stop) -> Outcome:
    """Train on until the network is proved, and put the result into `training`."""
    recipe = training.recipe
    most = flags.max_iterations - recipe.iterations
    outcomes = until_proved(training.learner.params(), recipe.seed, most_steps=most)
    with progress(most, "step") as bar:
        for outcome in outcomes:
            bar.update(outcome.steps - bar.n)
            training.steps = recipe.iterations + outcome.steps
            log.say(f"{training.steps:8}  {headline(outcome.params, outcome.verdict)}")
            log.measure(training.steps, outcome.params)
            if not isinstance(outcome.verdict, Proved) and stopped():
                training.status = "interrupted"
                break
    log.keep_chart()
    training.learner = training.engine.learner(outcome.params, recipe)
    return outcome


def _save(flags: argparse.Namespace, training: Training, log: Log) -> str:
    """Write the weights to --out, if given; returns the reason of a failure, or an empty text."""
    if flags.out is None:
        if training.status == "interrupted" and flags.checkpoint is None:
            log.say("weights not written: no --out given")
        return ""
    metadata = {
        "made_by": made_by(),
        "recipe": json.dumps(asdict(training.recipe)),
        "steps": str(training.steps),
        "status": training.status,
    }
    try:
        save_params(flags.out, training.learner.params(), metadata)
    except WeightsError as error:
        return str(error)
    log.say(f"weights written to {flags.out}")
    return ""


def _plot(flags: argparse.Namespace, training: Training, log: Log) -> str:
    """Draw --plot, if given; returns the reason of a failure, or an empty text."""
    if flags.plot is None or log.learning is None:
        return ""
    try:
        train_plot(log.learning, training.learner.params(), flags.plot)
    except WeightsError as error:
        return str(error)
    log.say(f"picture written to {flags.plot}")
    return ""


def _count_sums(flags: argparse.Namespace, training: Training, log: Log) -> Count | None:
    """Count and print the exact sums; None if Ctrl-C stops that."""
    recipe, engine = training.recipe, training.engine.name
    total = 4 ** (recipe.bits - 1) if recipe.bits <= MOST_BITS_EXHAUSTIVE else None
    try:
        with progress(total, "sum") as bar:
            step = partial(advance, training.learner.params())
            count = count_exact(
                step, recipe.hidden, recipe.bits, recipe.dtype, on_progress=bar.update
            )
    except KeyboardInterrupt:
        training.status = "interrupted"
        log.say("stopped while trying the sums")
        return None
    if flags.engine is None and engine != "compiled" and not native.available():
        engine += f" (the compiled one is not built: {native.INSTALL})"
    log.say(f"{verdict(count, recipe.bits)}; engine: {engine}")
    return count
