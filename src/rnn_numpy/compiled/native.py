"""The kernels of `kernels.c` as Python functions of addresses and sizes.

setup.py builds a library for each dtype and, on an x86-64 processor, for each of the variants
generic, avx2 and avx512. The last one that the processor runs is used, or what RNN_KERNELS names.
"""

import os
from collections.abc import Callable
from ctypes import CDLL, c_double, c_ssize_t, c_void_p
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

#: The arguments of each kernel: * memory, n an intp, f a double.
SIGNATURES = {
    "descend": "*** *** * nnn f *****",
    "count_exact": "*** nn *** ***",
    "forward": "***** nnnnn",
    "backward": "* n *** nnn",
    "whole_backward": "****** n ***** nnnn",
}
_TYPES = {"*": c_void_p, "n": c_ssize_t, "f": c_double}
#: What makes the kernels available.
INSTALL = (
    "install a C compiler, then, in this project's folder, run "
    "pip install --force-reinstall --no-deps ."
)


@cache
def variants() -> list[str]:
    """The variants that are built and that this processor runs; none without the kernels."""
    generic = _library("float64", "generic")
    names = ("generic", "avx2", "avx512")[: generic.variants() if generic else 0]
    return [name for name in names if _library("float32", name) and _library("float64", name)]


def available() -> bool:
    """Whether the kernels are built, for this kind of processor."""
    return bool(variants())


def variant() -> str:
    """The variant of the kernels that is used.

    Raises:
        ModuleNotFoundError: the kernels are not built.
        ValueError: RNN_KERNELS names no variant, or one that this processor does not run.
    """
    if not available():
        raise ModuleNotFoundError(f"the compiled kernels are not built: {INSTALL}")
    chosen, known = os.environ.get("RNN_KERNELS") or variants()[-1], ", ".join(variants())
    if chosen not in variants():
        raise ValueError(f"RNN_KERNELS must be one of {known} on this processor, got {chosen}")
    return chosen


@cache
def kernel(name: str, dtype: np.dtype[Any]) -> Callable[..., None]:
    """A kernel as a function of addresses and sizes, as `SIGNATURES` has them; raises as `variant`.

    Arguments are not checked. The GIL is released during the call.
    """
    function = _library(dtype.name, variant())[name]
    function.argtypes = [_TYPES[letter] for letter in SIGNATURES[name].replace(" ", "")]
    function.restype = None
    return function


def _library(dtype: str, variant: str) -> Any:
    """The library beside this file; None if it is absent, or for another processor."""
    try:
        return CDLL(str(Path(__file__).with_name(f"kernels_{dtype}_{variant}.library")))
    except OSError:
        return None
