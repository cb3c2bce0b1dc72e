"""The log and the result of a training run, as text and as JSON."""

import json
from dataclasses import asdict
from typing import Any

from bptt_check.commands.numbers import finite
from bptt_check.commands.terminal import can_redraw, erase, say
from rnn_numpy.commands.train_plot import Learning
from rnn_numpy.elman_network.params import Params
from rnn_numpy.tasks.exact_sums import Count
from rnn_numpy.training.recipe import STEPS_WITHOUT_CHANGE, Recipe, Record, Training


def verdict(count: Count, bits: int) -> str:
    """The number of exact sums, in words."""
    if count.exhaustive:
        return f"{count.exact} of {count.tried} sums exact"
    return (
        f"{count.exact} of {count.tried} sums exact, drawn at random: "
        f"all 2^{2 * (bits - 1)} are too many to try"
    )


def wrong_steps(training: Training) -> list[int]:
    """The logged steps at which the two gradients differ by more than rounding allows."""
    return [r.step for r in training.log if r.parity is not None and r.parity > 1]


class Log:
    """The log lines of a run, on standard output, above the progress bar.

    Args:
        quiet: print nothing but the JSON document.
        learning: where to measure the network at the logged steps.
        live: draw these measurements below the log.
    """

    def __init__(
        self,
        recipe: Recipe,
        *,
        quiet: bool,
        learning: Learning | None = None,
        live: bool = False,
    ) -> None:
        self.recipe = recipe
        self.quiet = quiet
        self.learning, self._live = learning, live
        self.width = max(recipe.bits, len("predicted"))
        self.digits = len(str(2 ** (recipe.bits - 1) - 1))
        self.audited = False
        self._chart_rows = 0

    def heading(self, *, audited: bool) -> None:
        """Print the recipe and the column names."""
        self.audited = audited
        r = self.recipe
        self.say(
            f"seed {r.seed}, {r.bits} bits, {r.hidden} hidden units, {r.iterations} steps, "
            f"learning rate {r.learning_rate:g}, {r.dtype}"
            + (f", {r.batch_size} examples a step" if r.batch_size > 1 else "")
        )
        if audited:
            self.say(
                "parity: how far the hand-written gradient is from autograd's; rounding allows 1"
            )
        columns = f"{'step':>8}{'loss':>9}  {'predicted':{self.width}}  {'true':{self.width}}"
        self.say(columns + ("  parity" if audited else "") + "  a + b = sum")

    def record(self, record: Record) -> None:
        """Print one step: loss, bits (most significant first), sum, and a mark if it is wrong."""
        bits, true = self.recipe.bits, record.a + record.b
        said_bits, true_bits = (f"{n:0{bits}b}".ljust(self.width) for n in (record.said, true))
        line = f"{record.step:8}{record.loss:9.4f}  {said_bits}  {true_bits}"
        if self.audited:
            line += "   blind" if record.parity is None else f"  {record.parity:6.3f}"
        line += f"  {record.a:{self.digits}} + {record.b:{self.digits}} = {record.said}"
        self.say(line + ("" if record.said == true else f"  wrong: {true}"))

    def measure(self, step: int, params: Params, *, draw: bool = True) -> None:
        """Measure the network, if that was asked for, and draw the curve so far."""
        if self.learning is not None:
            self.learning.add(step, params)
            if self._live and draw:
                self._chart(self.learning.as_text())

    def _chart(self, text: str) -> None:
        """Show a chart below the log, in place of the last one; nothing unless on a terminal."""
        rows = text.splitlines()
        if not self.quiet and can_redraw(rows):
            self.say(text)
            self._chart_rows = len(rows)

    def keep_chart(self) -> None:
        """Leave the last chart in the log."""
        self._chart_rows = 0

    def ending(self, training: Training) -> None:
        """Print why the run ended early, if it did, and any wrong gradients."""
        self.keep_chart()
        if training.status == "interrupted":
            self.say(f"interrupted after step {training.steps}")
        if training.status == "diverged":
            self.say(
                f"diverged at step {training.steps + 1}: the weights are no longer finite; "
                f"those of step {training.steps} are kept. Try a lower --learning-rate."
            )
        if wrong := wrong_steps(training):
            self.say(f"the hand-written gradient is WRONG at steps {', '.join(map(str, wrong))}")

    def vanished(self) -> None:
        """Print that the network cannot learn any more."""
        self.say(
            "the gradient vanished: times the learning rate, it changes no weight in "
            f"{STEPS_WITHOUT_CHANGE:,} further steps. Try another --learning-rate."
        )

    def json(self, training: Training, count: Count | None, out: str | None, proof: Any) -> None:
        """The whole run as one JSON object on one line."""
        document = {
            "recipe": asdict(training.recipe),
            "status": training.status,
            "steps": training.steps,
            "engine": training.engine.name,
            "log": [
                {name: finite(value) for name, value in record._asdict().items()}
                for record in training.log
            ],
            "sums": None if count is None else count._asdict(),
            "out": out,
            "proof": proof,
        }
        self.quiet = False
        self.say(json.dumps(document, allow_nan=False))

    def say(self, line: str) -> None:
        """Print a line, unless quiet; in place of the chart, which is drawn again below it."""
        if not self.quiet:
            if self._chart_rows:
                erase(self._chart_rows)
                self._chart_rows = 0
            say(line)
