"""What both `train` commands share: flags, the run from start to end, saving and exit codes."""

import argparse
import json
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, fields
from importlib.metadata import version

import numpy as np

from rnn_numpy import native, terminal
from rnn_numpy.addition import MOST_BITS_EXHAUSTIVE, Count, count_exact
from rnn_numpy.files import WeightsError, check_writable, save_params
from rnn_numpy.keeper import Keeper
from rnn_numpy.machine import Verdict
from rnn_numpy.model import check_state_bits
from rnn_numpy.params import Params
from rnn_numpy.proof_report import as_json, headline
from rnn_numpy.ranks import Alone
from rnn_numpy.recipe import Learner, Recipe, Run, run, start
from rnn_numpy.report import Log, verdict, wrong_steps
from rnn_numpy.terminal import interruptible, progress
from rnn_numpy.until_proved import Outcome, until_proved

EXIT_CODES = """\
exit codes: 0 trained, and proved if that was asked; 1 diverged (the last finite weights are kept),
a gradient was wrong, or it could not be proved; 2 bad input; 130 stopped by Ctrl-C (what was
learned is kept)."""

#: Makes the learner from the initial weights, the recipe and the parsed flags. Raises ValueError
#: for flags that cannot be met.
MakeLearner = Callable[[Params, Recipe, argparse.Namespace], Learner]


def parser(program: str, description: str) -> argparse.ArgumentParser:
    """The flags of both `train` commands; the defaults are the recipe."""
    default = Recipe()
    result = terminal.parser(program, description, EXIT_CODES)
    add = result.add_argument
    add("--seed", type=int, default=default.seed, help="of weights and examples (%(default)s)")
    add("--bits", type=int, default=default.bits, help="in a sum, 1 to 64 (%(default)s)")
    add("--hidden", type=int, default=default.hidden, help="hidden units (%(default)s)")
    add("--iterations", type=int, default=default.iterations, help="SGD steps (%(default)s)")
    add("--batch-size", type=int, default=default.batch_size, metavar="N",
        help="examples a step, their gradients added up (%(default)s)")  # fmt: skip
    add("--learning-rate", type=float, default=default.learning_rate, help="(%(default)s)")
    add("--dtype", choices=["float32", "float64"], default=default.dtype, help="(%(default)s)")
    add("--log-every", type=int, default=1000, metavar="STEPS", help="a log line (%(default)s)")
    add("--until-proved", action="store_true",
        help="go on after the iterations, on the sums that go wrong, until the network is proved "
        "to add operands of every length")  # fmt: skip
    add("--state-bits", type=int, metavar="B",
        help="the proof is for a state rounded to multiples of 2^-B, 1 to 16 (5)")  # fmt: skip
    add("--max-iterations", type=int, metavar="N",
        help="the most SGD steps in all until it is proved (200000)")  # fmt: skip
    add("--out", metavar="FILE.safetensors", help="write U, W, V and the recipe here")
    add("--checkpoint", metavar="DIR",
        help="keep in this folder, on the way and when stopped, what --resume needs")  # fmt: skip
    add("--checkpoint-every", type=int, metavar="STEPS", help="so often (1000)")
    add("--resume", action="store_true",
        help="go on from the newest whole checkpoint in DIR, bit for bit; from the beginning if "
        "there is none")  # fmt: skip
    add("--json", action="store_true", help="print one JSON object at the end, and no log")
    return result


def add_engines(arguments: argparse.ArgumentParser, engines: Mapping[str, str]) -> None:
    """The flag --engine; `engines` says of each what it is."""
    listed = "; ".join(f"{name}: {what}" for name, what in engines.items())
    arguments.add_argument(
        "--engine",
        choices=list(engines),
        help=f"what computes the gradients; the weights are the same. {listed}. "
        "Left out: the first that is to be had and fits the size",
    )


def main(
    arguments: argparse.ArgumentParser,
    make_learner: MakeLearner,
    argv: Sequence[str] | None,
    join: Callable[[], Alone] = Alone,
) -> int:
    """Run a `train` command: parse, train, save, try every sum, print. Returns the exit code.

    Args:
        join: the processes that train together; called once the flags are known to be good.
    """
    try:
        flags = arguments.parse_args(argv)
        recipe = _recipe(arguments, flags)
        with _joined(join) as ranks:
            return _main(arguments, make_learner, flags, recipe, ranks)
    except KeyboardInterrupt:  # the second Ctrl-C: at once, whatever was going on
        print("stopped at once; nothing was saved since", file=sys.stderr)
        return 128 + signal.SIGINT


@contextmanager
def _joined(join: Callable[[], Alone]) -> Iterator[Alone]:
    ranks = join()
    try:
        yield ranks
    finally:
        ranks.leave()


def _main(
    arguments: argparse.ArgumentParser,
    make_learner: MakeLearner,
    flags: argparse.Namespace,
    recipe: Recipe,
    ranks: Alone,
) -> int:
    try:
        if flags.out is not None:
            ranks.from_leader(lambda: check_writable(flags.out))
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
    ranks: Alone,
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
        if ranks.leads:
            failure = _save(flags.out, learner.params(), result, log, keeper.every is not None)
    try:
        if ranks.leads:
            count = _count(recipe, learner)
            log.say(f"{verdict(count, recipe.bits)}; engine: {_engine(learner, flags)}")
    except KeyboardInterrupt:
        result.status = "interrupted"
        log.say("stopped while trying the sums")
    if flags.json:
        proof = outcome and as_json(outcome.params, outcome.verdict, None)
        log.json(result, count, learner.engine, None if failure else flags.out, proof)
    for reason in filter(None, (failure, keeper.failure)):
        print(f"error: {reason}", file=sys.stderr)
    if failure or keeper.failure:
        return 2
    if result.status == "interrupted":
        return interrupted.exit_code if interrupted() else 128 + signal.SIGINT
    unproved = outcome is not None and outcome.verdict.status != "proved"
    return 1 if wrong_steps(result) or result.status == "diverged" or unproved else 0


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


def _recipe(arguments: argparse.ArgumentParser, flags: argparse.Namespace) -> Recipe:
    try:
        recipe = Recipe(**{field.name: getattr(flags, field.name) for field in fields(Recipe)})
    except ValueError as error:
        name, rest = str(error).split(" ", 1)
        arguments.error(f"--{name.replace('_', '-')} {rest}")
    if flags.log_every < 1:
        arguments.error(f"--log-every must be at least 1, got {flags.log_every}")
    _check_proof(arguments, flags, recipe)
    return recipe


def _check_proof(
    arguments: argparse.ArgumentParser, flags: argparse.Namespace, recipe: Recipe
) -> None:
    """The flags that go with --until-proved: refuse them without it, fill them in with it."""
    if not flags.until_proved:
        for name in ("state_bits", "max_iterations"):
            if getattr(flags, name) is not None:
                arguments.error(f"--{name.replace('_', '-')} goes with --until-proved")
        return
    if flags.state_bits is None:
        flags.state_bits = 5
    if flags.max_iterations is None:
        flags.max_iterations = max(200_000, recipe.iterations)
    try:
        check_state_bits(flags.state_bits)
    except ValueError as error:
        arguments.error(f"--{str(error).replace('_', '-', 1)}")
    if flags.max_iterations < recipe.iterations:
        arguments.error(
            f"--max-iterations must be at least the iterations, {recipe.iterations}, "
            f"got {flags.max_iterations}"
        )


def _metadata(result: Run) -> dict[str, str]:
    return {
        "made_by": f"rnn-bptt-reference {version('rnn-bptt-reference')}",
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
