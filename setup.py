"""Build the kernels of src/rnn_numpy/compiled, where there is a C compiler; without one, the rest.

All else about the build is in pyproject.toml.
"""

from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext

FOLDER = Path("src/rnn_numpy/compiled")
# Products and sums may be fused, comparisons taken ahead of their turn; sums are not reordered, but
# for loops marked `omp simd`. OpenMP itself is not linked.
FLAGS = ["-std=c11", "-O3", "-ffp-contract=fast", "-fno-trapping-math", "-fopenmp-simd", "-g0"]


class BuildKernels(build_ext):
    """A library for ctypes, which is no Python module, and has the same name everywhere."""

    def get_ext_filename(self, fullname: str) -> str:
        """As in setuptools."""
        return str(Path(*fullname.split("."))) + ".library"

    def get_export_symbols(self, ext: Extension) -> list[str]:
        """As in setuptools: variants.c exports what it has to."""
        return []

    def build_extension(self, ext: Extension) -> None:
        """As in setuptools."""
        if self.compiler.compiler_type == "unix":
            ext.extra_compile_args = FLAGS
        super().build_extension(ext)


class Wheel(bdist_wheel):
    """A wheel for every Python 3 on this platform."""

    def get_tag(self) -> tuple[str, str, str]:
        """As in setuptools."""
        return "py3", "none", super().get_tag()[2]


kernels = Extension(
    "rnn_numpy.compiled.kernels",
    [str(FOLDER / "variants.c")],
    depends=[str(file) for file in FOLDER.glob("*.c")],
    optional=True,  # without a compiler it is left out, with a warning
)
setup(ext_modules=[kernels], cmdclass={"build_ext": BuildKernels, "bdist_wheel": Wheel})
