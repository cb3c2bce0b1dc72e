"""Read and write weights: U, W, V as safetensors, with strings about their origin as metadata.

Loading never runs code; a file of another kind raises `WeightsError`.
"""

from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open

from bptt_check.commands.atomic_files import WeightsError, write_bytes
from rnn_numpy.elman_network.params import Params, check_params
from rnn_numpy.storage.tensors import as_safetensors, check_size, checksum


def save_params(path: str | Path, params: Params, metadata: Mapping[str, str]) -> None:
    """Write U, W, V and the metadata, atomically: the file is complete or unchanged.

    Raises:
        ValueError: the metadata contain `checksum`, which this function adds.
        WeightsError: the file cannot be written.
    """
    if "checksum" in metadata:
        raise ValueError("metadata must not contain 'checksum': save_params adds it")
    write_bytes(path, as_safetensors(params._asdict(), metadata))


def load_params(path: str | Path) -> tuple[Params, dict[str, str]]:
    """Read U, W, V and the metadata, from either package's file.

    Raises:
        WeightsError: the file does not exist, is not safetensors, is truncated, has other tensors
            than U, W, V, or has weights that `check_params` refuses.
    """
    try:
        check_size(path)
        with safe_open(path, framework="numpy") as file:
            names = sorted(file.keys())
            if names != ["U", "V", "W"]:
                raise WeightsError(f"{path} must have the tensors U, V, W, got {names or 'none'}")
            params = Params(*(file.get_tensor(name) for name in Params._fields))
            metadata = dict(file.metadata() or {})
    except OSError as error:
        raise WeightsError(f"cannot read {path}: {error.strerror or error}") from error
    except SafetensorError as error:
        raise WeightsError(f"{path} is not a complete safetensors file: {error}") from error
    try:
        # Other programs write no checksum; a file with one must match it.
        wanted = metadata.pop("checksum", None)
        if wanted is not None and wanted != checksum(params._asdict(), metadata):
            raise ValueError("it is damaged, its checksum is wrong")
        check_params(params)
    except (TypeError, ValueError) as error:
        raise WeightsError(f"{path}: {error}") from error
    return params, metadata
