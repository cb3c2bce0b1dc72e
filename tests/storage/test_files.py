"""Weight files: complete or absent, readable by both packages, bad ones refused in a sentence."""

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save

from bptt_check.commands.atomic_files import WeightsError, check_writable
from problems import Problem, generated, problem
from rnn_numpy.storage.weights import load_params, save_params

params = problem(0, 1, 1, 2, 3, 1).params
pytestmark = pytest.mark.unannotated


@given(generated, st.dictionaries(st.text().filter(lambda key: key != "checksum"), st.text()))
def test_round_trip(
    tmp_path_factory: pytest.TempPathFactory, problem: Problem, says: dict[str, str]
) -> None:
    file = tmp_path_factory.mktemp("files") / "w.safetensors"
    params = problem.params._replace(W=problem.params.W.T)  # a view
    save_params(file, params, says)
    back, metadata = load_params(file)
    assert metadata == says
    for one, other in zip(back, params, strict=True):
        np.testing.assert_array_equal(one, other, strict=True)


def test_a_changed_bit_is_noticed(tmp_path: Path) -> None:
    file = tmp_path / "w.safetensors"
    save_params(file, params, {"made_by": "a test"})
    octets = bytearray(file.read_bytes())
    octets[-3] ^= 1
    file.write_bytes(octets)
    with pytest.raises(WeightsError, match=r"w.safetensors: it is damaged, its checksum is wrong"):
        load_params(file)
    with pytest.raises(ValueError, match="metadata must not contain 'checksum'"):
        save_params(file, params, {"checksum": "0"})


def test_a_file_of_another_program_needs_no_checksum(tmp_path: Path) -> None:
    file = tmp_path / "w.safetensors"
    file.write_bytes(save(params._asdict()))
    assert load_params(file)[1] == {}


def test_a_file_too_large_is_not_read(tmp_path: Path) -> None:
    file = tmp_path / "w.safetensors"
    with file.open("wb") as sparse:
        sparse.truncate((1 << 32) + 1)
    with pytest.raises(WeightsError, match="must have at most 4 GiB"):
        load_params(file)


def test_an_old_file_survives_a_failed_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "w.safetensors"
    save_params(file, params, {})
    before = file.read_bytes()

    def broken(*_: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "replace", broken)
    with pytest.raises(WeightsError, match=r"cannot write .*w.safetensors: Input/output error"):
        save_params(file, params._replace(U=params.U + 1), {})
    assert file.read_bytes() == before
    assert os.listdir(tmp_path) == ["w.safetensors"]


def test_permissions_and_links_are_kept(tmp_path: Path) -> None:
    target, link = tmp_path / "w.safetensors", tmp_path / "latest.safetensors"
    target.write_text("older")
    link.symlink_to(target)
    before = os.umask(0o027)
    try:
        save_params(link, params, {})
    finally:
        os.umask(before)
    assert link.is_symlink()
    assert target.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot read .*No such file"),
        (b"", "is not a complete safetensors file"),
        (b"PK\x03\x04 not a weights file at all", "is not a complete safetensors file"),
        (b"\xff" * 64, "is not a complete safetensors file"),
        (save(params._asdict())[:-1], "not a complete safetensors file"),
        (save(params._asdict())[:40], "not a complete safetensors file"),
        (save({}), "must have the tensors U, V, W, got none"),
        (save({"U": params.U, "W": params.W}), r"must have the tensors U, V, W, got \['U', 'W'\]"),
        (save({**params._asdict(), "b": params.V}), "must have the tensors U, V, W"),
        (save({**params._asdict(), "U": params.U.T.copy()}), r"U must be \(n_in, hidden=3\)"),
        (save({**params._asdict(), "V": params.V.astype(np.float16)}), "V must be a float32 or"),
        (save({**params._asdict(), "V": params.V.astype(np.float32)}), "V must be float64 like"),
        (save({**params._asdict(), "W": params.W * np.nan}), "W must be finite, got nan"),
    ],
)
def test_bad_files(content: bytes | None, message: str, tmp_path: Path) -> None:
    file = tmp_path / "w.safetensors"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(WeightsError, match=message) as error:
        load_params(file)
    assert str(file) in str(error.value)


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="cannot read"):
        load_params(tmp_path)
    with pytest.raises(WeightsError, match="it is a folder"):
        check_writable(tmp_path)
    with pytest.raises(WeightsError, match="it is a folder"):
        save_params(tmp_path, params, {})
