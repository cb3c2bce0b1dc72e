"""Named arrays and strings as safetensors with a checksum: equal contents, equal bytes."""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
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


def check_size(path: str | Path) -> None:
    """Raise WeightsError if a file is larger than that of the largest network.

    Raises:
        OSError: there is no such file.
    """
    if os.path.getsize(path) > MOST_BYTES:
        raise WeightsError(f"{path} must have at most {MOST_BYTES >> 30} GiB: it is too large")
