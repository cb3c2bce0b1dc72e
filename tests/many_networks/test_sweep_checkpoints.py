"""Checkpoints of a sweep's networks, resumed one by one and in batches."""

import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from forked import Forked
from rnn_numpy.storage.checkpoint_folder import CheckpointError, pack, unpack
from rnn_numpy.tasks import addition
from rnn_numpy.training import recipe as recipes
from rnn_numpy.training.many_networks import Keep, Stopped, train
from rnn_numpy.training.processes import Processes
from rnn_numpy.training.recipe import Recipe
from rnn_torch import sweep
from rnn_torch.many_networks import stack_schedule
from rnn_torch.many_networks.grid import Grid
from rnn_torch.many_networks.journal import read_journal
from rnn_torch.many_networks.stack import begin, train_batch
from rnn_torch.many_networks.stack import results as results_of
from rnn_torch.many_networks.stack_schedule import folder_of, load_batch, shared_out, train_batches

pytestmark = pytest.mark.unannotated

BATCH = tuple(Recipe(seed, 4, 5, 700, 0.2) for seed in range(3))


def stopped_in_a_batch(keep: Keep) -> Path:
    """Train a batch and stop it between two counts; returns the folder of its checkpoints."""
    asked = iter(range(1000))
    assert not any(train_batches([BATCH], 300, "cpu", keep=keep, stop=lambda: next(asked) == 4))
    return folder_of(keep.path, BATCH)


def test_a_batch_resumes_bit_for_bit(tmp_path: Path) -> None:
    folder = stopped_in_a_batch(Keep(tmp_path, 280))
    kept = [file.stem[-3:] for file in sorted(folder.glob("step-*"))]
    assert kept == ["280", "550"]
    whole = begin(BATCH)
    for _ in train_batch(whole, 300):
        pass
    resumed, about = load_batch(max(folder.glob("step-*")), "cpu")
    assert (resumed.steps, len(resumed.counts), about["count_every"]) == (550, 1, 300)
    for _ in train_batch(resumed, 300):
        pass
    assert results_of(resumed, 300) == results_of(whole, 300)
    assert resumed.recipes == whole.recipes
    for one, other in zip(resumed.weights, whole.weights, strict=True):
        assert one.numpy().tobytes() == other.numpy().tobytes()


def test_the_checkpoints_of_a_batch_are_used_or_refused(tmp_path: Path) -> None:
    keep = Keep(tmp_path, 280)
    whole = list(train_batches([BATCH], 300, "cpu"))
    newest = max(stopped_in_a_batch(keep).glob("step-*"))
    with pytest.raises(CheckpointError, match="holds a run with count_every 300, not 200"):
        next(train_batches([BATCH], 200, "cpu", keep=keep))
    with pytest.raises(CheckpointError, match="holds a run with device cpu, not meta"):
        next(train_batches([BATCH], 300, "meta", keep=keep))
    newest.write_bytes(newest.read_bytes()[:-1])
    said: list[str] = []
    done: list[float] = []
    resumed = train_batches(
        [BATCH],
        300,
        "cpu",
        keep=keep,
        say=said.append,
        on_progress=done.append,
        on_resumed=done.append,
    )
    assert list(resumed) == whole
    assert len(said) == 1
    assert done[0] == pytest.approx(3 * 280 / 700)
    assert sum(done) == pytest.approx(3)
    assert not any(tmp_path.iterdir())


class Ranks(Processes):
    """The first of two processes; the other one finds the same checkpoints."""

    world = 2

    def gather(self, mine: Any) -> list[Any]:
        return [mine, mine]


def test_a_resumed_batch_is_not_divided(tmp_path: Path) -> None:
    keep = Keep(tmp_path, 280)
    folder = stopped_in_a_batch(keep)
    others = [Recipe(seed, 4, 5, 700, 0.2) for seed in range(10, 15)]
    all_of_them = Grid(BATCH, [range(3), range(10, 15)])
    assert list(all_of_them) == [*BATCH, *others]
    first, second = Ranks(), Ranks()
    second.rank = 1
    for written in (set(), set(BATCH[:2])):  # none of the batch, or some
        shares = [shared_out(all_of_them, written, 2, keep, ranks) for ranks in (first, second)]
        assert list(map(list, shares)) == [
            [BATCH, (others[0], others[2]), (others[4],)],
            [(others[1], others[3])],
        ]
    # Those of other sweeps stay; of this one, what is complete goes.
    shared_out(Grid(BATCH, [range(10, 15)]), set(), 2, keep, first)
    assert folder.exists()
    shared_out(all_of_them, set(BATCH), 2, keep, first)
    assert not folder.exists()


