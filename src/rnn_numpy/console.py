"""What both `train` commands share: flags, the progress bar, Ctrl-C, saving and exit codes."""

import argparse
import json
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from importlib.metadata import version
from types import FrameType
from typing import Any

from tqdm import tqdm

from rnn_numpy import native
from rnn_numpy.addition import MOST_BITS_EXHAUSTIVE, Count, count_exact
from rnn_numpy.files import WeightsError, check_writable, save_params
from rnn_numpy.params import Params
from rnn_numpy.recipe import Learner, Recipe, Run, run, start
from rnn_numpy.report import Log, verdict, wrong_steps

EXIT_CODES = """\
exit codes: 0 trained; 1 diverged (the last finite weights are kept), or a gradient was wrong;
2 bad input; 130 stopped by Ctrl-C (what was learned is kept)."""

#: Makes the learner from the initial weights, the recipe and the parsed flags. Raises ValueError
#: for flags that cannot be met.
MakeLearner = Callable[[Params, Recipe, argparse.Namespace], Learner]


def parser(program: str, description: str) -> argparse.ArgumentParser:
    """The flags of both `train` commands; the defaults are the recipe."""
    default = Recipe()
    result = argparse.ArgumentParser(
        prog=f"python -m {program}",
        description=description,
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = result.add_argument
    add("--seed", type=int, default=default.seed, help="of weights and examples (%(default)s)")
    add("--bits", type=int, default=default.bits, help="in a sum, 1 to 64 (%(default)s)")
    add("--hidden", type=int, default=default.hidden, help="hidden units (%(default)s)")
    add("--iterations", type=int, default=default.iterations, help="SGD steps (%(default)s)")
    add("--learning-rate", type=float, default=default.learning_rate, help="(%(default)s)")
    add("--dtype", choices=["float32", "float64"], default=default.dtype, help="(%(default)s)")
    add("--log-every", type=int, default=1000, metavar="STEPS", help="a log line (%(default)s)")
    add("--out", metavar="FILE.safetensors", help="write U, W, V and the recipe here")
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
    arguments: argparse.ArgumentParser, make_learner: MakeLearner, argv: Sequence[str] | None
) -> int:
    """Run a `train` command: parse, train, save, try every sum, print. Returns the exit code."""
    try:
        return _main(arguments, make_learner, argv)
    except KeyboardInterrupt:  # the second Ctrl-C: at once, whatever was going on
        print("stopped at once; nothing was saved since", file=sys.stderr)
        return 128 + signal.SIGINT


def _main(
    arguments: argparse.ArgumentParser, make_learner: MakeLearner, argv: Sequence[str] | None
) -> int:
    flags = arguments.parse_args(argv)
    recipe = _recipe(arguments, flags)
    try:
        if flags.out is not None:
            check_writable(flags.out)
        params, rng = start(recipe)
        learner = make_learner(params, recipe, flags)
    except (ValueError, MemoryError) as error:
        arguments.error(str(error) or "not enough memory for a network of this size")

    log = Log(recipe, quiet=flags.json)
    log.heading(audited=learner.audited)
    with interruptible() as interrupted:
        with progress(recipe.iterations, "step") as bar:
            result = run(
                recipe,
                learner,
                rng,
                log_every=flags.log_every,
                on_record=log.record,
                on_steps=bar.update,
                stop=interrupted,
            )
        log.ending(result)
        # Before the sums are tried, so that nothing learned waits for it.
        failure = _save(flags.out, learner.params(), result, log)
    try:
        count = _count(recipe, learner)
        log.say(f"{verdict(count, recipe.bits)}; engine: {_engine(learner, flags)}")
    except KeyboardInterrupt:
        count, result.status = None, "interrupted"
        log.say("stopped while trying the sums")
    if flags.json:
        log.json(result, count, learner.engine, None if failure else flags.out)
    if failure:
        print(f"error: {failure}", file=sys.stderr)
        return 2
    if result.status == "interrupted":
        return 128 + signal.SIGINT
    return 1 if wrong_steps(result) or result.status == "diverged" else 0


def _save(out: str | None, params: Params, result: Run, log: Log) -> str:
    """Write the weights if that was asked for; returns why it could not be done, or nothing."""
    if out is None:
        if result.status == "interrupted":
            log.say("nothing kept: no --out given")
        return ""
    try:
        save_params(out, params, _metadata(result))
    except WeightsError as error:
        return str(error)
    log.say(f"weights written to {out}")
    return ""


def _recipe(arguments: argparse.ArgumentParser, flags: argparse.Namespace) -> Recipe:
    names = ("seed", "bits", "hidden", "iterations", "learning_rate", "dtype")
    try:
        recipe = Recipe(**{name: getattr(flags, name) for name in names})
    except ValueError as error:
        name, rest = str(error).split(" ", 1)
        arguments.error(f"--{name.replace('_', '-')} {rest}")
    if flags.log_every < 1:
        arguments.error(f"--log-every must be at least 1, got {flags.log_every}")
    return recipe


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


def progress(total: int | None, unit: str, done: int = 0) -> Any:
    """A progress bar on standard error with the time left, if that is a terminal."""
    return tqdm(total=total, unit=unit, initial=done, leave=False, disable=None, dynamic_ncols=True)


@contextmanager
def interruptible() -> Iterator[Callable[[], bool]]:
    """Inside, the first Ctrl-C only makes the function given return True; a second is as usual."""
    caught = False

    def remember(number: int, frame: FrameType | None) -> None:
        nonlocal caught
        caught = True
        signal.signal(signal.SIGINT, signal.default_int_handler)

    before = signal.signal(signal.SIGINT, remember)
    try:
        yield lambda: caught
    finally:
        signal.signal(signal.SIGINT, before)
