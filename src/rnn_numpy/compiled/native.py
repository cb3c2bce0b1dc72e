"""Machine code for `kernels.py`: compiled once by numba, cached in a file, loaded without numba.

numba's own cache needs `import numba` and its type system, 0.4 s in every process; machine code
alone loads in 40 ms. So this module stores the compiled code as an object file and loads it with
numba's loader (llvmlite). A file is used only if it was made for this source of the kernels, this
llvmlite, this processor and these numba settings (NUMBA_CPU_NAME), and if its checksum is right.

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

#: The arguments of each kernel: * memory of its dtype, i memory of int64, n an int, f a float.
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
        subprocess.CalledProcessError: the kernel cannot be compiled.
    """
    import llvmlite.binding as llvm

    file = _file(name, dtype)
    code = _read(file) or _store(file, _compiled_elsewhere(name, dtype))
    return _loaded(llvm, code, ctypes.CFUNCTYPE(None, *(_C_TYPES[c] for c in SIGNATURES[name])))


def _file(name: str, dtype: np.dtype[Any]) -> str:
    """The name of the file for a kernel's code, which identifies what it was made for."""
    import llvmlite
    import llvmlite.binding as llvm

    processor = llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten()
    settings = sorted(item for item in os.environ.items() if item[0].startswith("NUMBA_"))
    sources = b"".join((_HERE / file).read_bytes() for file in SOURCES)
    made_for = (llvmlite.__version__, sys.platform, *processor, *settings)
    key = hashlib.sha256(repr(made_for).encode() + sources).hexdigest()[:32]
    return f"{name}-{dtype.name}-{key}.o"


def _compiled_elsewhere(name: str, dtype: np.dtype[Any]) -> bytes:
    """Run `_compiled` in a separate process, so that this one need not import numba."""
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
    # numba's wrapper refers to functions of numba for kernels that raise, which these do not. If
    # numba is not imported they have no address, and the loader stops at a name without one.
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
    """Folders for compiled code: beside the source, as for bytecode, or in the user's cache."""
    yield _HERE / "__pycache__"
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    yield Path(cache) / "rnn-bptt-reference"


def _read(file: str) -> bytes | None:
    for folder in _folders():
        with contextlib.suppress(OSError):
            content = (folder / file).read_bytes()
            checksum, code = content[:32], content[32:]
            if hashlib.sha256(code).digest() == checksum:
                return code
    return None


def _store(file: str, code: bytes) -> bytes:
    for folder in _folders():
        with contextlib.suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            # Write a temporary file and rename it: other processes may write the same file.
            with tempfile.NamedTemporaryFile(dir=folder, delete=False) as unfinished:
                unfinished.write(hashlib.sha256(code).digest() + code)
            os.replace(unfinished.name, folder / file)
            break
    return code


def main(argv: Sequence[str]) -> int:
    """Compile all kernels; or, given a kernel's name and a dtype, write its code to stdout."""
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
            if _read(file) is None:
                _store(file, _compiled(name, each))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
