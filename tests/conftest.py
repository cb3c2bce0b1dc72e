"""Settings for all tests: shape annotations are executed; hypothesis profiles; one thread."""

import os
import sys
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jaxtyping
import pytest
from hypothesis import HealthCheck, Phase, settings

# Before the packages are imported: every shape annotation in them is checked at every call. Modules
# without any are left as they are, some of their functions are called a million times. A package's
# name would stand for all that is in it: test_annotations.py finds what is missed.
SRC = Path(__file__).parents[1] / "src"
files = [f for f in SRC.glob("*/**/*.py") if "jaxtyping" in f.read_text()]
files = [f for f in files if f.stem != "__init__"]
modules = [".".join(file.relative_to(SRC).with_suffix("").parts) for file in files]
hook = jaxtyping.install_import_hook(modules, "beartype.beartype")
jaxtyped = jaxtyping.jaxtyped


def where_there_are_shapes(typechecker: Any) -> Callable[[Any], Any]:
    """The hook's decorator, for the functions with a shape: others are called a million times."""

    def decorate(function: Any) -> Any:
        shapes = "jaxtyping." in str(getattr(function, "__annotations__", ""))
        return jaxtyped(function, typechecker=typechecker) if shapes else function

    return decorate


jaxtyping.jaxtyped = where_there_are_shapes  # type: ignore[assignment]

from rnn_numpy.real_proof import verdict  # noqa: E402 - after the hook
from rnn_numpy.tasks.targets import addition  # noqa: E402


def proved_once(prove: Callable[..., Any]) -> Callable[..., Any]:
    """`prove_real`, once in a process for each network: it takes seconds."""
    made: dict[Any, Any] = {}

    def kept(params: Any, target: Any = addition, dtype: Any = None, **others: Any) -> Any:
        weights = tuple((array.dtype.name, array.shape, array.tobytes()) for array in params)
        key = weights, target.name, dtype, others.get("limit", verdict.LIMIT)
        if key not in made:
            made[key] = prove(params, target, dtype, **others)
        return made[key]

    return kept


verdict.prove_real = proved_once(verdict.prove_real)

# One thread each, in the processes that tests start, too: the problems are small, pytest-xdist uses
# the cores, and threads that wait for each other keep them busy.
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(name, "1")

# dev: new examples every time, quickly. ci: hypothesis' own ci settings, the same examples every
# time. nightly: new examples, many. Choose with --hypothesis-profile; CI=true chooses ci.
slow = [HealthCheck.too_slow, HealthCheck.data_too_large]
settings.register_profile("dev", deadline=None, suppress_health_check=slow, max_examples=30)
settings.register_profile(
    "ci", settings.get_profile("ci"), suppress_health_check=slow, max_examples=30
)
settings.register_profile("nightly", settings.get_profile("dev"), max_examples=3000)
# mutants: as ci, with more; that a test fails is all `make mutants` wants to know, not how simply.
phases = [Phase.explicit, Phase.generate]
settings.register_profile(
    "mutants", settings.get_profile("ci"), phases=phases, database=None, max_examples=100
)
settings.load_profile("ci" if os.environ.get("CI") else "dev")


def pytest_configure(config: pytest.Config) -> None:
    """Declare the markers; `annotations` reads the first, pytest-xdist, if there, the second."""
    config.addinivalue_line("markers", "unannotated: run without executing the shape annotations")
    config.addinivalue_line("markers", "mends: lines are changed to see which are wrong")
    config.addinivalue_line("markers", "few(asked=True): by day few designed problems are asked")
    config.addinivalue_line("markers", "verdict: without what follows it, names, places, votes")
    config.addinivalue_line("markers", "xdist_group(name): in one process of pytest-xdist")
    config.addinivalue_line("markers", "many: slow, or the same again; left out by `make mutants`")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the tests of a file in one process of pytest-xdist: they share what they compute."""
    for item in items:
        if item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group(item.path.stem))


@pytest.fixture(autouse=True, scope="session")
def subjects_are_kept() -> None:
    """The problems of a network and their right gradients are computed once in a process."""
    if (subjects := sys.modules.get("bptt_check.subjects")) is None:
        return
    made, kept = subjects._made, OrderedDict[Any, Any]()

    def once(network: Any, *flags: Any) -> Any:
        if isinstance(network, str) and ":" in network:
            return made(network, *flags)  # a file, which may change
        asked = sys.modules["bptt_check.networks.problems"]._applies
        key = asked.__name__, network if isinstance(network, str) else id(network), *flags
        found = kept.pop(key, None) or (network, made(network, *flags))
        kept[key] = found  # with the network, whose id no other has as long
        if len(kept) > 24:
            kept.popitem(last=False)
        return found[1]

    vars(subjects).update(_made=once, _kept=once)


#: A sample of the designed problems; those of many steps or large sizes take most of the time.
FEW = {
    "general",
    "one x",
    "all sizes equal",
    "inputs of their own each",
    "zeros and tiny numbers",
    "bits",
}
FEW |= {"inputs of 300", "Fortran order", "strided views"}


def ask_few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask only these of the designed problems, and few random ones."""
    problems = sys.modules["bptt_check.networks.problems"]
    applies = problems._applies

    def few_apply(network: Any, its: Any, condition: Any) -> bool:
        return condition.name in FEW and applies(network, its, condition)

    monkeypatch.setattr(problems, "_applies", few_apply)
    monkeypatch.setattr(sys.modules["bptt_check.judge.any_network"], "_RANDOM_PROBLEMS", 3)


@pytest.fixture(autouse=True)
def judged_as_in_tests(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """A step of the judge that fails after the verdict is a mistake of ours; mending takes long."""
    from profiles import NIGHTLY  # the profile is chosen after this file is read

    if "bptt_check.judge.examine" in sys.modules:
        examine = sys.modules["bptt_check.judge.examine"]
        monkeypatch.setattr(examine, "raise_failures", True)
        monkeypatch.setattr(examine, "mends", bool(request.node.get_closest_marker("mends")))
        for name in ("mending.search", "editing.choosing"):  # the same on a busy machine
            monkeypatch.setattr(sys.modules[f"bptt_check.{name}"], "_MOST_SECONDS", 1e9)
        few = request.node.get_closest_marker("few")
        if few and few.args != (False,) and not NIGHTLY:
            ask_few(monkeypatch)
        if request.node.get_closest_marker("verdict"):
            monkeypatch.setattr(examine.AnyNetwork, "names", lambda *_: None)
            monkeypatch.setattr(examine.AnyNetwork, "locate", lambda *_: None)
            monkeypatch.setattr(examine.AnyNetwork, "votes", lambda *_: [])


@pytest.fixture(autouse=True)
def annotations(request: pytest.FixtureRequest) -> Iterator[None]:
    """Switch the shape annotations off for tests of errors that users see without them."""
    off = request.node.get_closest_marker("unannotated") is not None
    jaxtyping.config.update("jaxtyping_disable", off)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
