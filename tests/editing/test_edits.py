"""What is tried in a line: each usual mistake is mended by an edit; what a line shows."""

import re
from pathlib import Path

import numpy as np
import pytest

from bptt_check.candidate.calling import Form, Question
from bptt_check.candidate.loading import load_function
from bptt_check.editing.program import apply_to
from bptt_check.editing.quantities import Quantities
from bptt_check.editing.workshop import Workshop

pytestmark = pytest.mark.unannotated

TEXT = """
import numpy as np
class Net:
    def step(self, x, h, W):
        return np.tanh(x + h @ W)
def backward(x, y, W):
    net, h = Net(), {-1: 0 * x[0]}
    for t in range(len(x)):
        h[t] = net.step(x[t], h[t - 1], W)
    dW, dx, dnext, errors = np.zeros_like(W), np.zeros_like(x), 0 * x[0], []
    for t in reversed(range(len(x))):
        e = h[t] - y[t]
        errors.append(e)
        dh = e + dnext
        dz = dh * (1 - h[t] ** 2)
        LINE
        dnext = dz @ W.T
    return dict(dW=dW, dx=dx)
"""
#: A wrong line, and the right one.
LINES = [
    ("dW += h[t].T @ dz", "dW += h[t - 1].T @ dz"),
    ("dW += h[t - 1].T @ dh", "dW += h[t - 1].T @ dz"),
    ("dW += dz.T @ h[t - 1]", "dW += h[t - 1].T @ dz"),
    ("dW = h[t - 1].T @ dz", "dW += h[t - 1].T @ dz"),
    ("dW -= h[t - 1].T @ dz", "dW += h[t - 1].T @ dz"),
    ("W += h[t - 1].T @ dz", "dW += h[t - 1].T @ dz"),
    ("dW += h[t - 1].T @ dz / len(x)", "dW += h[t - 1].T @ dz"),
    ("dW += h[t - 1].T @ (dh * (1 - h[t]))", "dW += h[t - 1].T @ (dh * (1 - h[t] ** 2))"),
    ("dx[t] = dz.mean(0)", "dx[t] = dz.sum(0)"),
    ("dx[t - 1] = dz", "dx[t] = dz"),
    ("dx[t] = dh", "dx[t] = dz"),
    ("dx[t] = dh * h[t]", "dx[t] = dh * (1 - h[t] ** 2)"),
    ("dx[t] = e", "dx[t] = e + dnext"),
    ("dx[t] = -dz", "dx[t] = dz"),
    ("np.clip(dz, -1, 1, out=dz)", "pass"),
    ("dx[t] = dz * (1 - h[t])", "dx[t] = dz"),
]


SMALL = {"x": np.ones(3), "W": np.arange(3.0)}


def opened(text: str, folder: Path, form: Form, *values: dict[str, np.ndarray]) -> Workshop:
    """The last function of a file with this text, asked with these values."""
    file = folder / "candidate.py"
    file.write_text(text)
    name = re.findall(r"^(?:def )?(\w+)(?:\(| =)", text, re.MULTILINE)[-1]
    questions = [Question(dict(its)) for its in values]
    return Workshop(load_function(str(file), name), form, questions)


def workshop(line: str, folder: Path) -> Workshop:
    rng = np.random.default_rng(1)
    x, y, W = rng.normal(size=(4, 2, 3)), rng.normal(size=(4, 2, 3)), rng.normal(size=(3, 3))
    values = [{"x": x, "y": target, "W": W} for target in (y, -y)]
    return opened(TEXT.replace("LINE", line), folder, Form(["x", "y", "W"], ["x", "W"]), *values)


def small(text: str, folder: Path) -> Workshop:
    return opened(text, folder, Form(["x", "W"], ["x", "W"]), SMALL, SMALL)


@pytest.mark.parametrize(("wrong", "right"), LINES)
def test_a_usual_mistake_is_mended_by_one_edit(wrong: str, right: str, tmp_path: Path) -> None:
    its = workshop(wrong, tmp_path)
    number = 16
    found = set()
    for offer in its.offers:
        if offer.line == number and offer.rank >= 0:
            _, first, text = its.functions[offer.function]
            edited = apply_to(text.encode(), [(offer.start, offer.end, offer.text)]).decode()
            assert edited.count("\n") == text.count("\n")
            found.add(edited.splitlines()[number - first].strip())
    plain = {each.replace("(", "").replace(")", "") for each in found}
    assert right.replace("(", "").replace(")", "") in plain


