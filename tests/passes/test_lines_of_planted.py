"""The lines that a report lists hold the planted mistake, however the pass is cut into functions.

A line that is missing cannot be listed; all other lists without the changed line would be false.
"""

import ast
import textwrap
from pathlib import Path

import pytest

from bptt_check.judge.any_network import AnyNetwork
from bptt_check.own_lines.lines import own_lines, source_in_file
from profiles import NIGHTLY
from rnn_numpy import fraction
from rnn_torch.networks import stock
from tests.passes.planted import PLANTED, STRANGE, Planted, made, source
from tests.passes.stock_problems import answer, posed

pytestmark = pytest.mark.unannotated

HEAD = "import numpy as np\nArray = np.ndarray\nGradients = dict\n"
CALLED = {"plain": "tanh", "nested": "tanh", "functions": "tanh", "object": "tanh"}
CALLED |= {"methods": "Net.forward,Net.backward"}


def written(form: str) -> str:
    """The textbook pass of the tanh network, its lines in other functions."""
    text = source("tanh")
    (function,) = ast.parse(text).body
    assert isinstance(function, ast.FunctionDef)
    lines = text.splitlines()
    first = [node.lineno - 1 for node in function.body]
    given = ", ".join(a.arg for a in function.args.args)

    def part(start: int, end: int | None, indent: int) -> str:
        its = textwrap.dedent("\n".join(lines[start:end]))
        return textwrap.indent(its, " " * indent) + "\n"

    ahead, buffers, back, end = first[0], first[5], first[7], first[8]
    if form == "plain":
        return HEAD + text
    if form == "nested":
        names = "dx, dU, dW, db, dV, dc, dh_next"
        return (
            f"{HEAD}def tanh({given}):\n{part(ahead, back, 4)}    def step(t):\n"
            f"        nonlocal {names}\n{part(back + 1, end, 8)}{part(back, back + 1, 4)}"
            f"        step(t)\n{part(end, None, 4)}"
        )
    kept = "T, B, h, p"
    if form == "functions":
        return (
            f"{HEAD}def forward({given}):\n{part(ahead, buffers, 4)}    return {kept}\n"
            f"def backward({given}, {kept}):\n{part(buffers, None, 4)}"
            f"def tanh({given}):\n    {kept} = forward({given})\n"
            f"    return backward({given}, {kept})\n"
        )
    own = "self.steps, self.batch, self.h, self.p"
    return (
        f"{HEAD}class Net:\n    def forward(self, {given}):\n{part(ahead, buffers, 8)}"
        f"        {own} = {kept}\n    def backward(self, {given}):\n        {kept} = {own}\n"
        f"{part(buffers, None, 8)}def tanh({given}):\n    net = Net()\n    net.forward({given})\n"
        f"    return net.backward({given})\n"
    )


def wrong_gradients(mistake: Planted) -> set[str]:
    """Those at the first problem; each of these mistakes shows there all that it changes."""
    problem, right = posed("tanh")[0]
    got = answer(made(mistake), problem)
    used = {
        n: fraction(got[n].astype("float64"), g, right.bounds[n])
        for n, g in right.gradients.items()
    }
    return {n for n, part in used.items() if not (part <= 1).all()}


MISTAKES = [
    one
    for one in [*PLANTED, *STRANGE]
    if one.network == "tanh" and one.new.strip() != "pass" and "globals" not in one.new
]


def test_the_changed_line_is_listed(tmp_path: Path) -> None:
    gradients = AnyNetwork(stock("tanh")).form
    innocent, listed = [], dict.fromkeys(CALLED, 0)
    asked, objects = dict.fromkeys(CALLED, 0), set()
    for number, mistake in enumerate(MISTAKES):
        wrong = wrong_gradients(mistake)
        ours = [n for n in gradients.gradients if n in wrong]
        others = [n for n in gradients.gradients if n not in wrong]
        assert ours
        for turn, (form, called) in enumerate(CALLED.items()):
            if number % len(CALLED) != turn and not NIGHTLY:
                continue  # each in one form by day
            asked[form] += 1
            text = written(form)
            file = tmp_path / "candidate.py"
            file.write_text(text.replace(mistake.old, mistake.new))
            its = source_in_file(f"{file}:{called}")
            assert its is not None
            found = own_lines(its, gradients, ours, others)
            if form == "object":
                assert found is not None
                assert not found.lines
                objects.add("Net (line" in found.unknown)
            if found is None or found.unknown:
                continue
            start = text[: text.index(mistake.old)].count("\n") + 1
            changed = {f"line {start + n}" for n in range(mistake.new.count("\n") + 1)}
            listed[form] += 1
            if not changed & {where for where, _ in found.lines}:
                innocent.append((form, mistake.where, mistake.mistake))
    assert innocent == []
    assert objects == {True}
    del listed["object"]  # its methods are not followed, and the reason is given
    assert all(count >= 0.9 * asked[form] for form, count in listed.items()), listed
