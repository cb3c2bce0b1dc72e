"""python -m rnn_torch.sweep: flags, output, exit codes, files, shares of several processes."""

import json
import os
import resource
import signal
import time
from collections.abc import Iterable, Iterator
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from commands import Capture, bad
from forked import Forked
from profiles import NIGHTLY
from rnn_numpy import train as numpy_train
from rnn_numpy.commands.sweep_report import summary
from rnn_numpy.training.many import Results, ResultsError, Trained, as_line, read_line, train
from rnn_numpy.training.recipe import Recipe
from rnn_torch import sweep
from rnn_torch import train as torch_train

pytestmark = pytest.mark.unannotated
SMALL = ["--bits", "4", "--hidden", "6", "--iterations", "600", "--count-every", "200"]
FOUR = ["--seeds", "0:3", "7", *SMALL]
SETTING = Recipe(0, 4, 6, 600)


@cache
def expected() -> list[Trained]:
    return [train(Recipe(seed, 4, 6, 600), 200, "numpy") for seed in (0, 1, 2, 7)]


def results(path: Path, *, resume: bool = True) -> Results:
    return Results(path, [SETTING], 200, resume=resume)


def lines_of(file: Path) -> list[Trained]:
    return [read_line(line) for line in file.read_bytes().splitlines()]


