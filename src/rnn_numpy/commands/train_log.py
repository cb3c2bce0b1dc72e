"""The log and the result of a training run, as lines of text and as JSON."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from bptt_check.commands.numbers import finite
from rnn_numpy.tasks.exact_sums import Count
from rnn_numpy.training.recipe import STEPS_WITHOUT_CHANGE, Recipe, Record, Training


def heading(recipe: Recipe, *, audited: bool) -> str:
    """The recipe and the column names; `audited`: with a column for the parity."""
    r, width = recipe, _width(recipe.bits)
    batch = f", {r.batch_size} examples a step" if r.batch_size > 1 else ""
    parity = "parity: how far the hand-written gradient is from autograd's; rounding allows 1\n"
    return (
        f"seed {r.seed}, {r.bits} bits, {r.hidden} hidden units, {r.iterations} steps, "
        f"learning rate {r.learning_rate:g}, {r.dtype}{batch}\n"
        f"{parity if audited else ''}{'step':>8}{'loss':>9}  {'predicted':{width}}  "
        f"{'true':{width}}{'  parity' if audited else ''}  a + b = sum"
    )


def line(record: Record, bits: int, *, audited: bool) -> str:
    """One step: loss, bits (most significant first), sum, and a mark if it is wrong."""
    true, digits = record.a + record.b, len(str(2 ** (bits - 1) - 1))
    said_bits, true_bits = (f"{n:0{bits}b}".ljust(_width(bits)) for n in (record.said, true))
    parity = "   blind" if record.parity is None else f"  {record.parity:6.3f}"
    return (
        f"{record.step:8}{record.loss:9.4f}  {said_bits}  {true_bits}{parity if audited else ''}"
        f"  {record.a:{digits}} + {record.b:{digits}} = {record.said}"
        f"{'' if record.said == true else f'  wrong: {true}'}"
    )


def _width(bits: int) -> int:
    return max(bits, len("predicted"))


def wrong_steps(training: Training) -> list[int]:
    """The logged steps at which the two gradients differ by more than rounding allows."""
    return [r.step for r in training.log if r.parity is not None and r.parity > 1]


def ending(training: Training) -> Iterator[str]:
    """Why the run ended as it did, if it is not simply finished, and any wrong gradients."""
    step = training.steps
    reasons = {
        "finished": "",
        "interrupted": f"interrupted after step {step}",
        "diverged": f"diverged at step {step + 1}: the weights are no longer finite; "
        f"those of step {step} are kept. Try a lower --learning-rate.",
        "vanished": "the gradient vanished: times the learning rate, it changes no weight in "
        f"{STEPS_WITHOUT_CHANGE:,} further steps. Try another --learning-rate.",
    }
    if training.status != "finished":
        yield reasons[training.status]
    if training.status != "vanished" and (wrong := wrong_steps(training)):
        yield f"the hand-written gradient is WRONG at steps {', '.join(map(str, wrong))}"


def in_words(count: Count, bits: int) -> str:
    """The number of exact sums."""
    exact = f"{count.exact} of {count.tried} sums exact"
    if count.exhaustive:
        return exact
    return f"{exact}, drawn at random: all 2^{2 * (bits - 1)} are too many to try"


def as_json(training: Training, count: Count | None, out: str | None, proof: Any) -> str:
    """The whole run as one JSON object on one line."""
    document = {
        "recipe": asdict(training.recipe),
        "status": training.status,
        "steps": training.steps,
        "engine": training.engine.name,
        "log": [{name: finite(x) for name, x in r._asdict().items()} for r in training.log],
        "sums": count and count._asdict(),
        "out": out,
        "proof": proof,
    }
    return json.dumps(document, allow_nan=False)
