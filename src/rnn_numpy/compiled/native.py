"""The kernels of `kernels.c` as Python functions of addresses and sizes.

Their library is built at installation (setup.py). On an x86-64 processor it has each kernel in
three variants: generic, avx2 and avx512. The last one that the processor runs is used, or the one
that the environment variable RNN_KERNELS names.
"""

import ctypes
import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

#: The arguments of each kernel: * memory of its dtype, i memory of int64, n an intp, f a double.
SIGNATURES = {
    "descend": "*** *** i nnn f *****".replace(" ", ""),
    "count_exact": "*** nn iii ***".replace(" ", ""),
    "forward": "***** nnnnn".replace(" ", ""),
    "backward": "* n *** nnn".replace(" ", ""),
    "whole_backward": "****** n ***** nnnn".replace(" ", ""),
}
#: What makes the kernels available.
INSTALL = (
    "install a C compiler, then, in this project's folder, run "
    "pip install --force-reinstall --no-deps ."
)
_VARIANTS = ("generic", "avx2", "avx512")
_C_TYPES = {
    "*": ctypes.c_void_p,
    "i": ctypes.c_void_p,
    "n": ctypes.c_ssize_t,
    "f": ctypes.c_double,
}


def available() -> bool:
    """Whether the kernels were built, for this kind of processor."""
    return _library() is not None


def variant() -> str:
    """The variant of the kernels that is used.

    Raises:
        ModuleNotFoundError: the kernels are not built.
        ValueError: RNN_KERNELS names no variant, or one that this processor does not run.
    """
    library = _library()
    if library is None:
        raise ModuleNotFoundError(f"the compiled kernels are not built: {INSTALL}")
    known = _VARIANTS[: library.variants()]
    chosen = os.environ.get("RNN_KERNELS") or known[-1]
    if chosen not in known:
        raise ValueError(
            f"RNN_KERNELS must be one of {', '.join(known)} on this processor, got {chosen}"
        )
    return chosen


def on_intel() -> bool:
    """Whether Intel made this processor; False if the kernels are not built."""
    library = _library()
    return library is not None and bool(library.intel())


@functools.cache
def kernel(name: str, dtype: np.dtype[Any]) -> Callable[..., None]:
    """A kernel as a function of addresses and sizes, as `SIGNATURES` has them; raises as `variant`.

    Arguments are not checked. The GIL is released during the call.
    """
    chosen = variant()
    function = _library()[f"{name}_{dtype.name}_{chosen}"]
    function.argtypes = [_C_TYPES[c] for c in SIGNATURES[name]]
    function.restype = None
    return function


@functools.cache
def _library() -> Any:
    """The library beside this file; None if it is absent, older, or for another processor."""
    try:
        library = ctypes.CDLL(str(Path(__file__).with_name("kernels.library")))
    except OSError:
        return None
    return library if hasattr(library, "intel") else None  # what was added last
