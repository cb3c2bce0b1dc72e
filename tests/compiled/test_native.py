"""The compiled kernels: their exp, their files, and that they run without numba."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from problems import Array
from rnn_numpy.compiled import native
from rnn_numpy.elman_network.running_error import EXP_ULPS

DTYPES = [np.dtype(np.float32), np.dtype(np.float64)]
dtypes = pytest.mark.parametrize("dtype", DTYPES, ids=str)


def sigmoids(z: Array) -> Array:
    """The kernels' sigmoid: one step of a network without weights, x_t U given as it is."""
    states, none = z.copy(), np.zeros((len(z), len(z)), z.dtype)
    arguments = [array.ctypes.data for array in (z, none, none, z, states)]
    native.kernel("forward", z.dtype)(*arguments, 0, 1, 1, 0, len(z))
    return states


@dtypes
def test_the_sigmoid_is_as_exact_as_the_bound_assumes(dtype: np.dtype[np.floating]) -> None:
    """`rounding.py` allows EXP_ULPS for exp, and half an ulp each for the sum and the quotient."""
    rng = np.random.default_rng(0)
    limit = 700.0 if dtype == np.float64 else 86.0
    drawn = [
        rng.uniform(-limit, limit, 1000),
        rng.standard_normal(1000) * 3,
        np.linspace(-1, 1, 99),
    ]
    for some in drawn:
        z = some.astype(dtype)
        exact = 1 / (1 + np.exp(-z.astype(np.longdouble)))
        error = np.abs(sigmoids(z) - exact) / np.spacing(exact.astype(dtype))
        assert error.max() <= EXP_ULPS / 2  # twice as good as the bound needs


@dtypes
def test_the_sigmoid_at_its_ends(dtype: np.dtype[np.floating]) -> None:
    z = np.array([np.nan, np.inf, -np.inf, 1e4, -1e4, -800, 0, -0.0] * 5, dtype)
    expected = np.array([np.nan, 1, 0, 1, 0, 0, 0.5, 0.5] * 5, dtype)
    np.testing.assert_array_equal(sigmoids(z), expected)


PROGRAM = """
import sys, numpy as np
from rnn_numpy.compiled import native
for name in native.SIGNATURES:
    for dtype in (np.float32, np.float64):
        native.kernel(name, np.dtype(dtype))
from rnn_numpy.train import main
assert main(["--engine", "compiled", "--iterations", "9", "--bits", "3"]) == 0
print(sorted(m for m in ("numba", "torch", "scipy") if m in sys.modules))
"""


def run(program: str, source: Path) -> subprocess.CompletedProcess[str]:
    processor = {name: value for name, value in os.environ.items() if name.startswith("NUMBA_")}
    return subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": str(source), "HOME": str(source), "PATH": "/usr/bin:/bin", **processor},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture
def a_copy(tmp_path: Path) -> Path:
    """The package without any compiled code, somewhere else."""
    source = tmp_path / "source"
    package = Path(native.__file__).parents[1]
    shutil.copytree(package, source / package.name, ignore=shutil.ignore_patterns("__pycache__"))
    return source


def compiled(source: Path) -> list[Path]:
    return sorted(source.rglob("*.o"))


def test_read_code_runs_without_numba() -> None:
    """Every kernel of this very package: make setup has compiled them, or an earlier test has."""
    for name in native.SIGNATURES:
        for dtype in DTYPES:
            native.kernel(name, dtype)
    done = run(PROGRAM, Path(native.__file__).parents[2])
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == "[]"


def test_code_is_compiled_once_and_damage_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, dtype = "forward", np.dtype(np.float32)
    native.kernel(name, dtype)
    code = native._read(native._file(name, dtype))
    assert code is not None
    made = []

    def compiled_again(*asked: object) -> bytes:
        made.append(asked)
        return code

    monkeypatch.setattr(native, "_folders", lambda: iter([tmp_path]))
    monkeypatch.setattr(native, "_compiled_elsewhere", compiled_again)
    load = native.kernel.__wrapped__
    load(name, dtype)
    (file,) = compiled(tmp_path)
    content = file.read_bytes()
    load(name, dtype)
    assert made == [(name, dtype)]
    for damaged in (content[:-100], b"", content[:500] + b"?" + content[501:]):
        made.clear()
        file.write_bytes(damaged)
        load(name, dtype)
        assert made == [(name, dtype)]
        assert file.read_bytes() == content


def test_code_for_another_processor_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Numba compiles for the processor that NUMBA_CPU_NAME names, whichever this one is."""
    files = set()
    for settings in ({"NUMBA_CPU_NAME": "generic"}, {"NUMBA_CPU_NAME": "haswell"}, {}):
        monkeypatch.delenv("NUMBA_CPU_NAME", raising=False)
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        files.add(native._file("descend", np.dtype(np.float64)))
    assert len(files) == 3


def test_a_read_only_package_keeps_its_code_with_the_user(a_copy: Path) -> None:
    (a_copy / "rnn_numpy" / "compiled" / "__pycache__").write_text("no folder can be made here")
    program = "import numpy as np; from rnn_numpy.compiled.native import kernel; "
    program += "kernel('forward', np.dtype('float32'))"
    done = run(program, a_copy)
    assert (done.returncode, done.stderr) == (0, "")
    (file,) = compiled(a_copy)
    assert file.parent == a_copy / ".cache" / "rnn-bptt-reference"


WITHOUT_NUMBA = """
import sys

class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("numba", "llvmlite"):
            raise ModuleNotFoundError(name)

from importlib import util
find = util.find_spec
util.find_spec = lambda name, *rest: None if name in ("numba", "llvmlite") else find(name, *rest)
sys.meta_path.insert(0, Hidden())
from {package}.train import main
print(main(["--iterations", "20", "--bits", "3", *{flags}]))
"""


@pytest.mark.parametrize(("package", "engine"), [("rnn_numpy", "numpy"), ("rnn_torch", "fused")])
def test_without_numba_the_next_engine_runs_and_says_so(package: str, engine: str) -> None:
    source = Path(native.__file__).parents[2]
    done = run(WITHOUT_NUMBA.format(package=package, flags=[]), source)
    assert (done.stderr, done.stdout.splitlines()[-1]) == ("", "0")
    wanted = f"engine: {engine} (the compiled one needs numba: {native.INSTALL})"
    assert done.stdout.splitlines()[-2].endswith(wanted)
    done = run(WITHOUT_NUMBA.format(package=package, flags=["--engine", "compiled"]), source)
    assert done.returncode == 2
    assert f"needs numba: {native.INSTALL}" in done.stderr
    assert "Traceback" not in done.stderr