def test_with_edits_and_without_them_again(tmp_path: Path) -> None:
    its = workshop("dW -= h[t - 1].T @ dz", tmp_path)
    (number,) = (n for n, o in enumerate(its.offers) if (o.old, o.text) == ("-=", "+="))
    tried = (its.tried(edits, 0) for edits in ([], [number], []))
    before, after, again = (found["W"] for found in tried if found)
    np.testing.assert_array_equal(after, -before)
    np.testing.assert_array_equal(again, before)


def test_an_edit_that_fails_gives_nothing(tmp_path: Path) -> None:
    its = workshop("dx[t] = dz", tmp_path)
    failing = [n for n, o in enumerate(its.offers) if o.line == 10 and o.text == "pass"]
    outcomes = [its.tried([n], 0) for n, o in enumerate(its.offers) if o.line == 16]
    assert any(outcome is not None for outcome in outcomes)
    assert all(its.tried([n], 0) is None for n in failing)


def test_methods_and_helpers_are_functions_of_it(tmp_path: Path) -> None:
    its = workshop("dx[t] = dz", tmp_path)
    assert {text.split("(")[0].split()[-1] for _, _, text in its.functions} == {"step", "backward"}


def test_what_is_installed_is_no_users_function(tmp_path: Path) -> None:
    """Also not in another environment, whose folder is on the path."""
    folder = tmp_path / "dist-packages"
    folder.mkdir()
    (folder / "installed_for_a_test.py").write_text("def double(x):\n    return 2 * x\n")
    text = (
        f"import sys\nsys.path.insert(0, {str(folder)!r})\nimport installed_for_a_test as other\n"
        "def backward(x, W):\n    return dict(dx=other.double(W), dW=x)\n"
    )
    its = small(text, tmp_path)
    assert [text.split("(")[0] for _, _, text in its.functions] == ["def backward"]


@pytest.mark.parametrize(
    ("text", "edit"),
    [
        (
            "def make(sign):\n    def backward(x, W):\n        dx = sign * W * x\n"
            "        return dict(dx=dx, dW=x)\n    return backward\nbackward = make(-1)\n",
            "-(sign * W * x)",
        ),
        (
            'def backward(x, W):\n    return {\n        "dx": x,  # W?\n        "W": W,\n    }\n',
            '"dx": W,  # W?',
        ),
    ],
    ids=["in a closure", "parts change places, and lines stay as many"],
)
def test_an_edit_of_a_form(text: str, edit: str, tmp_path: Path) -> None:
    its = small(text, tmp_path)
    assert all(o.text.count("\n") >= o.old.count("\n") for o in its.offers if o.rank >= 0)
    (number,) = (n for n, o in enumerate(its.offers) if edit in o.text and o.rank >= 0)
    found = its.tried([number], 0)
    assert found is not None
    np.testing.assert_array_equal(found["x"], np.arange(3.0))


def test_what_a_loop_runs_through_is_no_index(tmp_path: Path) -> None:
    """`x_t.reshape(-1, 3)` is at no step beside."""
    loop = "for e in [e]:\n            e = e.reshape(-1, 3)"
    assert workshop(f"dW += h[t - 1].T @ dz\n        {loop}", tmp_path).offers


def test_the_rate_of_an_update_stays(tmp_path: Path) -> None:
    """A rate of 1 does not show that it is gone."""
    text = "def step(W, x, alpha):\n    W -= alpha * x / len(x)\n    return W\n"
    values = {"W": np.ones(3), "x": np.arange(3.0)}
    its = opened(text, tmp_path, Form(("W", "x"), ("W",), (), 1.0, ("W",)), values, values)
    assert "alpha * x" in {offer.text for offer in its.offers}
    assert all("alpha" in offer.text or "alpha" not in offer.old for offer in its.offers)


GATES, STEPS = (np.random.default_rng(0).normal(size=size) for size in ((3, 8), (5, 3, 4)))


def test_axes_and_steps_in_any_order_and_gates_in_their_own() -> None:
    its = Quantities([[GATES], [STEPS]])
    assert its.same(GATES.T) == its.same(GATES.reshape(1, 3, 8)) == 0
    assert its.same(STEPS[::-1]) == its.same(STEPS.transpose(1, 0, 2).reshape(15, 4)) == 1
    assert its.same(GATES * (1 + 1e-12)) == 0
    assert its.same(np.concatenate([GATES[:, 4:], GATES[:, :4]], 1)) is None
    assert its.same(-GATES) is None


def test_what_holds_all_steps_holds_each() -> None:
    its = Quantities([[STEPS], *([step] for step in STEPS)])
    assert its.with_rows(0) == {0, 1, 2, 3, 4, 5}
    assert its.with_rows(1) == {1}


def test_partial_sums_are_one_quantity() -> None:
    its = Quantities([[*np.cumsum(STEPS, 0)], [GATES]])
    assert its.count(range(6)) == 2
