"""Both `python -m ....train` commands: flags, output, exit codes."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from bptt_check.commands.flag_types import NOT_NEGATIVE, Integer
from rnn_numpy.commands import train_flags, train_log
from rnn_numpy.commands.train_plot import Learning
from rnn_numpy.storage.weights import load_params
from rnn_numpy.tasks.exact_sums import Count
from rnn_numpy.training.recipe import RANGES, Recipe
from trainings import MAINS, SHORT, both, bytes_of

ROOT = Path(__file__).parents[2]


@both
def test_what_it_prints(package: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert MAINS[package](SHORT) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "seed 0, 5 bits, 16 hidden units, 300 steps, learning rate 0.1, float64"
    logged = [line for line in lines if re.match(r" +\d+ +\d\.\d{4}  ", line)]
    assert [line.split()[0] for line in logged] == ["100", "200", "300"]
    for line in logged:
        found = re.search(
            r"([01]{5}) +([01]{5}) .* (\d+) \+ +(\d+) = (\d+)(  wrong: (\d+))?$", line
        )
        assert found is not None, line
        said_bits, true_bits, a, b, said, wrong, true = found.groups()
        # Most significant bit first, as people read them.
        assert int(said_bits, 2) == int(said)
        assert int(true_bits, 2) == int(a) + int(b)
        assert (wrong is None) == (said_bits == true_bits)
        assert true in (None, str(int(a) + int(b)))
    assert any("wrong" in line for line in logged)  # 300 steps are too few to learn it
    assert re.fullmatch(r"\d+ of 256 sums exact; engine: compiled", lines[-1])
    audited = [re.search(r"  (\d\.\d{3})  ", line) for line in logged]
    if package == "rnn_torch":
        assert all(found and float(found[1]) <= 1 for found in audited)
    else:
        assert not any(audited)


@both
def test_json(package: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    out = str(tmp_path / "w.safetensors")
    assert MAINS[package]([*SHORT, "--json", "--dtype", "float32", "--out", out]) == 0
    printed = capsys.readouterr().out
    document = json.loads(printed)
    assert printed.count("\n") == 1
    assert document["recipe"] == {**vars(Recipe(bits=5, iterations=300, dtype="float32"))}
    assert (document["status"], document["steps"], document["out"]) == ("finished", 300, out)
    assert [record["step"] for record in document["log"]] == [100, 200, 300]
    assert document["sums"]["tried"] == 256
    assert document["sums"]["exhaustive"]
    assert load_params(out)[0].U.dtype == np.float32


@both
def test_divergence(package: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    out = tmp_path / "w.safetensors"
    flags = ["--seed", "6", "--bits", "64", "--hidden", "4", "--learning-rate", "3e38"]
    assert MAINS[package]([*flags, "--dtype", "float32", "--out", str(out)]) == 1
    words = "diverged at step 1: the weights are no longer finite; those of step 0 are kept"
    assert words in capsys.readouterr().out
    params, says = load_params(out)
    assert all(np.isfinite(array).all() for array in params)
    assert (says["steps"], says["status"]) == ("0", "diverged")


def test_ranges_include_their_ends() -> None:
    assert [Integer(*RANGES["bits"])(end) for end in ("1", "64")] == [1, 64]
    assert [NOT_NEGATIVE(text) for text in ("0", str(10**30))] == [0, 10**30]
    last = 2**32 - 1
    assert train_flags.seeds(str(last)) == range(last, last + 1)
    assert train_flags.seeds(f"5:{last + 1}") == range(5, last + 1)
    assert train_flags.seeds(":3") == range(3)


def test_sampled_sums_are_reported_as_sampled() -> None:
    assert train_log.in_words(Count(7, 9, exhaustive=False), 40) == (
        "7 of 9 sums exact, drawn at random: all 2^78 are too many to try"
    )


@both
def test_a_picture_of_the_training_changes_nothing_else(
    package: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With any number of units and bits, and if the training ends early."""
    for flags in ([*SHORT], ["--hidden", "1", "--bits", "12", "--iterations", "40"]):
        assert MAINS[package]([*flags, "--out", str(tmp_path / "plain")]) == 0
        plain = capsys.readouterr().out.replace("plain", "drawn")
        picture = tmp_path / "learning.svg"
        drawn = ["--out", str(tmp_path / "drawn"), "--plot", str(picture)]
        assert MAINS[package]([*flags, *drawn]) == 0
        assert capsys.readouterr().out.replace(f"picture written to {picture}\n", "") == plain
        assert bytes_of(tmp_path / "plain") == bytes_of(tmp_path / "drawn")
        assert picture.read_text().startswith("<?xml")
        picture.unlink()


def test_the_curve_of_a_training_is_of_all_sums_or_of_a_sample() -> None:
    params = load_params(ROOT / "examples" / "smallest-adder.safetensors")[0]
    for bits, tried in ((3, 16), (8, 16384), (20, 512)):
        learning = Learning(bits)
        learning.add(7, params)
        assert (learning.tried, learning.steps, learning.exact) == (tried, [7], [100.0])
        assert 0 < learning.losses[0] < bits
