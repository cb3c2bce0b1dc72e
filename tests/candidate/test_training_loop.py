"""A script's training loop as a pass: its gradient, and what the gradient cannot show."""

import json
from pathlib import Path
from typing import Any

import pytest

from bptt_check.candidate.loading import load_function
from bptt_check.candidate.returned import Refused
from rnn_torch import check

pytestmark = [pytest.mark.unannotated, pytest.mark.few]
EXAMPLE = Path(__file__).parents[2] / "examples" / "wrong_adder_script.py"
RIGHT = EXAMPLE.read_text().replace("later @ W +", "later @ W.T +")
LOOP = "for step in range"
Capture = pytest.CaptureFixture[str]


def report(text: str, tmp_path: Path, capsys: Capture, code: int) -> dict[str, Any]:
    file = tmp_path / "adder.py"
    file.write_text(text)
    assert check.main([str(file), "--loop", LOOP, "--json"]) == code
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


#: An other form of the right script: a replacement, and the fields that it must give.
VARIANTS: dict[str, tuple[str, str, dict[str, Any], int]] = {
    "right": ("", "", {"verdict": "agrees", "training": []}, 0),
    "a last step that is right": ("    dU *= 0\n", "    dU = np.zeros_like(U)\n", {}, 0),
    "no update in place": ("    U += dU * alpha\n", "    U = U + dU * alpha\n", {}, 0),
    "least significant bit first": (
        "axis=1)", "axis=1)[:, ::-1]", {"verdict": "disagrees"}, 1
    ),
    "buffers that are not cleared": ("    dU *= 0\n", "", {"verdict": "impure"}, 1),
    "not the sum": (
        "binary[a_int + b_int]", "binary[a_int ^ b_int]",
        {"verdict": "agrees", "training": ["the target c is not the sum of a and b"]}, 1,
    ),
    "positive weights": (
        ")) - 1", "))",
        {"training": ["its first weights are all positive: draw them from around 0"]}, 1,
    ),
    "Python 2": (
        'print(f"step {step}: {a_int} + {b_int}, error {error:.3f}")', 'print "x"',
        {"verdict": "agrees"}, 0,
    ),
    "another mistake": ("h * (1 - h)\n", "h\n", {"verdict": "disagrees"}, 1),
}  # fmt: skip


@pytest.mark.verdict
@pytest.mark.parametrize("name", VARIANTS)
def test_a_script(name: str, tmp_path: Path, capsys: Capture) -> None:
    old, new, fields, code = VARIANTS[name]
    assert old in RIGHT
    found = report(RIGHT.replace(old, new), tmp_path, capsys, code)
    assert {key: found[key] for key in fields} == fields


@pytest.mark.verdict
@pytest.mark.mends
def test_its_line_is_mended(tmp_path: Path, capsys: Capture) -> None:
    mend = report(EXAMPLE.read_text(), tmp_path, capsys, 1)["mend"]
    assert mend["proved"]
    ((place, after),) = [(line["place"], line["after"]) for line in mend["lines"]]
    assert after == RIGHT.splitlines()[int(place.removeprefix("line ")) - 1].strip()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("for step in", "for number in", r"begins with 'for step in range'; it has 'for number in"),
        (
            "    c = binary[a_int + b_int]",
            "    c, _ = binary[a_int + b_int], 0",
            r"got \['a', 'b'\]",
        ),
        ("    V += dV * alpha\n", "", r"weights must be .* got U \(2, 16\), W \(16, 16\)"),
    ],
)
def test_what_is_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in RIGHT
    (tmp_path / "adder.py").write_text(RIGHT.replace(old, new))
    with pytest.raises(Refused, match=message):
        load_function(str(tmp_path / "adder.py"), LOOP)
