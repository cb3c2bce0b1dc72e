"""Machine code for `kernels.py`: compiled once by numba, cached in a file, loaded without numba.

numba's own cache still needs `import numba` and its type system, 0.4 s in every process; machine
code alone loads in 40 ms. So this keeps what numba compiled, as an object file, and hands it to the
loader that numba uses itself (llvmlite). A file is only taken if the kernels' source, llvmlite, the
processor and numba's settings (NUMBA_CPU_NAME) are the ones it was made for, and if its checksum is
right.

    python -m rnn_numpy.compiled.native      compile all kernels now, as `make setup` does
"""

import contextlib
import ctypes
import functools
import hashlib
import importlib.util
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

#: What each kernel is given: * memory of its dtype, i memory of int64, n an int, f a float.
SIGNATURES = {
    "descend": "*** *** i nnn f *****".replace(" ", ""),
    "count_exact": "*** nn iii ***".replace(" ", ""),
    "forward": "***** nnnnn".replace(" ", ""),
    "backward": "* n *** nnn".replace(" ", ""),
    "whole_backward": "****** n ***** nnnn".replace(" ", ""),
}
SOURCES = ("flat_matrices.py", "kernels.py", "native.py")
INSTALL = "pip install 'rnn-bptt-reference[fast]'"
_C_TYPES = {
    "*": ctypes.c_void_p,
    "i": ctypes.c_void_p,
    "n": ctypes.c_ssize_t,
    "f": ctypes.c_double,
}
_HERE = Path(__file__).parent
_engines: list[Any] = []  # keeps LLVM's engines alive: freeing one would free its machine code


def available() -> bool:
    """Whether numba and llvmlite (the extra `fast`) are installed."""
    return all(importlib.util.find_spec(name) is not None for name in ("llvmlite", "numba"))


@functools.cache
def kernel(name: str, dtype: np.dtype[Any]) -> Callable[..., None]:
    """A kernel as a function of addresses and sizes, as `SIGNATURES` has them.

    Arguments are not checked. The GIL is released during the call.

    Raises:
        ModuleNotFoundError: the extra `fast` is not installed.
        subprocess.CalledProcessError: it could not be compiled.
    """
    import llvmlite.binding as llvm

    file = _file(name, dtype)
    code = _kept(file) or _keep(file, _compiled_elsewhere(name, dtype))
    return _loaded(llvm, code, ctypes.CFUNCTYPE(None, *(_C_TYPES[c] for c in SIGNATURES[name])))


def _file(name: str, dtype: np.dtype[Any]) -> str:
    """The name of the file for a kernel's code, which says what it was made for."""
    import llvmlite
    import llvmlite.binding as llvm

    processor = llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten()
    settings = sorted(item for item in os.environ.items() if item[0].startswith("NUMBA_"))
    sources = b"".join((_HERE / file).read_bytes() for file in SOURCES)
    made_for = (llvmlite.__version__, sys.platform, *processor, *settings)
    key = hashlib.sha256(repr(made_for).encode() + sources).hexdigest()[:32]
    return f"{name}-{dtype.name}-{key}.o"


def _compiled_elsewhere(name: str, dtype: np.dtype[Any]) -> bytes:
    """`_compiled` in a process of its own, so that this one need not import numba."""
    command = [sys.executable, "-m", "rnn_numpy.compiled.native", name, dtype.name]
    return subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout


def _compiled(name: str, dtype: np.dtype[Any]) -> bytes:
    """The entry point's name, the functions that the code may call, and the code."""
    import numba
    from numba import types

    from rnn_numpy.compiled.kernels import kernels

    scalar = types.float64 if dtype == np.float64 else types.float32
    numba_types = {
        "*": types.CPointer(scalar),
        "i": types.CPointer(types.int64),
        "n": types.intp,
        "f": types.float64,
    }
    signature = types.void(*(numba_types[c] for c in SIGNATURES[name]))
    compiler = numba.cfunc(signature, error_model="numpy", fastmath={"contract"})
    compiled = compiler(kernels(dtype.type)[name])
    library = compiled._library
    declared = " ".join(f.name for f in library._final_module.functions if f.is_declaration)
    entry: str = compiled.native_name
    return b"\0".join([entry.encode(), declared.encode(), library._get_compiled_object()])


def _loaded(llvm: Any, code: bytes, prototype: Any) -> Callable[..., None]:
    entry, declared, object_file = code.split(b"\0", 2)
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    machine = llvm.Target.from_default_triple().create_target_machine()
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
    # numba's wrapper names functions of numba's for a kernel that raises, which ours cannot. Where
    # numba is not imported nobody has them, and one name without an address stops the loader.
    fatal = ctypes.cast(ctypes.pythonapi.Py_FatalError, ctypes.c_void_p).value
    for name in declared.decode().split():
        if not llvm.address_of_symbol(name):
            llvm.add_symbol(name, fatal)
    engine.add_object_file(llvm.ObjectFileRef.from_data(object_file))
    engine.finalize_object()
    _engines.append(engine)
    function: Callable[..., None] = prototype(engine.get_function_address(entry.decode()))
    return function


def _folders() -> Iterator[Path]:
    """Where compiled code may be kept: beside the source as Python does, or with the user's."""
    yield _HERE / "__pycache__"
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    yield Path(cache) / "rnn-bptt-reference"


def _kept(file: str) -> bytes | None:
    for folder in _folders():
        with contextlib.suppress(OSError):
            content = (folder / file).read_bytes()
            checksum, code = content[:32], content[32:]
            if hashlib.sha256(code).digest() == checksum:
                return code
    return None


def _keep(file: str, code: bytes) -> bytes:
    for folder in _folders():
        with contextlib.suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            # Complete or not at all, whoever else is doing the same.
            with tempfile.NamedTemporaryFile(dir=folder, delete=False) as unfinished:
                unfinished.write(hashlib.sha256(code).digest() + code)
            os.replace(unfinished.name, folder / file)
            break
    return code


def main(argv: Sequence[str]) -> int:
    """Compile everything now; or, with a kernel's name and a dtype, write that one's code."""
    if not available():
        print(f"numba is not installed: {INSTALL}", file=sys.stderr)
        return 2
    if argv:
        name, dtype = argv
        sys.stdout.buffer.write(_compiled(name, np.dtype(dtype)))
        return 0
    for name in SIGNATURES:
        for each in (np.dtype(np.float64), np.dtype(np.float32)):
            file = _file(name, each)
            if _kept(file) is None:
                _keep(file, _compiled(name, each))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
