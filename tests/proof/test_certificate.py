"""Certificates that the checker must accept, and those that it must reject."""

import ast
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from adders import trained
from profiles import nightly
from proofs_on_disk import Files, run, write
from rnn_numpy import Params, verify
from rnn_numpy.proof.certificate import certificate, weights_hash
from rnn_numpy.proof.explore import explore
from rnn_numpy.proof.machine import Proved
from rnn_numpy.storage.weights import load_params
from rnn_numpy.training.recipe import Dtype

pytestmark = pytest.mark.unannotated
EXAMPLES = Path(__file__).parents[2] / "examples"


def smallest(folder: Path) -> Files:
    """Copies of the smallest adder and its certificate."""
    names = "smallest-adder.certificate", "smallest-adder.safetensors"
    first, second = (folder / name for name in names)
    for file in (first, second):
        file.write_bytes((EXAMPLES / file.name).read_bytes())
    return first, second


def proved(params: Params, bits: int) -> Proved:
    verdict = explore(params, bits)
    assert isinstance(verdict, Proved)
    return verdict


@pytest.fixture(scope="module")
def adder() -> Params:
    return load_params(EXAMPLES / "smallest-adder.safetensors")[0]


@pytest.fixture(scope="module")
def lines(adder: Params) -> list[str]:
    return list(certificate(adder, proved(adder, 2)))


