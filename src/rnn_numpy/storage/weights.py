"""Weights on disk: U, W, V as safetensors, with strings about their origin as metadata.

Loading never runs code, and a file of another kind raises `WeightsError`.
"""

from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from safetensors import SafetensorError, safe_open

from rnn_numpy.elman_network.params import Params, check_params
from rnn_numpy.storage.atomic_files import WeightsError, write_bytes
from rnn_numpy.storage.tensors import as_safetensors, check_size, checksum


def made_by() -> str:
    """This package and its version, for the files it writes; a tree not installed knows none."""
    try:
        return f"rnn-bptt-reference {version('rnn-bptt-reference')}"
    except PackageNotFoundError:
        return "rnn-bptt-reference, version unknown"


def save_params(path: str | Path, params: Params, metadata: Mapping[str, str]) -> None:
    """Write U, W, V and the metadata, atomically: the file is whole or as it was before.

    Raises:
        ValueError: metadata named `checksum`, which this adds itself.
        WeightsError: the file cannot be written there.
    """
    if "checksum" in metadata:
        raise ValueError("metadata must not be named 'checksum': save_params adds that itself")
    write_bytes(path, as_safetensors(params._asdict(), metadata))


def load_params(path: str | Path) -> tuple[Params, dict[str, str]]:
    """Read U, W, V and the metadata, from either package's file.

    Raises:
        WeightsError: no such file, not safetensors, truncated, other tensors inside than U, W, V,
            or weights that `check_params` refuses.
    """
    try:
        check_size(path)
        with safe_open(path, framework="numpy") as file:
            names = sorted(file.keys())
            if names != ["U", "V", "W"]:
                raise WeightsError(f"{path} must hold U, V and W alone, got {names or 'nothing'}")
            params = Params(*(file.get_tensor(name) for name in Params._fields))
            metadata = dict(file.metadata() or {})
    except OSError as error:
        raise WeightsError(f"cannot read {path}: {error.strerror or error}") from error
    except SafetensorError as error:
        raise WeightsError(f"{path} is no safetensors file, or not all of one: {error}") from error
    try:
        # Not every file is one of ours, but one that is must be as it was written.
        wanted = metadata.pop("checksum", None)
        if wanted is not None and wanted != checksum(params._asdict(), metadata):
            raise ValueError("it is damaged: its checksum is wrong")
        check_params(params)
    except (TypeError, ValueError) as error:
        raise WeightsError(f"{path}: {error}") from error
    return params, metadata
