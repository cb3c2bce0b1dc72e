"""Named arrays and strings as safetensors with a checksum: equal contents, equal bytes."""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from bptt_check.commands.atomic_files import WeightsError

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


def read_safetensors(
    path: str | Path, names: Sequence[str]
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The arrays and the metadata of a file, which is not trusted; no code in it runs.

    Raises:
        WeightsError: it cannot be read, is larger than that of the largest network, is no complete
            safetensors file, or has other arrays than these or a wrong checksum. Other programs
            write no checksum.
    """
    try:
        if os.path.getsize(path) > MOST_BYTES:
            raise WeightsError(f"{path} must have at most {MOST_BYTES >> 30} GiB: it is too large")
        with safe_open(path, framework="numpy") as file:
            found, wanted = sorted(file.keys()), ", ".join(sorted(names))
            if found != sorted(names):
                raise WeightsError(f"{path} must have the tensors {wanted}, got {found or 'none'}")
            tensors = {name: file.get_tensor(name) for name in names}
            metadata = dict(file.metadata() or {})
    except OSError as error:
        raise WeightsError(f"cannot read {path}: {error.strerror or error}") from error
    except (SafetensorError, TypeError, AttributeError) as error:
        raise WeightsError(f"{path} is not a complete safetensors file: {error}") from error
    others = {key: text for key, text in metadata.items() if key != "checksum"}
    if metadata != others and metadata["checksum"] != checksum(tensors, others):
        raise WeightsError(f"{path}: it is damaged, its checksum is wrong")
    return tensors, metadata
