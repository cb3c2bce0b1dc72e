"""The compiled kernels: each variant within the bound, their exp; running without them."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from agreement import assert_gradients, assert_within
from commands import bad
from forked import Forked, imported_anew
from problems import Array, problem
from rnn_numpy import bounds, bptt, forward, train, vjp
from rnn_numpy.compiled import native
from rnn_numpy.elman_network.running_error import EXP_ULPS
from rnn_numpy.tasks.addition import draw_pairs, encode_pairs
from rnn_numpy.tasks.exact_sums import advance, count_exact, count_exact_compiled
from rnn_numpy.training.recipe import Recipe, start
from rnn_numpy.training.sgd import CompiledSGD

ROOT = Path(__file__).parents[2]
DTYPES = [np.dtype(np.float32), np.dtype(np.float64)]
dtypes = pytest.mark.parametrize("dtype", DTYPES, ids=str)


def use(variant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RNN_KERNELS", variant)
    native.kernel.cache_clear()


@pytest.fixture(params=native.variants())
def variant(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Each variant that this processor runs."""
    use(request.param, monkeypatch)
    yield str(request.param)
    native.kernel.cache_clear()


def call(name: str, *arguments: Array | int) -> None:
    memory = [a.ctypes.data if isinstance(a, np.ndarray) else a for a in arguments]
    native.kernel(name, next(a.dtype for a in arguments if isinstance(a, np.ndarray)))(*memory)


@dtypes
@pytest.mark.parametrize("seed", range(8))
def test_the_layer_agrees_with_numpy(variant: str, dtype: np.dtype, seed: int) -> None:
    rng = np.random.default_rng(seed)
    time, batch, n_in, hidden = (int(rng.choice([1, 2, 3, 4, 5, 8, 9, 17, 40])) for _ in range(4))
    params, x, upstream, h_0 = problem(seed, time, batch, n_in, hidden, 2, dtype=dtype.name)
    (U, W, V), sizes = params, (time, batch, n_in, hidden)
    outputs, trace = forward(params, x, h_0)
    right, bound = vjp(params, trace, upstream), bounds(params, x, upstream=upstream, h_0=h_0)
    states, given = np.empty((time, batch, hidden), dtype), x @ U
    call("forward", x, U, W, h_0, states, 1, *sizes)
    call("forward", x, U, W, h_0, given, 1, time, batch, 0, hidden)
    for got in (states, given):
        assert_within({"states": got}, {"states": trace.states[1:]}, {"states": bound.states})

    into_states = (upstream * outputs * (1 - outputs)) @ V.T
    names = ("x", "U", "W", "h_0")
    wanted = dict(zip(names, (right.x, *right.params[:2], right.h_0), strict=True))
    allowed = dict(zip(names, (bound.x, *bound.params[:2], bound.h_0), strict=True))
    gradients = {name: np.full_like(wanted[name], np.nan) for name in names}
    workspace = np.empty((time * batch + max(n_in, hidden)) * hidden, dtype)
    call("whole_backward", x, U, W, h_0, states, into_states, 1, *gradients.values(),
         workspace, *sizes)  # fmt: skip
    assert_within(gradients, wanted, allowed)
    for matrix, transposed in ((W, 0), (np.ascontiguousarray(W.T), 1)):
        delta = np.empty_like(states)
        call("backward", matrix, transposed, states, into_states, delta, time, batch, hidden)
        assert_within({"x": delta @ U.T}, {"x": right.x}, {"x": bound.x})


@dtypes
@pytest.mark.parametrize(("bits", "hidden"), [(1, 7), (5, 16), (64, 1), (64, 33)])
def test_a_step_agrees_with_numpy(variant: str, dtype: np.dtype, bits: int, hidden: int) -> None:
    """With 64 bits a sum exceeds the largest int64."""
    recipe = Recipe(hidden, bits, hidden, dtype=dtype.name)  # type: ignore[arg-type]
    params, rng = start(recipe)
    pairs = draw_pairs(rng, bits, 1)
    x, y = encode_pairs(pairs, bits, recipe.dtype)
    gradient = CompiledSGD(params, recipe).gradient(pairs)
    expected = bptt(params, forward(params, x)[1], y)
    assert_gradients(gradient, expected, bounds(params, x, y).params)


