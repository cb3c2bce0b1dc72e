"""Certificates that the checker must accept, and those that it must reject."""

import ast
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from adders import trained
from proofs_on_disk import run, write
from rnn_numpy import Params, verify
from rnn_numpy.proof.certificate import certificate, weights_hash
from rnn_numpy.proof.explore import explore
from rnn_numpy.proof.machine import Proved
from rnn_numpy.storage.weights import load_params

pytestmark = pytest.mark.unannotated
EXAMPLES = Path(__file__).parents[2] / "examples"
PROOF, WEIGHTS = EXAMPLES / "smallest-adder.certificate", EXAMPLES / "smallest-adder.safetensors"
ADDER, LINES = load_params(WEIGHTS)[0], PROOF.read_text().splitlines()
Ask = Callable[[Params, list[str]], tuple[int, str]]


@pytest.fixture
def ask(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Ask:
    """The checker's exit code and text for these weights and lines."""
    return lambda params, lines: run(write(tmp_path, params, lines), capsys)


def proof(params: Params, bits: int) -> list[str]:
    verdict = explore(params, bits)
    return list(certificate(params, verdict)) if isinstance(verdict, Proved) else []


def test_a_proof_is_accepted(ask: Ask) -> None:
    """Of float32 weights, with ties; and of the smallest adder, in twenty states."""
    params = trained(3, "float32")
    lines = proof(params, 5)
    assert ask(params, lines) == (0, f"accepted: {len(lines) - 6} states\n")
    assert ask(ADDER, LINES) == (0, "accepted: 20 states\n")
    assert proof(ADDER, 2) == LINES


def changed(number: int, field: int, new: str) -> list[str]:
    """The lines with a field of this line (from 1) changed."""
    fields = LINES[number - 1].split(" ")
    assert fields[field] != new
    fields[field] = new
    return replaced(number, " ".join(fields))


def replaced(number: int, *new: str) -> list[str]:
    """The lines with others in the place of this one (from 1)."""
    return [*LINES[: number - 1], *new, *LINES[number:]]


def test_a_changed_line_is_rejected(ask: Ask) -> None:
    levels, task, said, *leads = LINES[11].split(" ")
    first, to = levels.split(".")[0], LINES[6 + int(leads[0])].split(" ")
    twin = next(  # no output would be wrong, but the network does not make this transition
        number
        for number, line in enumerate(LINES[6:])
        if number not in (0, int(leads[0])) and line.split(" ")[1:3] == to[1:3]
    )
    edits = {
        "a transition redirected": (3, "17" if leads[0] != "17" else "18"),
        "to the beginning": (3, "0"),
        "to a state with the same output": (3, str(twin)),
        "an output flipped": (2, "01"[said == "0"]),
        "another carry": (1, "01"[task == "0"]),
        "another level": (0, f"{'0' if first != '0' else '1'}{levels[len(first) :]}"),
        "one level less": (0, levels.split(".", 1)[1]),
    }
    for name, (field, new) in edits.items():
        code, text = ask(ADDER, changed(12, field, new))
        assert (code, text.split(":")[0]) in ((1, "rejected"), (2, "cannot tell")), name
        if field > 1:
            assert text.startswith("rejected: line 12: "), name
    for number, line in enumerate(LINES[6:], 7):
        field = 1 if number == 7 else 2  # the beginning says nothing, and carries nothing
        code, text = ask(ADDER, changed(number, field, "01"[line.split(" ")[field] == "0"]))
        assert (code, text.split(": ")[:2]) == (1, ["rejected", f"line {number}"])


def test_a_state_dropped(ask: Ask) -> None:
    code, text = ask(ADDER, LINES[:-1])
    assert (code, "line 6" in text) == (1, True)
    # Even where the count is put right: something led there. To a number that is not there any
    # more, or, its transitions redirected, to a state that it does not lead to.
    last = str(len(LINES) - 7)
    fewer = replaced(6, f"states {last}")[:-1]
    assert ask(ADDER, fewer)[0] == 2
    redirected = [" ".join("5" if f == last else f for f in line.split(" ")) for line in fewer[6:]]
    code, text = ask(ADDER, [*fewer[:6], *redirected])
    assert (code, text[:15]) == (1, "rejected: line ")


def test_one_weight_changed_so_little_that_few_transitions_change(ask: Ask) -> None:
    """It is rejected even with the right hash."""

    def nudged(size: float, place: tuple[int, ...]) -> Params:
        W = ADDER.W.copy()
        W[place] *= 1 + size
        return ADDER._replace(W=W)

    sizes, places = [2.0**-n for n in range(12, 0, -1)], list(np.ndindex(ADDER.W.shape))
    others = (nudged(size, place) for size in sizes for place in places)
    other = next(params for params in others if proof(params, 2)[6:] != LINES[6:])
    assert ask(other, LINES) == (1, "rejected: line 2 or 5: it is for other weights\n")
    code, text = ask(other, replaced(2, f"weights {weights_hash(other)}"))
    assert (code, text[:15]) == (1, "rejected: line ")
    assert "does not lead to" in text or "not always" in text


@pytest.mark.parametrize(
    ("number", "new"),
    [(4, "state-bits 6"), (4, "state-bits 4"), (5, "target subtraction"), (5, "target comparison"),
     (5, "target multiplication:2"), (3, "dtype float32")],
)  # fmt: skip
def test_a_proof_of_something_else(number: int, new: str, ask: Ask) -> None:
    assert ask(ADDER, replaced(number, new))[0] in (1, 2)


def test_files_that_are_not_certificates_or_weights(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def cannot_tell() -> bool:
        code, text = run(files, capsys)
        return (code, text[:12], text.count("\n")) == (2, "cannot tell:", 1)

    files = write(tmp_path, ADDER, LINES)
    whole = files[1].read_bytes()
    headers = (
        "[" * 100_000,
        "{}",
        "[]",
        '{"U": 3}',
        '{"U": {"dtype": 5, "shape": [0, 1e9]}}',
        '{"U": {"dtype": "F64", "shape": [0, 1000000000000], "data_offsets": [0, 0]}}',
        '{"U": {"dtype": "F64", "shape": [1, -8], "data_offsets": [0, 64]}}',
    )
    with_header = [len(h).to_bytes(8, "little") + h.encode() + bytes(800) for h in headers]
    for octets in (b"", b"short", whole[:100], b"\xff" * 8 + whole[8:], *with_header):
        files[1].write_bytes(octets)
        assert cannot_tell()
    os.truncate(files[1], 1 << 31)  # a hole, which takes no space, but would take memory
    assert run(files, capsys) == (2, "cannot tell: ValueError: files of more than 1 GiB\n")
    files[1].unlink()
    assert cannot_tell()
    files[1].write_bytes(whole)
    for content in ("", "hello\n", f"{LINES[0]}\n", "\0" * 100, "é" * 10,
                    "rnn-bptt-reference certificate 2\n" + "a b\n" * 8):  # fmt: skip
        files[0].write_text(content, encoding="utf-8")
        assert cannot_tell()


@pytest.mark.parametrize(
    ("name", "key", "new"),
    [("W", "dtype", "banana"), ("V", "dtype", "F32"), ("U", "shape", [4, 2]),
     ("V", "shape", [1, 4]), ("W", "shape", [2, 8]), ("W", "shape", [16, 1]),
     ("U", "shape", [2, 4, 1]), ("W", "data_offsets", [0, 128]), ("W", "shape", [4.5, 4])],
)  # fmt: skip
def test_weights_whose_header_is_malformed(
    name: str, key: str, new: object, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The certificate's hash is that of the malformed file."""
    octets = WEIGHTS.read_bytes()
    start = 8 + int.from_bytes(octets[:8], "little")
    header = json.loads(octets[8:start])
    header[name][key] = new
    spans = [(header[n]["dtype"], *header[n]["data_offsets"]) for n in "UWV"]
    raw = b"".join(k.encode() + octets[start + a : start + b] for k, a, b in spans)
    files = write(tmp_path, ADDER, replaced(2, f"weights {hashlib.sha256(raw).hexdigest()}"))
    text = json.dumps(header).encode()
    files[1].write_bytes(len(text).to_bytes(8, "little") + text + octets[start:])
    code, said = run(files, capsys)
    assert (code, said[:24]) == (2, "cannot tell: ValueError:")


def test_a_w_of_six_rows_and_four_columns(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A checker that does not look at its last two rows would accept it; the hash is right."""
    wrong = ADDER._replace(W=np.vstack([ADDER.W, 9 * np.ones((2, 4))]))
    files = write(tmp_path, ADDER, replaced(2, f"weights {weights_hash(wrong)}"))
    save_file(wrong._asdict(), files[1])
    code, text = run(files, capsys)
    assert code == 2
    assert "U, W, V must be F64 of (inputs, hidden), (hidden, hidden), (hidden, 1)" in text
    assert "[6, 4]" in text


JUNK = ["", " ", "0", "-1", "+5", "5_0", "1e3", "5 5", "banana", "float16", "0x5", "addition "]


@pytest.mark.parametrize("number", range(1, 7))
def test_headings_whose_fields_are_malformed(number: int, ask: Ask) -> None:
    key, value = LINES[number - 1].rsplit(" ", 1)
    for junk in [*JUNK, f" {value}", f"{value} ", f"0{value}"]:
        code, text = ask(ADDER, replaced(number, f"{key} {junk}"))
        assert (code, f"line {number} must be " in text) == (2, True), junk
    for other in (f"weight {value}", f"{key.upper()} {value}", f" {value}"):
        assert ask(ADDER, replaced(number, other))[0] == 2
    assert ask(ADDER, replaced(number))[0] == 2


def test_states_whose_fields_are_malformed(ask: Ask) -> None:
    for field, texts in (
        (0, ("0.0.0.5", "0.0.0.-1", "0.0.0", "0.0.0.0.0", "0..0.0", "0x0.0")),
        (1, ("-1", "1_0")),
        (2, ("2", "")),
        (3, ("-1", "+0", "0,", "999999999")),
    ):
        for text in texts:
            assert ask(ADDER, changed(8, field, text))[0] == 2, text


def test_a_certificate_with_too_many_combinations(ask: Ask) -> None:
    """Sixty units at a tie have 2^60 combinations, too many for any certificate: none is tried."""
    hidden = 60
    tie = np.log(3)  # sigmoid(log 3) = 3/4, between 1/2 and 1
    params = Params(np.full((2, hidden), tie), np.zeros((hidden, hidden)), np.ones((hidden, 1)))
    zero, half = ".".join(["0"] * hidden), ".".join(["1"] * hidden)
    lines = ["rnn-bptt-reference certificate 1", f"weights {weights_hash(params)}",
             "dtype float64", "state-bits 1", "target comparison", "states 2",
             f"{zero} 0 0 1 1 1 1", f"{half} 0 1 1 1 1 1"]  # fmt: skip
    code, text = ask(params, lines)
    assert (code, text[:17]) == (1, "rejected: line 7:")
    many = Params(np.ones((40, 3)), np.ones((3, 3)), np.ones((3, 1)))
    lines[1] = f"weights {weights_hash(many)}"
    assert ask(many, lines)[0] == 1


def test_the_checker_runs_without_the_package() -> None:
    """It uses only the standard library, has under 200 lines, and runs as a single file."""
    file = Path(verify.__file__)
    assert len(file.read_text().splitlines()) < 200
    nodes = list(ast.walk(ast.parse(file.read_text())))
    names = {alias.name for n in nodes if isinstance(n, ast.Import) for alias in n.names}
    names |= {str(n.module) for n in nodes if isinstance(n, ast.ImportFrom)}
    assert {name.split(".")[0] for name in names} <= set(sys.stdlib_module_names)
    command = [sys.executable, "-I", "-S", *map(str, (file, PROOF, WEIGHTS))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "accepted: 20 states\n")