def test_a_sweep_killed_while_a_batch_was_written(tmp_path: Path) -> None:
    out, keep = tmp_path / "out.jsonl", Keep(tmp_path / "folder", 280)
    flags = ["--bits", "4", "--hidden", "5", "--iterations", "700", "--learning-rate", "0.2",
             "--count-every", "300", "--engine", "batched", "--out", str(out)]  # fmt: skip
    assert sweep.main(["--seeds", "0", *flags]) == 0
    stopped_in_a_batch(keep)
    more = ["--checkpoint", str(keep.path), "--checkpoint-every", "280", "--resume"]
    assert sweep.main(["--seeds", "0:3", *flags, *more]) == 0
    assert list(read_journal(out)[0].values()) == list(train_batches([BATCH], 300, "cpu"))
    assert not any(keep.path.iterdir())


@pytest.mark.parametrize(
    "name",
    [
        "more counts",
        "fewer counts",
        "about",
        "U",
        "keys",
        "counts",
        "recipes",
        "generators",
        "steps",
    ],
)
def test_a_malicious_batch_checkpoint(name: str, tmp_path: Path) -> None:
    """A checkpoint with a right checksum and wrong contents."""
    file = max(stopped_in_a_batch(Keep(tmp_path, 280)).glob("step-*"))
    arrays, state = unpack(stack_schedule.FORMAT, ["U", "V", "W", "keys", "counts"], file)
    if name == "more counts":
        arrays["counts"] = np.repeat(arrays["counts"], 9, axis=0)
    elif name == "fewer counts":
        arrays["counts"] = arrays["counts"][:0]
    elif name == "about":
        state["about"]["count_every"] = 0
    elif name in arrays:
        arrays[name] = arrays[name][..., :-1]
    else:
        state[name] = -1 if name == "steps" else state[name][:-1]
    file.write_bytes(pack(stack_schedule.FORMAT, arrays, state))
    with pytest.raises(CheckpointError, match="is damaged"):
        load_batch(file, "cpu")


@pytest.mark.parametrize("engine", ["compiled", "numpy"])
def test_a_network_in_training_is_kept_and_resumed(
    engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = Recipe(3, 5, 7, 900)
    keep, asked, drawn = Keep(tmp_path, 50), [0], [0]
    whole = train(recipe, 200, engine)

    def stop() -> bool:
        asked[0] += 1
        return asked[0] == 13  # before the 13th part of a run: in the middle, between two counts

    with pytest.raises(Stopped):
        train(recipe, 200, engine, keep=keep, stop=stop)
    assert len(list(keep.folder(recipe).glob("step-*"))) == 2

    draw = addition.draw_pairs

    def counting(*arguments: Any) -> Any:
        drawn[0] += 1
        return draw(*arguments)

    monkeypatch.setattr(recipes, "draw_pairs", counting)
    with pytest.raises(CheckpointError, match="holds a run counted after other steps"):
        train(recipe, 100, engine, keep=keep)
    said: list[str] = []
    newest = max(keep.folder(recipe).glob("step-*"))
    newest.write_bytes(newest.read_bytes()[:-1])
    assert train(recipe, 200, engine, keep=keep, say=said.append) == whole
    assert 0 < drawn[0] < 18  # parts of 50 steps
    assert len(said) == 1
    keep.forget(recipe)
    keep.forget(recipe)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(("engine", "steps"), [("numpy", "6000"), ("batched", "1000")])
def test_a_sweep_killed_while_a_network_is_trained(
    engine: str, steps: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Then it is stopped by SIGTERM, with `--checkpoint` both times."""
    out, whole, folder = tmp_path / "out.jsonl", tmp_path / "whole.jsonl", tmp_path / "folder"
    flags = ["--seeds", "0:2", "--iterations", steps, "--engine", engine, "--count-every",
             "10000"]  # fmt: skip
    assert sweep.main([*flags, "--out", str(whole)]) == 0
    kept = [*flags, "--out", str(out), "--checkpoint", str(folder), "--checkpoint-every", "100"]
    for number, code in ((signal.SIGKILL, -signal.SIGKILL), (signal.SIGTERM, 143)):
        before = {file.name for file in folder.glob("*/step-*")}
        process = Forked(sweep.main, [*kept, "--resume"])
        while {file.name for file in folder.glob("*/step-*")} <= before:
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(number)
        process.succeeded(code)
        assert any(folder.glob("*/step-*"))
    with pytest.raises(SystemExit):
        sweep.main([*kept[:-4], "--checkpoint", str(folder)])
    assert "exists: pass --resume to continue it" in capsys.readouterr().err
    assert sweep.main([*kept, "--resume"]) == 0
    lines = [sorted(file.read_text().splitlines()) for file in (out, whole)]
    assert lines[0] == lines[1]
    assert not any(folder.iterdir())