@dtypes
def test_a_count_agrees_with_numpy(variant: str, dtype: np.dtype) -> None:
    recipe = Recipe(seed=3, bits=5, dtype=dtype.name)  # type: ignore[arg-type]
    params, rng = start(recipe)
    network, seen = CompiledSGD(params, recipe), set()
    for _ in range(8):
        network.descend(draw_pairs(rng, recipe.bits, 800))
        found = count_exact_compiled(network.weights, recipe.bits)
        assert found == count_exact(partial(advance, network.weights), len(params.W), 5, dtype)
        seen.add(found.exact)
    assert len(seen) > 3


def sigmoids(z: Array) -> Array:
    """The kernels' sigmoid: one step of a network without weights, x_t U given as it is."""
    states, none = z.copy(), np.zeros((len(z), len(z)), z.dtype)
    call("forward", z, none, none, z, states, 0, 1, 1, 0, len(z))
    return states


@dtypes
def test_the_sigmoid_is_as_exact_as_the_bound_assumes(variant: str, dtype: np.dtype) -> None:
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
def test_the_sigmoid_at_its_ends(variant: str, dtype: np.dtype) -> None:
    z = np.array([np.nan, np.inf, -np.inf, 1e4, -1e4, -800, 0, -0.0] * 5, dtype)
    expected = np.array([np.nan, 1, 0, 1, 0, 0, 0.5, 0.5] * 5, dtype)
    np.testing.assert_array_equal(sigmoids(z), expected)


def test_a_variant_that_cannot_be_used(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("RNN_KERNELS", raising=False)
    monkeypatch.setattr(native, "variants", lambda: ["generic", "avx2"])
    assert native.variant() == "avx2"
    for chosen in ("avx512", "haswell"):
        use(chosen, monkeypatch)
        with pytest.raises(ValueError, match=f"must be one of generic, avx2 .*, got {chosen}$"):
            native.variant()
        message = f"RNN_KERNELS must be one of .*, got {chosen}"
        assert re.fullmatch(message, bad(train.main, ["--engine", "numpy"], capsys))
    monkeypatch.setattr(native, "variants", list)
    with pytest.raises(ModuleNotFoundError, match="the compiled kernels are not built: install a"):
        native.kernel("forward", DTYPES[0])


SHORT = ("--iterations", "20", "--bits", "3")


@pytest.fixture(scope="module")
def without_kernels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The packages built where there is no C compiler."""
    folder = tmp_path_factory.mktemp("project")
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    leave_out = shutil.ignore_patterns("__pycache__", "*.library", "*.egg-info")
    shutil.copytree(ROOT / "src", folder / "src", ignore=leave_out)
    done = subprocess.run(
        [sys.executable, "setup.py", "--quiet", "build", "--build-lib", "built"],
        cwd=folder,
        env={**os.environ, "CC": "/no/such/compiler"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (
        'building extension "rnn_numpy.compiled.kernels_float32_generic" failed'
        in done.stdout + done.stderr
    )
    assert (folder / "built" / "rnn_numpy" / "compiled" / "kernels.c").exists()
    return folder / "built"


@pytest.mark.parametrize(("package", "engine"), [("rnn_numpy", "numpy"), ("rnn_torch", "fused")])
def test_without_kernels_the_next_engine_runs_and_says_so(
    package: str, engine: str, without_kernels: Path
) -> None:
    out, err = Forked(train_of, without_kernels, package).succeeded()
    assert err == ""
    wanted = f"engine: {engine} (the compiled one is not built: {native.INSTALL})"
    assert out.splitlines()[-1].endswith(wanted)
    _, err = Forked(train_of, without_kernels, package, "--engine", "compiled").succeeded(code=2)
    assert f"error: the compiled engine is not built: {native.INSTALL}\n" in err
    assert "Traceback" not in err


def train_of(source: Path, package: str, *flags: str) -> int:
    code: int = imported_anew(f"{package}.train", source).main([*SHORT, *flags])
    return code
