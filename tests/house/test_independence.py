"""Independent implementations share no code: an oracle must not import what it judges."""

import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import bptt_check
import rnn_numpy
import rnn_torch
from forked import Forked, imported_anew
from imports import OWN, imported, imported_of_ours

NUMPY, TORCH, CHECK = (
    Path(str(package.__file__)).parent for package in (rnn_numpy, rnn_torch, bptt_check)
)
TESTS = Path(__file__).parents[1]
#: What a process without torch loads of the check.
WITHOUT = sorted(f for room in ("candidate", "commands") for f in (CHECK / room).glob("*.py"))
WITHOUT.remove(CHECK / "candidate" / "layer_calls.py")  # loaded for a layer, which is of torch
CHECKED = {f"rnn_numpy.elman_network.{name}" for name in ("params", "checks")}


def test_what_runs_without_torch_never_imports_it() -> None:
    for module in [*NUMPY.rglob("*.py"), *WITHOUT]:
        packages = {name.split(".")[0] for name in imported(module)}
        assert not packages & {"torch", "rnn_torch"}, module


@pytest.mark.parametrize(
    ("witness", "may_use"),
    [
        (TORCH / "elman_network/model.py", CHECKED),
        (NUMPY / "elman_network/model.py", CHECKED),
        (NUMPY / "elman_network/rtrl.py", CHECKED),
        (NUMPY / "elman_network/complex_step.py", CHECKED),
        (NUMPY / "elman_network/rounding.py", CHECKED | {"rnn_numpy.elman_network.running_error"}),
        (NUMPY / "elman_network/running_error.py", set()),
        (NUMPY / "verify.py", set()),
        (NUMPY / "verify_real.py", set()),
        (NUMPY / "proof/rounded_network.py", CHECKED | {"rnn_numpy.elman_network.running_error"}),
        (NUMPY / "elman_network/textbook.py", set()),
        (TESTS / "passes/elman_mistakes.py", {"rnn_numpy.elman_network.textbook"}),
        (TESTS / "helpers/naive_recipe.py", set()),
    ],
    ids=lambda value: "-".join(value.parts[-3:]) if isinstance(value, Path) else "",
)
def test_independent_implementations_share_no_code(witness: Path, may_use: set[str]) -> None:
    used = {name.rpartition(".")[0] for name in imported_of_ours(witness)}
    assert used <= may_use


def without_torch() -> int:
    for name in ["torch", *(each for each in sys.modules if each.startswith("torch."))]:
        sys.modules[name] = None  # type: ignore[assignment]  # as if it were not installed
    package = imported_anew("rnn_numpy")
    for module in pkgutil.walk_packages(package.__path__, "rnn_numpy."):
        importlib.import_module(module.name)
    flags = ["--iterations", "50", "--log-every", "50", "--bits", "3"]
    return int(importlib.import_module("rnn_numpy.train").main(flags))


def test_rnn_numpy_imports_and_runs_with_torch_absent() -> None:
    said, _ = Forked(without_torch).succeeded()
    assert "of 16 sums exact" in said.splitlines()[-1]


def test_importing_rnn_numpy_is_light() -> None:
    heavy = ["torch", "matplotlib", "scipy", "tqdm", "safetensors"]
    program = f"import rnn_numpy, sys; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(("package", "most"), [*zip(OWN, (1, 10, 15), strict=True)])
def test_importing_a_package_loads_few_of_our_modules(package: str, most: int) -> None:
    out, _ = Forked(import_and_list, package).succeeded()
    loaded = out.split()
    assert package in loaded
    assert len(loaded) <= most


def import_and_list(package: str) -> int:
    imported_anew(package)
    print(*[name for name in sys.modules if name.partition(".")[0] in OWN])
    return 0
