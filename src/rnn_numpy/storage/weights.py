"""Weights and other named arrays as safetensors with a checksum: equal contents, equal bytes.

Strings about their origin are the metadata. Loading never runs code; a file of another kind raises
`WeightsError`.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from bptt_check.commands.atomic_files import WeightsError, write_bytes
from rnn_numpy.elman_network.params import Params, check_params

#: The largest network has 2^14 hidden units: 2 GiB in float64.
MOST_BYTES = 1 << 32


def as_safetensors(tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> bytes:
    """A file with these contents and their checksum: equal bytes for equal contents.

    The library alone writes metadata in arbitrary order.
    """
    checked = {**metadata, "checksum": checksum(tensors, metadata)}
    octets = save({name: np.ascontiguousarray(array) for name, array in tensors.items()}, checked)
    end = 8 + int.from_bytes(octets[:8], "little")
    header = json.loads(octets[8:end])
    header["__metadata__"] = checked
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the data stay aligned
    return len(text).to_bytes(8, "little") + text + octets[end:]


def checksum(tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> str:
    """SHA-256 of a file's contents: arrays with shapes and dtypes, and metadata."""
    digest = hashlib.sha256()
    for name, array in sorted(tensors.items()):
        digest.update(f"{name} {array.dtype} {array.shape}\0".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    for key, text in sorted(metadata.items()):
        digest.update(f"{key}\0{text}\0".encode())
    return digest.hexdigest()


def save_params(path: str | Path, params: Params, metadata: Mapping[str, str]) -> None:
    """Write U, W, V and the metadata, atomically: the file is complete or unchanged.

    Raises:
        ValueError: the metadata contain `checksum`, which this function adds.
        WeightsError: the file cannot be written.
    """
    if "checksum" in metadata:
        raise ValueError("metadata must not contain 'checksum': save_params adds it")
    write_bytes(path, as_safetensors(params._asdict(), metadata))


def load_params(path: str | Path, *, need_checksum: bool = False) -> tuple[Params, dict[str, str]]:
    """Read U, W, V and the metadata, from either package's file; it is not trusted.

    Raises:
        WeightsError: it cannot be read, is larger than that of the largest network, is no complete
            safetensors file, has other arrays than these or a wrong checksum (other programs write
            none), or `check_params` refuses the weights.
    """
    try:
        if os.path.getsize(path) > MOST_BYTES:
            raise WeightsError(f"{path} must have at most {MOST_BYTES >> 30} GiB: it is too large")
        with safe_open(path, framework="numpy") as file:
            found, wanted = sorted(file.keys()), sorted(Params._fields)
            if found != wanted:
                names = ", ".join(wanted)
                raise WeightsError(f"{path} must have the tensors {names}, got {found or 'none'}")
            params = Params(**{name: file.get_tensor(name) for name in wanted})
            metadata = dict(file.metadata() or {})
        stated = metadata.pop("checksum", None)
        right = checksum(params._asdict(), metadata)
        if stated != right and (need_checksum or stated is not None):
            raise WeightsError(f"{path}: it is damaged, its checksum is wrong")
    except OSError as error:
        raise WeightsError(f"cannot read {path}: {error.strerror or error}") from error
    except (SafetensorError, TypeError, AttributeError) as error:
        raise WeightsError(f"{path} is not a complete safetensors file: {error}") from error
    try:
        check_params(params)
    except (TypeError, ValueError) as error:
        raise WeightsError(f"{path}: {error}") from error
    return params, metadata
