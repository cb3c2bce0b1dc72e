"""What both `train` commands share: flags, the run from start to end, saving and exit codes."""

import argparse
import json
import signal
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict

import numpy as np

from rnn_numpy.commands.terminal import check_outputs, complain, interruptible, progress
from rnn_numpy.commands.train_checkpoints import Keeper
from rnn_numpy.commands.train_flags import recipe_of
from rnn_numpy.commands.train_log import Log, verdict, wrong_steps
from rnn_numpy.compiled import native
from rnn_numpy.elman_network.params import Params
from rnn_numpy.proof.machine import Verdict
from rnn_numpy.proof.report import as_json, headline
from rnn_numpy.storage.atomic_files import WeightsError
from rnn_numpy.storage.weights import made_by, save_params
from rnn_numpy.tasks.exact_sums import MOST_BITS_EXHAUSTIVE, Count, count_exact
from rnn_numpy.training.processes import Processes
from rnn_numpy.training.recipe import Learner, Recipe, Run, run, start, vanished
from rnn_numpy.training.until_proved import Outcome, until_proved

#: Makes the learner from the initial weights, the recipe and the parsed flags. Raises ValueError
#: for flags that cannot be met.
MakeLearner = Callable[[Params, Recipe, argparse.Namespace], Learner]


def main(
    arguments: argparse.ArgumentParser,
    make_learner: MakeLearner,
    argv: Sequence[str] | None,
    join: Callable[[], Processes] = Processes,
) -> int:
    """Run a `train` command: parse, train, save, try every sum, print. Returns the exit code.

    Args:
        join: the processes that train together; called once the flags are known to be good.
    """
    try:
        flags = arguments.parse_args(argv)
        recipe = recipe_of(arguments, flags)
        with closing(join()) as ranks:
            return _main(arguments, make_learner, flags, recipe, ranks)
    except KeyboardInterrupt:  # the second Ctrl-C: at once, whatever was going on
        complain("stopped immediately; nothing was saved after the last checkpoint")
        return 128 + signal.SIGINT


def _main(
    arguments: argparse.ArgumentParser,
    make_learner: MakeLearner,
    flags: argparse.Namespace,
    recipe: Recipe,
    ranks: Processes,
) -> int:
    try:
        with ranks.failing_together():
            if ranks.leads():
                check_outputs(flags, "out")
        params, rng = start(recipe)
        learner = make_learner(params, recipe, flags)
        keeper = Keeper(flags, recipe, learner.engine, ranks)
        if keeper.found is not None:
            rng.set_state(keeper.found.generator)
            learner = make_learner(keeper.found.params, recipe, flags)
    except (ValueError, MemoryError) as error:
        arguments.error(str(error) or "not enough memory for a network of this size")

    def make(params: Params, changed: Recipe) -> Learner:
        return make_learner(params, changed, flags)

    with closing(keeper):
        return _run(flags, recipe, learner, rng, keeper, make, ranks)


def _run(
    flags: argparse.Namespace,
    recipe: Recipe,
    learner: Learner,
    rng: np.random.RandomState,
    keeper: Keeper,
    make: Callable[[Params, Recipe], Learner],
    ranks: Processes,
) -> int:
    """Train, save, try every sum and print; returns the exit code."""
    log = Log(recipe, quiet=flags.json)
    log.heading(audited=learner.audited)
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
            outcome = _until_proved(flags, recipe, learner, rng, make, log, stop)
            learner = make(outcome.params, recipe)
            result.steps += outcome.steps
            if stop() and outcome.verdict.status != "proved":
                result.status = "interrupted"
        # Before the sums are tried, so that nothing learned waits for it.
        failure, count = "", None
        if ranks.leads():
            failure = _save(flags.out, learner.params(), result, log, keeper.every is not None)
    try:
        if ranks.leads():
            count = _count(recipe, learner)
            log.say(f"{verdict(count, recipe.bits)}; engine: {_engine(learner, flags)}")
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
        log.json(result, count, learner.engine, None if failure else flags.out, proof)
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
    learner: Learner,
    rng: np.random.RandomState,
    make: Callable[[Params, Recipe], Learner],
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
            learner.params(),
            rng,
            flags.state_bits,
            make,
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


def _engine(learner: Learner, flags: argparse.Namespace) -> str:
    if flags.engine is None and learner.engine != "compiled" and not native.available():
        return f"{learner.engine} (the compiled one needs numba: {native.INSTALL})"
    return learner.engine


def _count(recipe: Recipe, learner: Learner) -> Count:
    bits, dtype = recipe.bits, recipe.dtype
    total = 4 ** (bits - 1) if bits <= MOST_BITS_EXHAUSTIVE else None
    with progress(total, "sum") as bar:
        return count_exact(learner.advance, recipe.hidden, bits, dtype, on_progress=bar.update)
