"""The part shared by both `train` commands: the run from start to end, saving, exit codes."""

import argparse
import json
import signal
from contextlib import closing
from dataclasses import asdict

import numpy as np

from rnn_numpy.commands.terminal import bad_input, check_outputs, complain, interruptible, progress
from rnn_numpy.commands.train_flags import checkpoint_every
from rnn_numpy.commands.train_log import Log, verdict, wrong_steps
from rnn_numpy.commands.train_plot import Learning, train_plot
from rnn_numpy.compiled import native
from rnn_numpy.elman_network.params import Params
from rnn_numpy.real_proof.report import as_json, headline
from rnn_numpy.storage.atomic_files import WeightsError
from rnn_numpy.storage.weights import made_by, save_params
from rnn_numpy.tasks.exact_sums import MOST_BITS_EXHAUSTIVE, count_exact
from rnn_numpy.training.checkpoints import Keeper
from rnn_numpy.training.processes import Processes
from rnn_numpy.training.recipe import Engine, Learner, Recipe, Run, run, start, vanished
from rnn_numpy.training.until_proved import Outcome, until_proved


def train(
    parser: argparse.ArgumentParser,
    flags: argparse.Namespace,
    recipe: Recipe,
    engine: Engine,
    ranks: Processes,
) -> int:
    """Train, save, count exact sums, print; returns the exit code.

    Args:
        parser: the parser of these flags, which ends the command if they are invalid.
        ranks: the processes that train together.
    """
    try:
        with bad_input(parser, "not enough memory for a network of this size"):
            with ranks.failing_together():
                if ranks.leads():
                    check_outputs(flags, "out", "plot")
            params, rng = start(recipe)
            learner = engine.learner(params, recipe)
            every = checkpoint_every(flags)
            keeper = Keeper(
                flags.checkpoint, recipe, engine.name, ranks, complain, resume=flags.resume
            )
            result = Run(recipe)
            if keeper.found is not None:
                result = keeper.found.run
                rng.set_state(keeper.found.generator)
                learner = engine.learner(keeper.found.params, recipe)
        with closing(keeper):
            return _run(flags, engine, ranks, keeper, every, result, learner, rng)
    except KeyboardInterrupt:  # a second Ctrl-C stops immediately
        complain("stopped immediately; nothing was saved after the last checkpoint")
        return 128 + signal.SIGINT


def _run(
    flags: argparse.Namespace,
    engine: Engine,
    ranks: Processes,
    keeper: Keeper,
    every: int | None,
    result: Run,
    learner: Learner,
    rng: np.random.RandomState,
) -> int:
    """Take the remaining steps, then save, count and print; returns the exit code."""
    recipe = result.recipe
    log = Log(recipe, quiet=flags.json)
    log.heading(audited=learner.audit is not None)
    if keeper.found is not None:
        log.say(f"continuing from step {result.steps}")
    outcome: Outcome | None = None
    wanted = (flags.plot is not None or flags.live) and ranks.leads()
    learning = Learning(recipe.bits) if wanted else None
    if learning is not None:
        learning.add(result.steps, learner.params())
    with interruptible() as interrupted:
        stretches = run(result, learner, rng, log_every=flags.log_every, pause_every=every)
        with progress(recipe.iterations, "step", done=result.steps) as bar:
            for stretch in stretches:
                if stretch.record is not None:
                    log.record(stretch.record)
                    if learning is not None:
                        learning.add(result.steps, learner.params())
                        _draw(flags, learning, log)
                bar.update(stretch.steps)
                if every is not None and result.steps % every == 0:
                    keeper.keep(learner, rng, result)
                if result.steps < recipe.iterations and ranks.any(interrupted()):
                    result.status = "interrupted"
                    break
        log.keep_chart()
        log.ending(result)
        if result.status != "diverged":
            keeper.keep(learner, rng, result)
        if flags.until_proved and result.status == "finished":
            most, params = flags.max_iterations - recipe.iterations, learner.params()
            outcomes = until_proved(
                recipe, params, rng, flags.state_bits, engine.learner, most_steps=most
            )
            with progress(most, "step") as bar:
                for outcome in outcomes:
                    bar.update(outcome.steps - bar.n)
                    result.steps = recipe.iterations + outcome.steps
                    log.say(f"{result.steps:8}  {headline(outcome.params, outcome.verdict)}")
                    if learning is not None:
                        learning.add(result.steps, outcome.params)
                        _draw(flags, learning, log)
                    if outcome.verdict.status != "proved" and ranks.any(interrupted()):
                        result.status = "interrupted"
                        break
            log.keep_chart()
            assert outcome is not None
            learner = engine.learner(outcome.params, recipe)
        # Save before counting sums, so that the weights are safe first.
        failure, count = "", None
        if ranks.leads():
            failure = _save(flags.out, learner.params(), result, log, every is not None)
        if learning is not None and flags.plot is not None:
            failure = failure or _plot(learning, learner.params(), flags.plot, log)
    try:
        if ranks.leads():
            total = 4 ** (recipe.bits - 1) if recipe.bits <= MOST_BITS_EXHAUSTIVE else None
            sizes = recipe.hidden, recipe.bits, recipe.dtype
            with progress(total, "sum") as bar:
                count = count_exact(learner.advance, *sizes, on_progress=bar.update)
            log.say(f"{verdict(count, recipe.bits)}; engine: {_in_words(engine, flags)}")
    except KeyboardInterrupt:
        result.status = "interrupted"
        log.say("stopped while trying the sums")
    proved = outcome is not None and outcome.verdict.status == "proved"
    inexact = count is not None and count.exact < count.tried
    doubtful = result.status == "finished" and inexact and not proved
    if ranks.any(doubtful) and vanished(recipe, learner):
        result.status = "vanished"
        log.vanished()
    if flags.json:
        proof = outcome and as_json(outcome.params, outcome.verdict)
        log.json(result, count, engine.name, None if failure else flags.out, proof)
    for reason in filter(None, (failure, keeper.failure)):
        complain(f"error: {reason}")
    if failure or keeper.failure:
        return 2
    if result.status == "interrupted":
        return interrupted.exit_code if interrupted() else 128 + signal.SIGINT
    failed = result.status in ("diverged", "vanished") or wrong_steps(result)
    return 1 if failed or (outcome is not None and not proved) else 0


def _save(out: str | None, params: Params, result: Run, log: Log, kept: bool) -> str:
    """Write the weights if `out` is given; returns the reason of a failure, or an empty text."""
    if out is None:
        if result.status == "interrupted" and not kept:
            log.say("weights not written: no --out given")
        return ""
    metadata = {
        "made_by": made_by(),
        "recipe": json.dumps(asdict(result.recipe)),
        "steps": str(result.steps),
        "status": result.status,
    }
    try:
        save_params(out, params, metadata)
    except WeightsError as error:
        return str(error)
    log.say(f"weights written to {out}")
    return ""


def _draw(flags: argparse.Namespace, learning: Learning, log: Log) -> None:
    if flags.live:
        log.chart(learning.as_text())


def _plot(learning: Learning, params: Params, file: str, log: Log) -> str:
    """Draw the training; returns the reason of a failure, or an empty text."""
    try:
        train_plot(learning, params, file)
    except WeightsError as error:
        return str(error)
    log.say(f"picture written to {file}")
    return ""


def _in_words(engine: Engine, flags: argparse.Namespace) -> str:
    if flags.engine is None and engine.name != "compiled" and not native.available():
        return f"{engine.name} (the compiled one is not built: {native.INSTALL})"
    return engine.name
