"""The same loaders under a fuzzer that sees which lines a file reaches (atheris).

    python -m benchmarks.trust.fuzz_coverage -runs=1000000

It ends at the first crash or hang; any flag of libFuzzer will do. An input is a file, or the state
within one, written with a checksum that is right: what only somebody who means it can write.
"""

import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["rnn_numpy", "rnn_torch", "safetensors", "json"]):
    from benchmarks.trust import fuzz
    from benchmarks.trust.mutations import contents, mended_safetensors
    from rnn_numpy.storage.tensors import as_safetensors


def main() -> None:
    """Fuzz until the flags say that it is enough."""
    folder = Path(tempfile.mkdtemp())
    kinds = fuzz.originals(folder)
    inputs: list[tuple[Path, bytes, Callable[[bytes], bytes], fuzz.Loader]] = []
    for name, kind in kinds.items():
        file = folder / f"input-{name}"
        inputs.append((file, kind.octets, bytes, kind.load))
        if kind.mend is mended_safetensors:
            inputs.append((file, *_state(kind.octets), kind.load))
        elif kind.mend is not None:
            inputs.append((file, kind.octets, kind.mend, kind.load))
    corpus = folder / "corpus"
    corpus.mkdir()
    for number, (_, octets, _, _) in enumerate(inputs):
        (corpus / str(number)).write_bytes(bytes([number]) + octets)

    def one(data: bytes) -> None:
        if data:
            file, _, write, load = inputs[data[0] % len(inputs)]
            file.write_bytes(write(data[1:]))
            load(file)

    os.chdir(folder)
    flags = ["-max_len=8192", "-timeout=1", "-rss_limit_mb=2048"]
    atheris.Setup([*sys.argv[:1], *flags, *sys.argv[1:], str(corpus)], one)
    atheris.Fuzz()


def _state(octets: bytes) -> tuple[bytes, Callable[[bytes], bytes]]:
    """The text in a file's metadata, and what writes a file with another."""
    tensors, metadata = contents(octets)
    key = "state" if "state" in metadata else "recipe"

    def write(text: bytes) -> bytes:
        return as_safetensors(tensors, {**metadata, key: text.decode("utf-8", "replace")})

    return metadata[key].encode(), write


if __name__ == "__main__":
    main()
