"""What is tried in a line: each usual mistake is mended by an edit, at its place in the text."""

from pathlib import Path

import numpy as np
import pytest

from bptt_check.candidate.calling import Form, Question
from bptt_check.candidate.loading import load_function
from bptt_check.editing.program import apply_to
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


def workshop(line: str, folder: Path) -> Workshop:
    file = folder / "candidate.py"
    file.write_text(TEXT.replace("LINE", line))
    rng = np.random.default_rng(1)
    x, y, W = rng.normal(size=(4, 2, 3)), rng.normal(size=(4, 2, 3)), rng.normal(size=(3, 3))
    function = load_function(str(file), "backward")
    questions = [Question({"x": x, "y": target, "W": W}) for target in (y, -y)]
    return Workshop(function, Form(["x", "y", "W"], ["x", "W"]), questions)


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
    before = its.tried([], 0)
    (number,) = (n for n, o in enumerate(its.offers) if (o.old, o.text) == ("-=", "+="))
    after, again = its.tried([number], 0), its.tried([], 0)
    assert before is not None
    assert after is not None
    assert again is not None
    np.testing.assert_array_equal(after["W"], -before["W"])
    np.testing.assert_array_equal(again["W"], before["W"])


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
    (tmp_path / "candidate.py").write_text(text)
    function = load_function(str(tmp_path / "candidate.py"), "backward")
    questions = [Question({"x": np.ones(3), "W": np.arange(3.0)})] * 2
    its = Workshop(function, Form(["x", "W"], ["x", "W"]), questions)
    assert [text.split("(")[0] for _, _, text in its.functions] == ["def backward"]


def test_a_pass_in_a_closure(tmp_path: Path) -> None:
    file = tmp_path / "candidate.py"
    text = (
        "def make(sign):\n    def backward(x, W):\n        dx = sign * W * x\n"
        "        return dict(dx=dx, dW=x)\n    return backward\nbackward = make(-1)\n"
    )
    file.write_text(text)
    function = load_function(str(file), "backward")
    questions = [Question({"x": np.ones(3), "W": np.arange(3.0)})] * 2
    its = Workshop(function, Form(["x", "W"], ["x", "W"]), questions)
    signs = [n for n, o in enumerate(its.offers) if o.text == "-(sign * W * x)"]
    assert len(signs) == 1
    found = its.tried(signs, 0)
    assert found is not None
    np.testing.assert_array_equal(found["x"], np.arange(3.0))


def test_parts_change_places_and_lines_stay_as_many(tmp_path: Path) -> None:
    file = tmp_path / "candidate.py"
    file.write_text(
        'def backward(x, W):\n    return {\n        "dx": x,  # or W?\n        "dW": W,\n    }\n'
    )
    function = load_function(str(file), "backward")
    questions = [Question({"x": np.ones(3), "W": np.arange(3.0)})] * 2
    its = Workshop(function, Form(["x", "W"], ["x", "W"]), questions)
    assert all(o.text.count("\n") >= o.old.count("\n") for o in its.offers if o.rank >= 0)
    (swap,) = [n for n, o in enumerate(its.offers) if '"dx": W,  # or W?' in o.text]
    found = its.tried([swap], 0)
    assert found is not None
    np.testing.assert_array_equal(found["x"], np.arange(3.0))


def test_what_a_loop_runs_through_is_no_index(tmp_path: Path) -> None:
    """`x_t.reshape(-1, 3)` is at no step beside."""
    loop = "for e in [e]:\n            e = e.reshape(-1, 3)"
    assert workshop(f"dW += h[t - 1].T @ dz\n        {loop}", tmp_path).offers


def test_the_rate_of_an_update_stays(tmp_path: Path) -> None:
    """A rate of 1 does not show that it is gone."""
    text = "def step(W, x, alpha):\n    W -= alpha * x / len(x)\n    return W\n"
    (tmp_path / "candidate.py").write_text(text)
    function = load_function(str(tmp_path / "candidate.py"), "step")
    values = {"W": np.ones(3), "x": np.arange(3.0)}
    its = Workshop(function, Form(("W", "x"), ("W",), (), 1.0, ("W",)), [Question(values)] * 2)
    assert "alpha * x" in {offer.text for offer in its.offers}
    assert all("alpha" in offer.text or "alpha" not in offer.old for offer in its.offers)
