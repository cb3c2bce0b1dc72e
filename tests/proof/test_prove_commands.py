"""`prove` and `add`: flags, output, exit codes."""

import io
import json
import random
from pathlib import Path

import numpy as np
import pytest

from adders import trained
from rnn_numpy import Params, prove
from rnn_numpy.storage.weights import load_params, save_params
from rnn_torch import add

pytestmark = pytest.mark.unannotated
Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def right(tmp_path_factory: pytest.TempPathFactory) -> str:
    file = tmp_path_factory.mktemp("right") / "right.safetensors"
    save_params(file, trained(3), {})
    return str(file)


@pytest.fixture(scope="module")
def wrong(tmp_path_factory: pytest.TempPathFactory) -> str:
    file = tmp_path_factory.mktemp("wrong") / "wrong.safetensors"
    save_params(file, trained(1), {})
    return str(file)


def test_proved(right: str, tmp_path: Path, capsys: Capture) -> None:
    file = tmp_path / "c.txt"
    assert prove.main([right, "--state-bits", "5", "--certificate", str(file)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == (
        "proved: a + b is right for operands of every length, with a state of 5 bits"
    )
    assert lines[1] == "4020 states, the last of them found after 18 steps"
    assert "minimised, 2 states:" in lines
    assert lines[-1] == f"written to {file}"
    assert file.read_text().startswith("rnn-bptt-reference certificate 1\nweights ")


def test_refuted(wrong: str, tmp_path: Path, capsys: Capture) -> None:
    file = tmp_path / "c.txt"
    assert prove.main([wrong, "--state-bits", "5", "--certificate", str(file)]) == 1
    lines = capsys.readouterr().out.splitlines()
    words = lines[0].split()
    assert words[:2] == ["refuted,", "with"]
    sum_ = lines[0].split(": ")[1]
    a, b, total, said = (int(w.strip(",")) for w in sum_.split() if w.strip(",").isdigit())
    assert a + b == total != said
    assert lines[-1] == f"{file} not written: nothing is proved"
    assert not file.exists()
    assert prove.main([wrong, "--state-bits", "5", "--json"]) == 1
    example = json.loads(capsys.readouterr().out)["counterexample"]
    assert (example["operands"], example["right"], example["said"]) == ([a, b], total, said)


def test_gave_up(right: str, capsys: Capture) -> None:
    assert prove.main([right, "--state-bits", "5", "--limit", "100"]) == 3
    first = capsys.readouterr().out.splitlines()[0]
    assert first.startswith("gave up, with a state of 5 bits: more than 100 states; all inputs of ")


@pytest.mark.parametrize(("limit", "code"), [("1000000", 0), ("100", 3)])
def test_json(limit: str, code: int, right: str, capsys: Capture) -> None:
    assert prove.main([right, "--state-bits", "5", "--json", "--limit", limit]) == code
    document = json.loads(capsys.readouterr().out)
    assert document["status"] == ("proved" if code == 0 else "gave up")
    assert (document["state_bits"], document["target"], document["ties"]) == (5, "addition", 0)
    if code == 0:
        assert document["states"] == 4020
        assert document["minimal"]["next"] == [[0, 0, 0, 1], [0, 1, 1, 1]]


def test_the_refutation_of_another_target_names_its_operation(right: str, capsys: Capture) -> None:
    assert prove.main([right, "--state-bits", "5", "--target", "subtraction"]) == 1
    assert "0 - 1 (modulo 2^n, n bits) = 3, the network says 1" in capsys.readouterr().out
    assert prove.main([right, "--state-bits", "5", "--target", "comparison"]) == 1
    assert "(after each bit) = " in capsys.readouterr().out


def test_weights_without_a_finite_bound(tmp_path: Path, capsys: Capture) -> None:
    file = tmp_path / "huge.safetensors"
    save_params(file, Params(*(np.full(s, 1e308) for s in ((2, 3), (3, 3), (3, 1)))), {})
    assert prove.main([str(file), "--state-bits", "5", "--json"]) == 3
    assert json.loads(capsys.readouterr().out)["tie_error"] > 1e300  # JSON has no infinity
    save_params(file, Params(*(np.full(s, 3e38, "f4") for s in ((2, 3), (3, 3), (3, 1)))), {})
    assert prove.main([str(file), "--state-bits", "5"]) == 3
    assert "rounding errors are larger" in capsys.readouterr().out


@pytest.mark.parametrize("bits", [0, 1, 27, 70_000])
def test_add(bits: int, right: str, capsys: Capture) -> None:
    a, b = 2**bits - 1, random.Random(bits).getrandbits(100)
    assert add.main([right, hex(a), str(b)]) == 0
    said, proof = capsys.readouterr().out.splitlines()
    assert said == hex(a + b)
    assert proof == "nothing is proved about other sums without --prove"


def test_add_names_the_wrong_sum(wrong: str, capsys: Capture) -> None:
    assert prove.main([wrong, "--json"]) == 1
    example = json.loads(capsys.readouterr().out)["counterexample"]
    a, b = example["operands"]
    assert add.main([wrong, str(a), str(b), "--prove"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == str(example["said"])
    assert lines[1].startswith("wrong: bit ")
    assert lines[2].startswith("refuted, as trained: ")
    assert add.main([wrong, str(a), str(b), "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert (document["sum"], document["right"]) == (example["said"], False)


def test_operands_from_files_and_standard_input(
    right: str, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "a.txt"
    file.write_text("0b1011\n")
    monkeypatch.setattr("sys.stdin", io.StringIO("31\n"))
    assert add.main([right, f"@{file}", "-"]) == 0
    assert capsys.readouterr().out.splitlines()[0] == bin(11 + 31)


@pytest.mark.unannotated
def test_operands_that_are_no_integers_are_refused(right: str) -> None:
    params, _ = load_params(right)
    assert add.add(params, np.int64(3), 4) == 7
    with pytest.raises(TypeError, match="float"):
        add.add(params, 1.5, 2)  # type: ignore[arg-type]
