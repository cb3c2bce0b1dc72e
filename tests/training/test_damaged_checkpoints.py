"""Checkpoints that are truncated, changed, foreign or malicious."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnn_numpy import train as numpy_train
from rnn_numpy.storage.checkpoint_folder import CheckpointError, pack, unpack
from rnn_numpy.training.checkpoints import FORMAT, load_checkpoint
from trainings import bytes_of, checkpoints, run

pytestmark = pytest.mark.unannotated
Capture = pytest.CaptureFixture[str]


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty", "foreign", "a folder"])
def test_a_damaged_checkpoint_falls_back_to_the_one_before(
    damage: str, tmp_path: Path, capsys: Capture
) -> None:
    whole, resumed = tmp_path / "whole", tmp_path / "resumed"
    folder = tmp_path / "folder"
    assert run(folder, capsys, "--checkpoint-every", "300", "--out", str(whole))[0] == 0
    assert len(checkpoints(folder)) == 2
    newest = folder / checkpoints(folder)[-1]
    octets = bytearray(newest.read_bytes())
    if damage == "truncated":
        newest.write_bytes(octets[: len(octets) // 2])
    elif damage == "flipped":
        octets[-100] ^= 1
        newest.write_bytes(octets)
    elif damage == "empty":
        newest.write_bytes(b"")
    elif damage == "foreign":
        newest.write_bytes(whole.read_bytes())
    else:
        newest.unlink()
        newest.mkdir()
    code, out, err = run(folder, capsys, "--resume", "--out", str(resumed))
    assert code == (2 if damage == "a folder" else 0)  # that one cannot be replaced in the end
    assert "; using the previous one" in err
    assert "continuing from step 600" in out
    assert bytes_of(whole) == bytes_of(resumed)


def test_no_undamaged_checkpoint(tmp_path: Path, capsys: Capture) -> None:
    assert run(tmp_path, capsys)[0] == 0
    for file in tmp_path.glob("step-*"):
        file.write_bytes(b"x")
    code, _, err = run(tmp_path, capsys, "--resume")
    assert code == 2
    assert "has no undamaged checkpoint" in err


@settings(max_examples=300)
@given(data=st.data())
def test_mutated_checkpoints_are_refused(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Any change gives one error message, or the same checkpoint if it is changed back."""
    folder = tmp_path_factory.getbasetemp() / "mutated"
    if not folder.exists():
        assert numpy_train.main(["--iterations", "20", "--hidden", "2", "--bits", "2", "--json",
                                 "--checkpoint", str(folder)]) == 0  # fmt: skip
    file = next(folder.glob("step-*"))
    octets = file.read_bytes()
    at = data.draw(st.integers(0, len(octets) - 1))
    kind = data.draw(st.sampled_from(["flip", "cut", "insert", "overwrite", "swap"]))
    some = data.draw(st.binary(min_size=1, max_size=20))
    changed = {
        "flip": octets[:at] + bytes([octets[at] ^ some[0]]) + octets[at + 1 :],
        "cut": octets[:at],
        "insert": octets[:at] + some + octets[at:],
        "overwrite": octets[:at] + some + octets[at + len(some) :],
        "swap": octets[at:] + octets[:at],
    }[kind]
    mutated = folder / "mutated"
    mutated.write_bytes(changed)
    if changed == octets:
        load_checkpoint(mutated)
    else:
        with pytest.raises(CheckpointError, match="mutated"):
            load_checkpoint(mutated)


@pytest.mark.parametrize(
    ("name", "value"),
    [("steps", -1), ("steps", 701), ("steps", 1.5), ("steps", "5"), ("steps", None), ("log", [[]]),
     ("log", 3), ("log", [[1, "x", 1, 1, 1, None]]), ("log", [[1, float("nan"), 1, 1, 1, None]]),
     ("log", [[1, 1.0, 1, 1, 1, float("nan")]]), ("log", [[1, 1.0, -1, 1, 1, None]]),
     ("counts", [1]), ("recipe", {}), ("recipe", {"hidden": 6}), ("recipe", {"dtype": "float32"}),
     ("generator", {}), ("generator", {"bit_generator": "PCG64"}),
     ("generator", {"state": {"pos": 10**8}}), ("generator", {"state": {"pos": -5}}),
     ("generator", {"state": {"pos": 0.5}}), ("generator", {"gauss": "x"})],
    ids=str,
)  # fmt: skip
def test_a_malicious_checkpoint(name: str, value: Any, tmp_path: Path, capsys: Capture) -> None:
    """Its checksum is right, but NumPy would read memory at an arbitrary generator position."""
    assert run(tmp_path, capsys, "--log-every", "700")[0] == 0
    file = tmp_path / checkpoints(tmp_path)[-1]
    arrays, state = unpack(FORMAT, ["U", "V", "W", "generator"], file)
    changed = {**state[name], **value} if isinstance(value, dict) and value else value
    file.write_bytes(pack(FORMAT, arrays, {**state, name: changed}))
    with pytest.raises(CheckpointError, match="is damaged"):
        load_checkpoint(file)


@pytest.mark.parametrize("words", [10, 625, 5000])
def test_a_generator_of_another_length(words: int, tmp_path: Path, capsys: Capture) -> None:
    """NumPy always copies 624 words, so a shorter key would give it other memory."""
    assert run(tmp_path, capsys, "--log-every", "700")[0] == 0
    file = tmp_path / checkpoints(tmp_path)[-1]
    arrays, state = unpack(FORMAT, ["U", "V", "W", "generator"], file)
    arrays["generator"] = np.resize(arrays["generator"], words)
    state["generator"]["state"]["pos"] = words
    file.write_bytes(pack(FORMAT, arrays, state))
    with pytest.raises(CheckpointError, match="is damaged"):
        load_checkpoint(file)


def test_checkpoints_hold_no_pickle_and_say_what_they_are(tmp_path: Path, capsys: Capture) -> None:
    assert run(tmp_path, capsys)[0] == 0
    found = load_checkpoint(tmp_path / checkpoints(tmp_path)[-1])
    assert (found.run.steps, found.engine, found.run.recipe.hidden) == (700, "compiled", 5)
    assert b"pickle" not in (tmp_path / checkpoints(tmp_path)[-1]).read_bytes()