@pytest.mark.parametrize(
    ("dtype", "bits"),
    [("float32", 5), *(pytest.param("float64", n, marks=nightly) for n in (4, 5))],
)
def test_a_proof_is_accepted(
    dtype: Dtype, bits: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    params = trained(3, dtype)
    verdict = proved(params, bits)
    files = write(tmp_path, params, list(certificate(params, verdict)))
    assert run(files, capsys) == (0, f"accepted: {verdict.states} states\n")


def changed(lines: list[str], number: int, field: int, new: str) -> list[str]:
    """The lines with a field of this line (from 1) changed; negative fields count from the end."""
    fields = lines[number - 1].split(" ")
    assert fields[field] != new
    fields[field] = new
    return [*lines[: number - 1], " ".join(fields), *lines[number:]]


def test_a_changed_line_is_rejected(
    adder: Params, lines: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    levels, task, said, *leads = lines[11].split(" ")
    first, to = levels.split(".")[0], lines[6 + int(leads[0])].split(" ")
    twin = next(  # no output would be wrong, but the network does not make this transition
        number
        for number, line in enumerate(lines[6:])
        if number not in (0, int(leads[0])) and line.split(" ")[1:3] == to[1:3]
    )
    other = "0" if first != "0" else "1"
    edits = {
        "a transition redirected": (3, "17" if leads[0] != "17" else "18"),
        "to the beginning": (3, "0"),
        "to where the right one is not alone wrong": (4, leads[0]),
        "to a state with the same output": (3, str(twin)),
        "an output flipped": (2, "01"[said == "0"]),
        "another carry": (1, "01"[task == "0"]),
        "another level": (0, f"{other}{levels[len(first) :]}"),
        "one level less": (0, levels.split(".", 1)[1]),
        "said neither": (2, "2"),
    }
    for name, (field, new) in edits.items():
        code, text = run(write(tmp_path, adder, changed(lines, 12, field, new)), capsys)
        assert (code, text.split(":")[0]) in ((1, "rejected"), (2, "cannot tell")), name
        if field > 1 and new not in ("2", leads[0]):
            assert text.startswith("rejected: line 12: "), name
    for number, line in enumerate(lines[6:], 7):
        field = 1 if number == 7 else 2  # the beginning says nothing, and carries nothing
        new = "01"[line.split(" ")[field] == "0"]
        code, text = run(write(tmp_path, adder, changed(lines, number, field, new)), capsys)
        assert (code, text.split(": ")[:2]) == (1, ["rejected", f"line {number}"])


def test_a_state_dropped(
    adder: Params, lines: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fewer = [*lines[:5], f"states {len(lines) - 7}", *lines[6:-1]]
    code, text = run(write(tmp_path, adder, [*lines[:-1]]), capsys)
    assert code == 1
    assert "line 6" in text
    # Even where the count is put right: something led there. To a number that is not there any
    # more, or, its transitions redirected, to a state that it does not lead to.
    code, text = run(write(tmp_path, adder, fewer), capsys)
    assert (code, text[:12]) == (2, "cannot tell:")
    last = str(len(lines) - 7)
    redirected = [*fewer[:6], *(" ".join("5" if f == last else f for f in line.split(" "))
                                for line in fewer[6:])]  # fmt: skip
    code, text = run(write(tmp_path, adder, redirected), capsys)
    assert (code, text[:15]) == (1, "rejected: line ")


def test_one_weight_changed_so_little_that_one_transition_changes(
    adder: Params, lines: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is rejected even with the right hash."""

    def nudged(size: float, j: int, k: int) -> Params:
        W = adder.W.copy()
        W[j, k] *= 1 + size
        return adder._replace(W=W)

    def differs(other: Params) -> bool:
        after = proved_or_none(other, 2)
        return after is None or list(certificate(other, after))[6:] != lines[6:]

    sizes, places = [2.0**-n for n in range(12, 0, -1)], list(np.ndindex(adder.W.shape))
    others = (nudged(size, *place) for size in sizes for place in places)
    other = next(params for params in others if differs(params))
    code, text = run(write(tmp_path, other, lines), capsys)
    assert (code, text) == (1, "rejected: line 2 or 5: it is for other weights\n")
    forged = [lines[0], f"weights {weights_hash(other)}", *lines[2:]]
    code, text = run(write(tmp_path, other, forged), capsys)
    assert (code, text[:15]) == (1, "rejected: line ")
    assert "does not lead to" in text or "not always" in text


def proved_or_none(params: Params, bits: int) -> Proved | None:
    verdict = explore(params, bits)
    return verdict if isinstance(verdict, Proved) else None


@pytest.mark.parametrize(
    ("number", "new"),
    [(4, "state-bits 6"), (4, "state-bits 4"), (5, "target subtraction"), (5, "target comparison"),
     (5, "target multiplication:2"), (3, "dtype float32")],
)  # fmt: skip
def test_a_proof_of_something_else(
    number: int, new: str, adder: Params, lines: list[str], tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    forged = [*lines[: number - 1], new, *lines[number:]]
    code, text = run(write(tmp_path, adder, forged), capsys)
    assert code in (1, 2)
    assert not text.startswith("accepted")


@pytest.mark.parametrize(
    "content",
    ["", "hello\n", "rnn-bptt-reference certificate 1\n", "\0" * 100, "é" * 10,
     "rnn-bptt-reference certificate 2\n" + "a b\n" * 8],
)  # fmt: skip
def test_files_that_are_not_certificates(
    content: str, adder: Params, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = write(tmp_path, adder, [])
    files[0].write_text(content, encoding="utf-8")
    code, text = run(files, capsys)
    assert (code, text[:12], text.count("\n")) == (2, "cannot tell:", 1)


def test_files_that_are_not_weights(
    adder: Params, lines: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = write(tmp_path, adder, lines)
    whole = files[1].read_bytes()
    for octets in (b"", b"short", whole[:100], whole[:-1], b"\xff" * 8 + whole[8:]):
        files[1].write_bytes(octets)
        code, text = run(files, capsys)
        assert (code, text[:12]) in ((2, "cannot tell:"), (1, "rejected: li"))
    for header in (
        "[" * 100_000,
        "{}",
        "[]",
        '{"U": 3}',
        '{"U": {"dtype": 5, "shape": [0, 1e9]}}',
        '{"U": {"dtype": "F64", "shape": [0, 1000000000000], "data_offsets": [0, 0]}}',
        '{"U": {"dtype": "F64", "shape": [1, -8], "data_offsets": [0, 64]}}',
    ):
        files[1].write_bytes(len(header).to_bytes(8, "little") + header.encode() + bytes(800))
        code, text = run(files, capsys)
        assert (code, text[:12], text.count("\n")) == (2, "cannot tell:", 1)
    code, text = run((files[0], tmp_path / "none"), capsys)
    assert (code, text[:12]) == (2, "cannot tell:")
    os.truncate(files[1], 1 << 31)  # a hole, which takes no space, but would take memory
    assert run(files, capsys) == (2, "cannot tell: ValueError: files of more than 1 GiB\n")


def edited_header(files: Files, edit: Callable[[dict[str, Any]], object]) -> None:
    """Change the header of the weights, and the certificate's hash with it."""
    octets = files[1].read_bytes()
    start = 8 + int.from_bytes(octets[:8], "little")
    header = json.loads(octets[8:start])
    edit(header)
    text = json.dumps(header).encode()
    files[1].write_bytes(len(text).to_bytes(8, "little") + text + octets[start:])
    spans = [(header[n]["dtype"], *header[n]["data_offsets"]) for n in "UWV"]
    raw = b"".join(k.encode() + octets[start + a : start + b] for k, a, b in spans)
    lines = files[0].read_text().splitlines()
    lines[1] = f"weights {hashlib.sha256(raw).hexdigest()}"
    files[0].write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize(
    ("name", "key", "new"),
    [("W", "dtype", "banana"), ("V", "dtype", "F32"), ("U", "shape", [4, 2]),
     ("V", "shape", [1, 4]), ("W", "shape", [2, 8]), ("W", "shape", [16, 1]),
     ("U", "shape", [2, 4, 1]), ("W", "data_offsets", [0, 128]), ("W", "shape", [4.5, 4])],
)  # fmt: skip
def test_weights_whose_header_is_malformed(
    name: str, key: str, new: object, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = smallest(tmp_path)
    assert run(files, capsys)[0] == 0
    edited_header(files, lambda header: header[name].update({key: new}))
    code, text = run(files, capsys)
    assert code == 2
    assert text.startswith("cannot tell: ValueError: ")


def test_a_w_of_six_rows_and_four_columns(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A checker that does not look at its last two rows would accept it; the hash is right."""
    params, _ = load_params(EXAMPLES / "smallest-adder.safetensors")
    W = np.vstack([params.W, 9 * np.ones((2, 4))])
    lines = (EXAMPLES / "smallest-adder.certificate").read_text().splitlines()
    lines[1] = f"weights {weights_hash(Params(params.U, W, params.V))}"
    files = write(tmp_path, params, lines)
    save_file({"U": params.U, "W": W, "V": params.V}, files[1])
    code, text = run(files, capsys)
    assert code == 2
    assert "U, W, V must be F64 of (inputs, hidden), (hidden, hidden), (hidden, 1)" in text
    assert "[6, 4]" in text


JUNK = ["", " ", "0", "-1", "+5", "5_0", "1e3", "5 5", "banana", "float16", "0x5", "17"]
JUNK += ["addition "]


@pytest.mark.parametrize("number", range(1, 7))
def test_headings_whose_fields_are_malformed(
    number: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = smallest(tmp_path)
    lines = files[0].read_text().splitlines()
    key, value = lines[number - 1].rsplit(" ", 1)
    for junk in [*JUNK, f" {value}", f"{value} ", f"0{value}"]:
        forged = [*lines[: number - 1], f"{key} {junk}", *lines[number:]]
        files[0].write_text("\n".join(forged) + "\n")
        code, text = run(files, capsys)
        if (number, junk) != (6, "17"):  # a number, though not that of the states
            assert code == 2, junk
            assert f"line {number} must be " in text
        assert code in (1, 2)
    for other in ("weight", key.upper(), ""):
        forged = [*lines[: number - 1], f"{other} {value}", *lines[number:]]
        files[0].write_text("\n".join(forged) + "\n")
        assert run(files, capsys)[0] == 2
    files[0].write_text("\n".join([*lines[: number - 1], *lines[number:]]) + "\n")
    assert run(files, capsys)[0] == 2


@pytest.mark.parametrize(("field", "new"), [
    (0, "0.0.0.5"), (0, "0.0.0.-1"), (0, "0.0.0"), (0, "0.0.0.0.0"), (0, "0..0.0"), (0, "0x0.0"),
    (1, "-1"), (1, "1_0"), (2, "2"), (2, ""), (3, "-1"), (3, "+0"), (3, "0,"), (3, "999999999"),
])  # fmt: skip
def test_states_whose_fields_are_malformed(
    field: int, new: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = smallest(tmp_path)
    lines = files[0].read_text().splitlines()
    files[0].write_text("\n".join(changed(lines, 8, field, new)) + "\n")
    code, text = run(files, capsys)
    assert (code, text[:12]) == (2, "cannot tell:")


def test_a_certificate_with_too_many_combinations(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Sixty units at a tie have 2^60 combinations, too many for any certificate: none is tried."""
    hidden = 60
    tie = np.log(3)  # sigmoid(log 3) = 3/4, between 1/2 and 1
    params = Params(np.full((2, hidden), tie), np.zeros((hidden, hidden)), np.ones((hidden, 1)))
    zero, half = ".".join(["0"] * hidden), ".".join(["1"] * hidden)
    lines = ["rnn-bptt-reference certificate 1", f"weights {weights_hash(params)}",
             "dtype float64", "state-bits 1", "target comparison", "states 2",
             f"{zero} 0 0 1 1 1 1", f"{half} 0 1 1 1 1 1"]  # fmt: skip
    code, text = run(write(tmp_path, params, lines), capsys)
    assert (code, text[:17]) == (1, "rejected: line 7:")
    many = Params(np.ones((40, 3)), np.ones((3, 3)), np.ones((3, 1)))
    lines[1] = f"weights {weights_hash(many)}"
    assert run(write(tmp_path, many, lines), capsys)[0] == 1


def test_the_checker_runs_without_the_package(
    lines: list[str], adder: Params, tmp_path: Path
) -> None:
    """It uses only the standard library, has under 200 lines, and runs as a single file."""
    file = Path(verify.__file__)
    assert len(file.read_text().splitlines()) < 200
    tree = ast.parse(file.read_text())
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import)
             for alias in node.names}  # fmt: skip
    names |= {str(n.module) for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    assert {name.split(".")[0] for name in names} <= set(sys.stdlib_module_names)
    files = write(tmp_path, adder, lines)
    done = subprocess.run(
        [sys.executable, "-I", "-S", file, *files], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, f"accepted: {len(lines) - 6} states\n")


def test_the_smallest_adder(capsys: pytest.CaptureFixture[str]) -> None:
    """The one in examples/: four units, two bits, twenty states."""
    files = EXAMPLES / "smallest-adder.certificate", EXAMPLES / "smallest-adder.safetensors"
    assert run(files, capsys) == (0, "accepted: 20 states\n")
    params, _ = load_params(files[1])
    assert len(params.W) == 4
    written = files[0].read_text().splitlines()
    assert list(certificate(params, proved(params, 2))) == written
