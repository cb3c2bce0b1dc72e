"""What both `train` commands share: the run from start to end, saving and exit codes."""

import argparse
import json
import signal
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict

import numpy as np

from rnn_numpy.commands.terminal import bad_input, check_outputs, complain, interruptible, progress
from rnn_numpy.commands.train_checkpoints import Keeper
from rnn_numpy.commands.train_log import Log, verdict, wrong_steps
from rnn_numpy.compiled import native
from rnn_numpy.elman_network.params import Params
from rnn_numpy.proof.machine import Verdict
from rnn_numpy.proof.report import as_json, headline
from rnn_numpy.storage.atomic_files import WeightsError
from rnn_numpy.storage.weights import made_by, save_params
from rnn_numpy.tasks.exact_sums import MOST_BITS_EXHAUSTIVE, count_exact
from rnn_numpy.training.processes import Alone
from rnn_numpy.training.recipe import Engine, Learner, Recipe, Run, run, start, vanished
from rnn_numpy.training.until_proved import Outcome, until_proved


def train(
    parser: argparse.ArgumentParser,
    flags: argparse.Namespace,
    recipe: Recipe,
    engine: Engine,
    ranks: Alone,
) -> int:
    """Train, save, try every sum, print; returns the exit code.

    Args:
        parser: of these flags, which ends the command where they ask for what cannot be.
        ranks: the processes that train together.
    """
    try:
        with bad_input(parser):
            ranks.from_leader(lambda: check_outputs(flags, "out"))
            params, rng = start(recipe)
            learner = engine.learner(params, recipe)
            keeper = Keeper(flags, recipe, engine.name, ranks)
            if keeper.found is not None:
                rng.set_state(keeper.found.generator)
                learner = engine.learner(keeper.found.params, recipe)
        with closing(keeper):
            return _run(flags, recipe, engine, learner, rng, keeper, ranks)
    except KeyboardInterrupt:  # the second Ctrl-C: at once, whatever was going on
        complain("stopped immediately; nothing was saved after the last checkpoint")
        return 128 + signal.SIGINT


def _run(
    flags: argparse.Namespace,
    recipe: Recipe,
    engine: Engine,
    learner: Learner,
    rng: np.random.RandomState,
    keeper: Keeper,
    ranks: Alone,
) -> int:
    """Train, save, try every sum and print; returns the exit code."""
    log = Log(recipe, quiet=flags.json)
    log.heading(audited=learner.audit is not None)
    begun = keeper.found.run if keeper.found is not None else None
    if begun is not None:
        log.say(f"going on from step {begun.steps}")
    with interruptible() as interrupted:

        def stop() -> bool:
            return ranks.any(interrupted())

        with progress(recipe.iterations, "step", done=begun.steps if begun else 0) as bar:
            result = run(
                recipe,
                learner,
                rng,
                log_every=flags.log_every,
                on_record=log.record,
                on_steps=bar.update,
                stop=stop,
                begun=begun,
                save_every=keeper.every,
                on_save=lambda run: keeper.keep(learner, rng, run),
            )
        log.ending(result)
        if result.status != "diverged":
            keeper.keep(learner, rng, result)
        outcome = None
        if flags.until_proved and result.status == "finished":
            outcome = _until_proved(flags, recipe, engine, learner.params(), rng, log, stop)
            learner = engine.learner(outcome.params, recipe)
            result.steps += outcome.steps
            if stop() and outcome.verdict.status != "proved":
                result.status = "interrupted"
        # Before the sums are tried, so that nothing learned waits for it.
        failure, count = "", None
        if ranks.leads:
            failure = _save(flags.out, learner.params(), result, log, keeper.every is not None)
    try:
        if ranks.leads:
            total = 4 ** (recipe.bits - 1) if recipe.bits <= MOST_BITS_EXHAUSTIVE else None
            sizes = recipe.hidden, recipe.bits, recipe.dtype
            with progress(total, "sum") as bar:
                count = count_exact(learner.advance, *sizes, on_progress=bar.update)
            log.say(f"{verdict(count, recipe.bits)}; engine: {_in_words(engine, flags)}")
    except KeyboardInterrupt:
        result.status = "interrupted"
        log.say("stopped while trying the sums")
    unproved = outcome is not None and outcome.verdict.status != "proved"
    inexact = count is not None and count.exact < count.tried
    doubtful = result.status == "finished" and inexact and (outcome is None or unproved)
    if ranks.any(doubtful) and vanished(recipe, learner):
        result.status = "vanished"
        log.vanished()
    if flags.json:
        proof = outcome and as_json(outcome.params, outcome.verdict, None)
        log.json(result, count, engine.name, None if failure else flags.out, proof)
    for reason in filter(None, (failure, keeper.failure)):
        complain(f"error: {reason}")
    if failure or keeper.failure:
        return 2
    if result.status == "interrupted":
        return interrupted.exit_code if interrupted() else 128 + signal.SIGINT
    failed = result.status in ("diverged", "vanished") or unproved or wrong_steps(result)
    return 1 if failed else 0


def _until_proved(
    flags: argparse.Namespace,
    recipe: Recipe,
    engine: Engine,
    params: Params,
    rng: np.random.RandomState,
    log: Log,
    stop: Callable[[], bool],
) -> Outcome:
    """Go on past the recipe, a line for each proof that fails."""
    most = flags.max_iterations - recipe.iterations

    def say(steps: int, verdict: Verdict, params: Params) -> None:
        log.say(f"{recipe.iterations + steps:8}  {headline(params, verdict)}")

    with progress(most, "step") as bar:
        return until_proved(
            recipe,
            params,
            rng,
            flags.state_bits,
            engine.learner,
            most_steps=most,
            on_verdict=say,
            on_steps=bar.update,
            stop=stop,
        )


def _save(out: str | None, params: Params, result: Run, log: Log, kept: bool) -> str:
    """Write the weights if that was asked for; returns why it could not be done, or nothing."""
    if out is None:
        if result.status == "interrupted" and not kept:
            log.say("nothing kept: no --out given")
        return ""
    try:
        save_params(out, params, _metadata(result))
    except WeightsError as error:
        return str(error)
    log.say(f"weights written to {out}")
    return ""


def _metadata(result: Run) -> dict[str, str]:
    return {
        "made_by": made_by(),
        "recipe": json.dumps(asdict(result.recipe)),
        "steps": str(result.steps),
        "status": result.status,
    }


def _in_words(engine: Engine, flags: argparse.Namespace) -> str:
    if flags.engine is None and engine.name != "compiled" and not native.available():
        return f"{engine.name} (the compiled one needs numba: {native.INSTALL})"
    return engine.name
