"""Read and write weights: U, W, V as safetensors, with strings about their origin as metadata.

Loading never runs code; a file of another kind raises `WeightsError`.
"""

from collections.abc import Mapping
from pathlib import Path

from bptt_check.commands.atomic_files import WeightsError, write_bytes
from rnn_numpy.elman_network.params import Params, check_params
from rnn_numpy.storage.tensors import as_safetensors, read_safetensors


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
        WeightsError: as `read_safetensors`, or `check_params` refuses the weights.
    """
    tensors, metadata = read_safetensors(path, Params._fields)
    metadata.pop("checksum", None)
    params = Params(**tensors)
    try:
        check_params(params)
    except (TypeError, ValueError) as error:
        raise WeightsError(f"{path}: {error}") from error
    return params, metadata
