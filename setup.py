"""Build the kernels of src/rnn_numpy/compiled, if there is a C compiler; without one, the rest.

All else about the build is in pyproject.toml.
"""

import os
import platform
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext

SOURCE = "src/rnn_numpy/compiled/kernels.c"
# Products and sums may be fused, comparisons taken ahead of their turn; sums are not reordered, but
# for loops marked `omp simd`. OpenMP itself is not linked.
FLAGS = ["-std=c11", "-O3", "-ffp-contract=fast", "-fno-trapping-math", "-fopenmp-simd"]
# `backward` calls within this library; loops of 20 instructions are slower across cache lines.
FLAGS += ["-fno-semantic-interposition", "-falign-loops=32", "-g0"]


class BuildKernels(build_ext):
    """A library for ctypes, which is no Python module, and has the same name everywhere."""

    def get_ext_filename(self, fullname: str) -> str:
        """As in setuptools."""
        return str(Path(*fullname.split("."))) + ".library"

    def get_export_symbols(self, ext: Extension) -> list[str]:
        """As in setuptools: kernels.c exports what it has to."""
        return []

    def build_extension(self, ext: Extension) -> None:
        """As in setuptools."""
        if self.compiler.compiler_type == "unix":
            ext.extra_compile_args = FLAGS + ext.extra_compile_args
        super().build_extension(ext)


class Wheel(bdist_wheel):
    """A wheel for every Python 3 on this platform."""

    def get_tag(self) -> tuple[str, str, str]:
        """As in setuptools."""
        return "py3", "none", super().get_tag()[2]


VARIANTS = {"generic": []}
if platform.machine() in ("x86_64", "AMD64") and os.name == "posix":
    VARIANTS["avx2"] = ["-mavx2", "-mfma"]
    VARIANTS["avx512"] = ["-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mfma"]
kernels = [
    Extension(
        f"rnn_numpy.compiled.kernels_{dtype}_{variant}",
        [SOURCE],
        define_macros=[("real", real), ("word", word)],
        extra_compile_args=flags,
        depends=["setup.py"],
        optional=True,  # without a compiler it is left out, with a warning
    )
    for dtype, real, word in (("float32", "float", "uint32_t"), ("float64", "double", "uint64_t"))
    for variant, flags in VARIANTS.items()
]
setup(ext_modules=kernels, cmdclass={"build_ext": BuildKernels, "bdist_wheel": Wheel})