@pytest.mark.parametrize("engine", ["compiled", "numpy"])
def test_every_engine_gives_the_same_table_and_lines(
    engine: str, tmp_path: Path, capsys: Capture
) -> None:
    out = tmp_path / "results.jsonl"
    assert sweep.main([*FOUR, "--engine", engine, "--out", str(out)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "4 bits, 6 hidden units, learning rate 0.1, float64: exact sums of 64"
    assert [line.split()[0] for line in lines[1:5]] == ["step", "200", "400", "600"]
    assert lines[-1] == f"4 networks; engine: {engine}"
    assert lines_of(out) == expected()
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.parametrize("hidden", ["96", "97"])
def test_the_engine_is_that_of_train(hidden: str, capsys: Capture) -> None:
    flags = ["--hidden", hidden, "--bits", "2", "--iterations", "1", "--json"]
    chosen = []
    for main, more in (
        (numpy_train.main, []),
        (sweep.main, ["--seeds", "0"]),
        (torch_train.main, []),
    ):
        main([*flags, *more])
        chosen.append(json.loads(capsys.readouterr().out)["engine"])
    assert chosen == (["compiled"] * 3 if hidden == "96" else ["numpy", "numpy", "fused"])


def test_json_and_every_combination(capsys: Capture) -> None:
    flags = ["--seeds", "0:2", "--hidden", "2", "3", "2", "--learning-rate", "0.1", "0.2"]
    assert sweep.main([*flags, "--bits", "3", "--iterations", "20", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["networks"], document["wanted"], document["diverged"]) == (8, 8, 0)
    settings = [
        (s["setting"]["hidden"], s["setting"]["learning_rate"]) for s in document["settings"]
    ]
    assert settings == [(2, 0.1), (2, 0.2), (3, 0.1), (3, 0.2)]
    assert [row["step"] for row in document["settings"][0]["rows"]] == [20]
    assert document["settings"][0]["rows"][0]["networks"] == 2


def counting(monkeypatch: pytest.MonkeyPatch, most: int | None = None) -> list[int]:
    """The seeds that `sweep` trains from now on; it is stopped after `most` networks."""
    seeds: list[int] = []

    def trained(recipes: Iterable[Recipe], *_: object, **__: object) -> Iterator[Trained]:
        for recipe in islice(recipes, most):
            seeds.append(recipe.seed)
            yield train(recipe, 200, "numpy")

    monkeypatch.setattr(sweep, "train_many", trained)
    return seeds


def test_resuming_trains_only_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    """Also what was cut off when the process was killed while it wrote."""
    out = tmp_path / "results.jsonl"
    assert sweep.main([*FOUR, "--out", str(out)]) == 0
    whole = out.read_bytes()
    *_, last = whole.splitlines(keepends=True)
    trained = counting(monkeypatch)
    for cut in (1, 20, len(last) // 2, len(last) - 1, len(last)):
        out.write_bytes(whole[:-cut])
        assert sweep.main([*FOUR, "--out", str(out), "--resume"]) == 0
        assert out.read_bytes() == whole
        assert trained == [7]
        trained.clear()
    assert sweep.main([*FOUR, "--out", str(out), "--resume"]) == 0
    assert trained == []


def test_a_sweep_of_a_billion_networks_starts_and_resumes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    """It runs to the third network, and resumes from there."""
    monkeypatch.chdir(tmp_path)
    begun = counting(monkeypatch, most=3)
    flags = ["--seeds", "5", "0:999999999", *SMALL, "--out", "results.jsonl"]
    assert sweep.main(flags) == 130
    assert "3 networks of 999999999; --resume continues" in capsys.readouterr().out
    assert sweep.main([*flags, "--resume"]) == 130
    assert "6 networks of 999999999; --resume continues" in capsys.readouterr().out
    assert begun == [0, 1, 2, 3, 4, 5]


ranges = st.builds(lambda first, length: range(first, first + length), st.integers(0, 12),
                   st.integers(1, 6))  # fmt: skip


@given(seeds=st.lists(ranges, min_size=1, max_size=5), world=st.integers(1, 7))
def test_each_seed_is_in_one_share(seeds: list[range], world: int) -> None:
    shares = [
        [seed for some in sweep.share(seeds, rank, world) for seed in some] for rank in range(world)
    ]
    wanted = sorted(set().union(*seeds))
    assert sorted(seed for mine in shares for seed in mine) == wanted
    assert {len(mine) - len(wanted) // world for mine in shares} <= {0, 1}


@pytest.mark.parametrize(
    ("number", "count"), [("RANK", "WORLD_SIZE"), ("SLURM_PROCID", "SLURM_NTASKS")]
)
def test_each_process_writes_its_share(
    number: str, count: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    """The files of all, joined, are the file of a sweep in one process."""
    whole, out = tmp_path / "whole.jsonl", tmp_path / "out.jsonl"
    assert sweep.main([*FOUR, "--out", str(whole)]) == 0
    table = capsys.readouterr().out
    for rank in range(3):
        with monkeypatch.context() as changed:
            changed.setenv(number, str(rank))
            changed.setenv(count, "3")
            assert sweep.main([*FOUR, "--out", str(out)]) == 0
            networks = 2 if rank == 0 else 1
            said = f"process {rank} of 3: {networks} networks; engine: compiled\n"
            assert capsys.readouterr().out == said
            with pytest.raises(SystemExit):
                sweep.main([*FOUR, "--out", str(out)])
            assert f"out.jsonl.{rank} exists" in capsys.readouterr().err
    parts = [tmp_path / f"out.jsonl.{rank}" for rank in range(3)]
    out.write_bytes(b"".join(part.read_bytes() for part in parts))
    assert sweep.main([*FOUR, "--out", str(out), "--resume"]) == 0
    assert capsys.readouterr().out == table
    assert out.read_bytes() == whole.read_bytes()


def test_several_processes_need_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert "needs --out FILE" in bad(sweep.main, FOUR, capsys)
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert "RANK must be" in bad(sweep.main, FOUR, capsys)
    for main in (numpy_train.main, torch_train.main):
        monkeypatch.setenv("WORLD_SIZE", "2")
        assert "one training runs in one process" in bad(main, [], capsys)


def test_a_disk_that_fills_up_within_a_line(tmp_path: Path) -> None:
    """An incomplete line is removed, so that the next one is written after complete lines."""
    out = tmp_path / "results.jsonl"
    (first, second, *_), kept = expected(), results(out)
    kept.add(first)
    whole, limits = out.read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(whole) + 9, limits[1]))
    try:
        with pytest.raises(ResultsError, match=f"cannot write {out}: No space left on device"):
            kept.add(second)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert out.read_bytes() == whole
    kept.add(second)
    assert lines_of(out) == [first, second]


def test_results_that_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    out = tmp_path / "results.jsonl"
    assert sweep.main([*FOUR, "--out", str(out)]) == 2
    assert f"error: cannot write {out}: No space left on device" in capsys.readouterr().err
    assert out.read_bytes() == b""


def changed(result: Trained, **fields: Any) -> bytes:
    """The line of a result with other fields, and a right checksum."""
    return as_line({**vars(result), "recipe": vars(result.recipe), **fields})


def foreign() -> dict[str, bytes]:
    """What is no file of this sweep: other files, damaged lines, other sweeps, other versions."""
    first = expected()[0]
    line, recipe = as_line({**vars(first), "recipe": vars(first.recipe)}), vars(first.recipe)
    return {
        "other JSON": b"[]\n",
        "an empty object": b"{}\n",
        "text": b"x\n",
        "text without a line end": b"mine",
        "the beginning of other JSON": b'{"mine": 3',
        "one digit": line.replace(b'"exact": [', b'"exact": [1', 1),
        "a line cut off before another": line[:-9] + b"\n" + line,
        "an empty line": line + b"\n",
        "another version": line.replace(b"sweep 2", b"sweep 3"),
        "the version before": b'{"recipe": {"seed": 0, "bits": 4}, "status": "finished"}\n',
        "other units": changed(first, recipe={**recipe, "hidden": 7}),
        "another rate": changed(first, recipe={**recipe, "learning_rate": 0.2}),
        "no recipe": changed(first, recipe={**recipe, "seed": -1}),
        "other counts": changed(first, steps=[100, 200, 300]),
        "fewer counts": changed(first, exact=[1]),
        "no status": changed(first, status="well"),
        "counts that are none": changed(first, exact=["1", "2", "3"]),
    }


@pytest.mark.parametrize("name", foreign())
def test_a_damaged_or_foreign_file_is_refused_and_not_changed(
    name: str, tmp_path: Path, capsys: Capture
) -> None:
    out, octets = tmp_path / "results.jsonl", foreign()[name]
    out.write_bytes(octets)
    said = bad(sweep.main, [*FOUR, "--out", str(out), "--resume"], capsys)
    assert "results.jsonl, line " in said
    assert "not a result of this sweep" in said
    assert out.read_bytes() == octets


def test_two_sweeps_do_not_write_one_file(tmp_path: Path) -> None:
    out = tmp_path / "results.jsonl"
    first = results(out)
    with pytest.raises(ResultsError, match="is in use by another sweep"):
        results(out)
    assert first.trained == {}


def test_ctrl_c_and_resume(tmp_path: Path) -> None:
    out = tmp_path / "results.jsonl"
    flags = ["--seeds", "0:3000", "--bits", "4", "--iterations", "500", "--out", str(out)]
    process = Forked(sweep.main, flags)
    wait_for_lines(out, 8, process)
    process.send_signal(signal.SIGINT)
    printed, errors = process.succeeded(130)
    assert errors == ""
    assert "of 3000; --resume continues" in printed
    found = lines_of(out)
    assert 8 <= len(found) < 3000
    assert len({each.recipe for each in found}) == len(found)


def wait_for_lines(out: Path, count: int, process: Forked) -> None:
    deadline = time.monotonic() + 60
    while not (out.exists() and out.read_bytes().count(b"\n") >= count):
        assert time.monotonic() < deadline
        assert process.poll() is None, process.ended()
        time.sleep(0.002)


def test_kill_9(tmp_path: Path) -> None:
    """No finished network is lost, and the complete file is that of a sweep without kills."""
    whole, out = tmp_path / "whole.jsonl", tmp_path / "out.jsonl"
    kills = 100 if NIGHTLY else 3
    flags = ["--seeds", f"0:{kills * 20}", "--iterations", "1000", "--count-every", "500", "--out"]
    Forked(sweep.main, [*flags, str(whole)]).succeeded()
    rng, before = np.random.default_rng(0), b""
    for _ in range(kills):
        process = Forked(sweep.main, [*flags, str(out), "--resume"])
        wait_for_lines(out, before.count(b"\n") + 1, process)
        time.sleep(rng.uniform(0, 0.03))
        process.send_signal(signal.SIGKILL)
        assert process.ended()[0] == -signal.SIGKILL
        finished = before[: before.rfind(b"\n") + 1]
        before = out.read_bytes()
        assert before.startswith(finished)
    Forked(sweep.main, [*flags, str(out), "--resume"]).succeeded()
    assert out.read_bytes() == whole.read_bytes()
    assert {file.name for file in tmp_path.iterdir()} == {"whole.jsonl", "out.jsonl"}


def test_the_summary() -> None:
    def network(seed: int, exact: list[int], status: str = "finished", hidden: int = 16) -> Trained:
        recipe = Recipe(seed, hidden=hidden, iterations=20)
        return Trained(recipe, status, [10, 20][: len(exact)], exact, 9)  # type: ignore[arg-type]

    some = [network(0, [1, 9]), network(1, [9, 9]), network(2, [4], "diverged")]
    of_16, of_3 = (table["rows"] for table in summary([*some, network(0, [2, 2], hidden=3)]))
    assert [list(row.values()) for row in of_16] == [[10, 3, 1, 4, 1, 9], [20, 3, 2, 9, 0, 9]]
    assert [list(row.values()) for row in of_3] == [[10, 1, 0, 2, 2, 9], [20, 1, 0, 2, 2, 9]]


def test_networks_that_all_diverge(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    def diverging(recipes: Iterable[Recipe], *_: object, **__: object) -> Iterator[Trained]:
        return (Trained(recipe, "diverged", [], [], 0) for recipe in recipes)

    monkeypatch.setattr(sweep, "train_many", diverging)
    assert sweep.main(FOUR) == 0
    assert "4 networks, 4 diverged" in capsys.readouterr().out
