"""python -m rnn_torch.sweep: flags, output, exit codes, files."""

import csv
import json
import os
import re
import resource
import signal
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import pytest

from forked import Forked
from rnn_numpy.training.many_networks import Trained, train
from rnn_numpy.training.recipe import Recipe
from rnn_torch import sweep
from rnn_torch.many_networks.journal import Journal, ResultsError, read_journal
from rnn_torch.many_networks.tables import Row, journal_of, summary

pytestmark = pytest.mark.unannotated
SMALL = ["--bits", "4", "--hidden", "6", "--iterations", "600", "--count-every", "200"]
FOUR = ["--seeds", "0:3", "7", *SMALL]


def expected() -> list[Trained]:
    return [train(Recipe(seed, 4, 6, 600), 200, "numpy") for seed in (0, 1, 2, 7)]


@pytest.mark.parametrize("engine", ["compiled", "numpy", "batched"])
def test_every_engine_gives_the_same_table(
    engine: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "results.csv"
    assert sweep.main([*FOUR, "--engine", engine, "--out", str(out)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "4 bits, 6 hidden units, learning rate 0.1, float64: exact sums of 64"
    assert [line.split()[0] for line in lines[1:5]] == ["step", "200", "400", "600"]
    assert lines[-1] == f"4 networks; engine: {engine}"
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    wanted = [
        (str(t.recipe.seed), str(step), str(exact))
        for t in expected()
        for step, exact in zip(t.steps, t.exact, strict=True)
    ]
    assert [(row["seed"], row["step"], row["exact"]) for row in rows] == wanted
    assert {row["tried"] for row in rows} == {"64"}
    assert list(tmp_path.iterdir()) == [out]


def test_json_and_every_combination(capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--seeds", "0:2", "--hidden", "2", "3", "--learning-rate", "0.1", "0.2"]
    assert sweep.main([*flags, "--bits", "3", "--iterations", "20", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["networks"], document["wanted"], document["diverged"]) == (8, 8, 0)
    settings = [
        (s["setting"]["hidden"], s["setting"]["learning_rate"]) for s in document["settings"]
    ]
    assert sorted(settings) == [(2, 0.1), (2, 0.2), (3, 0.1), (3, 0.2)]
    assert [row["step"] for row in document["settings"][0]["rows"]] == [20]
    assert document["settings"][0]["rows"][0]["networks"] == 2


def test_resuming_trains_only_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "results.jsonl"
    assert sweep.main(["--seeds", "0:2", *SMALL, "--out", str(out)]) == 0
    with out.open("a") as file:
        file.write('{"recipe": {"seed": 7, "bi')  # the process was killed while it wrote
    trained: list[int] = []

    def counting(recipes: Iterable[Recipe], *rest: object, **named: object) -> list[Trained]:
        found = [train(recipe, 200, "numpy") for recipe in recipes]
        trained.extend(each.recipe.seed for each in found)
        return found

    monkeypatch.setattr(sweep, "train_many", counting)
    assert sweep.main([*FOUR, "--out", str(out), "--resume"]) == 0
    assert trained == [2, 7]
    there, _ = read_journal(out)
    assert sorted(there.values(), key=lambda trained: trained.recipe.seed) == expected()
    capsys.readouterr()
    trained.clear()
    assert sweep.main([*FOUR, "--out", str(out), "--resume"]) == 0
    assert trained == []


def test_the_same_bytes_in_any_order_of_training(tmp_path: Path) -> None:
    whole, resumed = tmp_path / "whole.jsonl", tmp_path / "resumed.jsonl"
    assert sweep.main([*FOUR, "--out", str(whole)]) == 0
    seeds = [json.loads(line)["recipe"]["seed"] for line in whole.read_text().splitlines()]
    assert seeds == [0, 1, 2, 7]
    for some in (["7", "5"], ["2", "0"], ["0:3", "7"]):
        assert sweep.main(["--seeds", *some, *SMALL, "--out", str(resumed), "--resume"]) == 0
    *same, other = resumed.read_bytes().splitlines(keepends=True)
    assert b"".join(same) == whole.read_bytes()
    assert json.loads(other)["recipe"]["seed"] == 5


def test_a_complete_table_is_not_resumed(tmp_path: Path) -> None:
    out = tmp_path / "results.csv"
    out.write_text("a table")
    with pytest.raises(ResultsError, match="is complete: choose another file"):
        journal_of(out, resume=True)


def test_a_journal_that_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    out = tmp_path / "results.jsonl"
    assert sweep.main([*FOUR, "--out", str(out)]) == 2
    assert f"error: cannot write {out}: No space left on device" in capsys.readouterr().err
    assert out.read_bytes() == b""


def test_a_disk_that_fills_up_within_a_line(tmp_path: Path) -> None:
    """An incomplete line is removed, so that the next one is written after complete lines."""
    out = tmp_path / "results.jsonl"
    journal, (first, *others) = Journal(out), expected()
    journal.add([first])
    whole, limits = out.read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(whole) + 9, limits[1]))
    try:
        with pytest.raises(ResultsError, match=f"cannot write {out}: No space left on device"):
            journal.add(others)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert out.read_bytes() == whole
    journal.add(others)
    assert list(read_journal(out)[0].values()) == expected()


def test_an_existing_file_is_not_changed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "results.csv"
    out.write_text("mine")
    with pytest.raises(SystemExit) as raised:
        sweep.main([*FOUR, "--out", str(out)])
    assert raised.value.code == 2
    assert "exists: pass --resume to continue it" in capsys.readouterr().err
    assert out.read_text() == "mine"


@pytest.mark.parametrize("line", ["[]", "{}", "x", '{"recipe": {"seed": -1}}', '{"recipe": 3}'])
def test_a_foreign_file_is_not_resumed(line: str, tmp_path: Path) -> None:
    out = tmp_path / "results.jsonl"
    out.write_text(line + "\n")
    with pytest.raises(ResultsError, match=r"results.jsonl, line 1: not a result"):
        Journal(out, resume=True)
    assert out.read_text() == line + "\n"


def test_a_foreign_file_without_a_line_end_is_not_emptied(tmp_path: Path) -> None:
    out = tmp_path / "results.jsonl"
    out.write_text("mine")
    with pytest.raises(ResultsError, match=r"results.jsonl, line 1: not a result"):
        Journal(out, resume=True)
    assert out.read_text() == "mine"


@pytest.mark.parametrize("engine", ["compiled", "batched"])
def test_ctrl_c_and_resume(engine: str, tmp_path: Path) -> None:
    out = tmp_path / "results.jsonl"
    flags = ["--seeds", "0:3000", "--bits", "4", "--iterations", "500", "--engine", engine]
    process = Forked(sweep.main, [*flags, "--at-once", "8", "--out", str(out)])
    deadline = time.monotonic() + 60
    while not (out.exists() and out.read_text().count("\n") >= 8):
        assert time.monotonic() < deadline
        assert process.poll() is None, process.ended()
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    printed, errors = process.succeeded(130)
    # Where it took ten seconds to come so far, also how long it would go on.
    assert re.fullmatch(r"([\d,]+ networks are left: .*\n)?", errors)
    assert "of 3000; --resume continues" in printed
    assert 8 <= len(read_journal(out)[0]) < 3000
    seeds = [json.loads(line)["recipe"]["seed"] for line in out.read_text().splitlines()]
    assert len(set(seeds)) == len(seeds)


SEEDS = "--seeds must be a seed from 0 to 4294967295, or a range of them such as 0:1000, got "


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--seeds", "5:5"], SEEDS + "5:5"),
        (["--seeds", "x"], SEEDS + "x"),
        (["--seeds=-1"], SEEDS + "-1"),
        (["--seeds", "7:4294967297"], SEEDS + "7:4294967297"),
        (["--hidden", "0"], "--hidden must be an integer from 1 to 16384, got 0"),
        (["--count-every", "0"], "--count-every must be an integer of at least 1, got 0"),
        (["--at-once", "0"], "--at-once must be an integer of at least 1, got 0"),
        (["--checkpoint", "here"], "--checkpoint DIR needs --out FILE"),
        (["--checkpoint-every", "5"], "--checkpoint-every needs --checkpoint DIR"),
        (["--batch-size", "0"], "--batch-size must be an integer from 1 to 1048576, got 0"),
        (["--out", "results.txt"], "must end in one of .jsonl, .csv, .parquet"),
        (["--out", "nowhere/results.csv"], "nowhere"),
        (["--plot", "nowhere/plot.png"], "nowhere"),
        (["--engine", "compiled", "--device", "cuda"], "runs on the CPU, not on cuda"),
        (["--engine", "batched", "--bits", "13"], "takes bits of at most 12, got 13"),
        (["--engine", "batched", "--device", "nonsense"], "--device nonsense cannot be used"),
    ],
    ids=str,
)
def test_bad_input(
    flags: list[str], message: str, capsys: pytest.CaptureFixture[str], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as raised:
        sweep.main(["--iterations", "5", *flags])
    assert raised.value.code == 2
    assert message in capsys.readouterr().err


def test_parquet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="needs the extra parquet")
    out = tmp_path / "results.parquet"
    assert sweep.main([*FOUR, "--out", str(out)]) == 0
    table = parquet.read_table(out).to_pydict()
    assert table["seed"] == [seed for seed in (0, 1, 2, 7) for _ in range(3)]
    assert table["exact"] == [count for trained in expected() for count in trained.exact]


def test_parquet_without_its_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ResultsError, match="need pyarrow: pip install pyarrow"):
        journal_of(tmp_path / "results.parquet", resume=False)


def test_the_summary() -> None:
    def network(seed: int, exact: list[int], status: str = "finished", hidden: int = 16) -> Trained:
        recipe = Recipe(seed, hidden=hidden, iterations=20)
        return Trained(recipe, status, [10, 20][: len(exact)], exact, 9)  # type: ignore[arg-type]

    some = [network(0, [1, 9]), network(1, [9, 9]), network(2, [4], "diverged")]
    tables = summary([*some, network(0, [2, 2], hidden=3)])
    of_16, of_3 = tables.values()
    assert of_16 == [Row(10, 3, 1, 4, 1, 9), Row(20, 3, 2, 9, 0, 9)]
    assert of_3 == [Row(10, 1, 0, 2, 2, 9), Row(20, 1, 0, 2, 2, 9)]


def test_plot(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = tmp_path / "sweep.png"
    flags = ["--seeds", "0:3", "--hidden", "2", "6", "--bits", "3", "--iterations", "600"]
    assert sweep.main([*flags, "--count-every", "100", "--plot", str(picture)]) == 0
    assert picture.read_bytes().startswith(b"\x89PNG")
