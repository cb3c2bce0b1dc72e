"""Checkpoints that are truncated, changed, foreign or malicious: refused, and not overwritten."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open

from rnn_numpy import train as numpy_train
from rnn_numpy.storage.weights import as_safetensors
from rnn_numpy.training.checkpoint import CheckpointError, read
from trainings import run

pytestmark = pytest.mark.unannotated
Capture = pytest.CaptureFixture[str]


@pytest.fixture
def kept(tmp_path: Path, capsys: Capture) -> Path:
    """A checkpoint."""
    file = tmp_path / "kept"
    assert run(file, capsys, "--log-every", "700")[0] == 0
    return file


def replaced(file: Path, state: dict[str, Any], **tensors: np.ndarray) -> None:
    """Change a checkpoint; its checksum is right afterwards."""
    with safe_open(file, framework="numpy") as content:
        arrays = {name: content.get_tensor(name) for name in content.keys()}  # noqa: SIM118
        metadata = content.metadata()
    del metadata["checksum"]
    metadata["state"] = json.dumps({**json.loads(metadata["state"]), **state})
    file.write_bytes(as_safetensors({**arrays, **tensors}, metadata))


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty", "foreign", "weights"])
def test_a_damaged_checkpoint_is_refused(damage: str, kept: Path, capsys: Capture) -> None:
    octets = bytearray(kept.read_bytes())
    flipped = octets.copy()
    flipped[-100] ^= 1
    if damage == "weights":
        assert numpy_train.main(["--iterations", "1", "--out", str(kept)]) == 0
        capsys.readouterr()
    else:
        damaged: dict[str, bytes | bytearray] = {
            "truncated": octets[: len(octets) // 2],
            "flipped": flipped,
            "empty": b"",
            "foreign": b"mine",
        }
        kept.write_bytes(damaged[damage])
    before = kept.read_bytes()
    code, out, err = run(kept, capsys, "--resume")
    assert (code, out) == (2, "")
    (line,) = err.splitlines()
    assert str(kept) in line
    assert "checkpoint" in line
    assert kept.read_bytes() == before


@pytest.mark.parametrize(
    ("name", "value"),
    [("steps", -1), ("steps", 701), ("steps", 1.5), ("steps", "5"), ("steps", None), ("log", [[]]),
     ("log", 3), ("log", [[1, "x", 1, 1, 1, None]]), ("log", [[1, float("nan"), 1, 1, 1, None]]),
     ("log", [[1, 1.0, 1, 1, 1, float("nan")]]), ("log", [[1, 1.0, -1, 1, 1, None]]),
     ("recipe", {}), ("recipe", {"hidden": 6}), ("recipe", {"dtype": "float32"}), ("more", 1)],
    ids=str,
)  # fmt: skip
def test_a_malicious_checkpoint(name: str, value: Any, kept: Path) -> None:
    """Its checksum is right."""
    with safe_open(kept, framework="numpy") as content:
        state = json.loads(content.metadata()["state"])
    changed = {**state[name], **value} if isinstance(value, dict) and value else value
    replaced(kept, {name: changed})
    with pytest.raises(CheckpointError, match="is damaged"):
        read(kept)


def test_checkpoints_hold_no_pickle_and_say_what_they_are(kept: Path) -> None:
    found = read(kept)
    assert (found.steps, found.engine, found.recipe.hidden) == (700, "compiled", 5)
    assert b"pickle" not in kept.read_bytes()
