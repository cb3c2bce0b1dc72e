"""What both `train` commands share: flags, log, progress bar, Ctrl-C, verdict and exit codes."""

import argparse
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from importlib.metadata import version
from types import FrameType
from typing import Any

from tqdm import tqdm

from rnn_numpy.addition import Count, count_exact
from rnn_numpy.files import WeightsError, check_writable, save_params
from rnn_numpy.params import Params
from rnn_numpy.recipe import Learner, Recipe, Record, Run, run, start

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


def main(
    arguments: argparse.ArgumentParser, make_learner: MakeLearner, argv: Sequence[str] | None
) -> int:
    """Run a `train` command: parse, train, save, try every sum, print. Returns the exit code."""
    flags = arguments.parse_args(argv)
    recipe = _recipe(arguments, flags)
    try:
        if flags.out is not None:
            check_writable(flags.out)
        params, rng = start(recipe)
        learner = make_learner(params, recipe, flags)
    except (ValueError, MemoryError) as error:
        arguments.error(str(error) or "not enough memory for a network of this size")

    log = _Log(recipe, quiet=flags.json)
    log.heading(audited=learner.audited)
    with _bar(recipe.iterations, "step") as bar, _interruptible() as interrupted:
        result = run(
            recipe,
            learner,
            rng,
            log_every=flags.log_every,
            on_record=log.record,
            on_step=bar.update,
            stop=interrupted,
        )
    log.ending(result)
    failure = None
    if flags.out is not None:
        # Before the sums are tried, so that nothing learned waits for it.
        try:
            save_params(flags.out, learner.params(), _metadata(result))
            log.say(f"weights written to {flags.out}")
        except WeightsError as error:
            failure = str(error)
    elif result.status == "interrupted":
        log.say("nothing kept: no --out given")

    count = None
    try:
        count = _count(recipe, learner)
        log.say(verdict(count, recipe.bits))
    except KeyboardInterrupt:
        result.status = "interrupted"
        log.say("stopped while trying the sums")
    if flags.json:
        log.json(result, count, flags.out)
    if failure is not None:
        print(f"error: {failure}", file=sys.stderr)
        return 2
    if result.status == "interrupted":
        return 128 + signal.SIGINT
    return 1 if _wrong_steps(result) or result.status == "diverged" else 0


def verdict(count: Count, bits: int) -> str:
    """How many sums are exact, in words."""
    if count.exhaustive:
        return f"{count.exact} of {count.tried} sums exact"
    return (
        f"{count.exact} of {count.tried} sums exact, drawn at random: "
        f"all 2^{2 * (bits - 1)} are too many to try"
    )


class _Log:
    """The lines of a run, for people: on standard output, above the progress bar."""

    def __init__(self, recipe: Recipe, *, quiet: bool) -> None:
        self.recipe = recipe
        self.quiet = quiet
        self.width = max(recipe.bits, len("predicted"))
        self.digits = len(str(2 ** (recipe.bits - 1) - 1))
        self.audited = False

    def heading(self, *, audited: bool) -> None:
        self.audited = audited
        r = self.recipe
        self.say(
            f"seed {r.seed}, {r.bits} bits, {r.hidden} hidden units, {r.iterations} steps, "
            f"learning rate {r.learning_rate:g}, {r.dtype}"
        )
        if audited:
            self.say(
                "parity: how far the hand-written gradient is from autograd's; rounding allows 1"
            )
        columns = f"{'step':>8}{'loss':>9}  {'predicted':{self.width}}  {'true':{self.width}}"
        self.say(columns + ("  parity" if audited else "") + "  a + b = sum")

    def record(self, record: Record) -> None:
        bits, true = self.recipe.bits, record.a + record.b
        said_bits, true_bits = (f"{n:0{bits}b}".ljust(self.width) for n in (record.said, true))
        line = f"{record.step:8}{record.loss:9.4f}  {said_bits}  {true_bits}"
        if self.audited:
            line += "   blind" if record.parity is None else f"  {record.parity:6.3f}"
        line += f"  {record.a:{self.digits}} + {record.b:{self.digits}} = {record.said}"
        self.say(line + ("" if record.said == true else f"  wrong: {true}"))

    def ending(self, result: Run) -> None:
        if result.status == "interrupted":
            self.say(f"interrupted after step {result.steps}")
        if result.status == "diverged":
            self.say(
                f"diverged at step {result.steps + 1}: the weights are no longer finite; "
                f"those of step {result.steps} are kept. Try a lower --learning-rate."
            )
        if wrong := _wrong_steps(result):
            self.say(f"the hand-written gradient is WRONG at steps {', '.join(map(str, wrong))}")

    def json(self, result: Run, count: Count | None, out: str | None) -> None:
        document = {
            "recipe": asdict(result.recipe),
            "status": result.status,
            "steps": result.steps,
            "log": [record._asdict() for record in result.log],
            "sums": None if count is None else count._asdict(),
            "out": out,
        }
        self.quiet = False
        self.say(json.dumps(document, allow_nan=False))

    def say(self, line: str) -> None:
        if self.quiet:
            return
        try:
            tqdm.write(line)
            sys.stdout.flush()
        except BrokenPipeError:
            # The reader has gone (`| head`); what is being learned is still wanted.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


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


def _wrong_steps(result: Run) -> list[int]:
    """The logged steps at which the two gradients differed by more than rounding."""
    return [r.step for r in result.log if r.parity is not None and r.parity > 1]


def _metadata(result: Run) -> dict[str, str]:
    return {
        "made_by": f"rnn-bptt-reference {version('rnn-bptt-reference')}",
        "recipe": json.dumps(asdict(result.recipe)),
        "steps": str(result.steps),
        "status": result.status,
    }


def _count(recipe: Recipe, learner: Learner) -> Count:
    bits, dtype = recipe.bits, recipe.dtype
    with _bar(4 ** (bits - 1), "sum") as bar:
        return count_exact(learner.predict, bits, dtype, on_progress=bar.update)


def _bar(total: int, unit: str) -> Any:
    """A progress bar on standard error, if that is a terminal."""
    return tqdm(total=total, unit=unit, leave=False, disable=None, dynamic_ncols=True)


@contextmanager
def _interruptible() -> Iterator[Callable[[], bool]]:
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
