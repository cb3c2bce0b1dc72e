"""Helpers for your own tests: a hypothesis strategy of problems, and assertions with a report.

    from hypothesis import given
    from bptt_check.testing import assert_gradient_parity, problems

    @given(problems())
    def test_my_backward(problem):
        assert_gradient_parity(my_backward, problem)

`problems` needs hypothesis, the extra `testing`; the rest does not.
"""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

import torch

from bptt_check.compare import compare_gradients
from bptt_check.judge.any_network import AnyNetwork
from bptt_check.judge.asking import Answer, Ask, Asked, CannotCheck
from bptt_check.judge.candidate import InThisProcess, in_this_process
from bptt_check.judge.comparison import agrees, worst_entries
from bptt_check.judge.examine import examine
from bptt_check.judge.report import Report
from bptt_check.layers.triton_cpu import triton_on_cpu
from bptt_check.networks import Network, Problem
from bptt_check.reports.readable import ReadableReport
from bptt_check.reports.text import as_text, in_one_line, table
from bptt_check.subjects import subject_for, subject_of_layer

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

    Problems = SearchStrategy[Problem]
else:
    Problems = object

__all__ = [
    "Problem",
    "assert_gradient_parity",
    "assert_layer_parity",
    "check",
    "check_layer",
    "compare_gradients",
    "problems",
    "triton_on_cpu",
]

_DTYPES, _HALF = ("float32", "float64"), ("bfloat16", "float16")
_OURS = ("bptt_check", "rnn_numpy", "rnn_torch")


def check(
    backward: Callable[..., Any],
    network: str | Network | None = None,
    *,
    dtype: str = "float64",
    shapes: str = "any",
    window: int | None = None,
    loss: str | None = None,
    seed: int = 0,
) -> ReadableReport:
    """Examine a function of this process: for Python, a notebook, a test.

    Args:
        backward: the backward pass; its arguments and gradients are NumPy arrays.
        network: the network that it must differentiate: a `Network`, a stock network's name, or
            FILE.py:NETWORK; if left out, the one of docs/bptt.md.
        dtype: float64 or float32.
        shapes: the sizes that it takes, as the flag `--shapes`: "any"; "hidden=16,batch=1"; without
            `network` also "recipe" or "time,batch,n_in,hidden,n_out".
        window, loss, seed: as the flags of `python -m bptt_check`.

    Returns:
        The report: `print` shows the screen, a notebook the page of --html.

    Raises:
        CannotCheck: the backward pass gives no answer that can be judged.
        ValueError: an argument is invalid, or the network fails.
    """
    subject = subject_for(network, shapes=shapes, window=window, loss=loss)
    return ReadableReport(**vars(_examined(backward, dtype, subject, seed)))


def assert_gradient_parity(
    backward: Callable[..., object],
    given: Problem | Sequence[Problem] | None = None,
    *,
    network: str | Network | None = None,
    dtype: str = "float64",
    window: int | None = None,
    shapes: str = "any",
    loss: str | None = None,
    require: Literal["returned", "all"] = "returned",
) -> None:
    """Raise AssertionError, with the report of `rnn_torch.check`, if `backward` is wrong.

    Args:
        backward, network, dtype, window, shapes, loss: as in `check`.
        given: one problem (from `problems()`, say), or several; left out, the designed set and
            random ones of this `dtype`. Warns if several cannot tell some catalogued mistake.
        require: "all" fails if a gradient is not returned; "returned" warns of it (UserWarning).

    Raises:
        AssertionError: `backward` does not agree with autograd to within rounding.
        CannotCheck: `backward` gives no answer that can be judged, or not all of it can.
        ValueError: `shapes` is invalid, or a given problem has other sizes.
    """
    __tracebackhide__ = True  # pytest shows only the caller's line and the report
    _check_one_of("require", require, ("returned", "all"))
    _check_callable(backward)
    several = [given] if isinstance(given, Problem) else given
    subject = subject_for(network, shapes=shapes, window=window, loss=loss)
    _check_given(several or (), subject)
    if several is not None and several is given and (blind := _blind_to(several, subject)):
        warnings.warn(
            f"these problems cannot tell from the truth: {', '.join(blind)}", stacklevel=2
        )
    try:
        failure, missing = _failure(backward, several, dtype, subject)
    except Exception as error:
        its = error.__cause__ if isinstance(error, CannotCheck) and error.__cause__ else error
        its.__traceback__ = _of_others(its)
        raise its from None
    if failure:
        raise AssertionError(failure)
    if missing:
        said = f"not returned, so not checked: {', '.join(missing)}"
        if require == "all":
            raise AssertionError(said)
        warnings.warn(said, stacklevel=2)


def _check_callable(backward: object) -> None:
    if callable(backward):
        return
    hint = f": for a file, python -m bptt_check {backward}" if isinstance(backward, str) else ""
    raise ValueError(f"backward must be a function, got {backward!r}{hint}")


def check_layer(
    candidate: Callable[..., Any],
    layer: Network | str,
    *,
    dtype: str = "float32",
    device: str = "cpu",
    shapes: str = "any",
    seed: int = 0,
) -> ReadableReport:
    """Examine a torch callable of this process: an `autograd.Function`, a module, a kernel.

    Args:
        candidate: gets tensors of the layer's inputs, by name if its parameters have these
            names, else in order, and returns the outputs and the final states.
        layer: what it must compute: a layer, a network with upstream gradients, a stock network's
            name, or FILE.py:LAYER.
        dtype: bfloat16, float16, float32 or float64, of the tensors.
        device: where they lie.
        shapes, seed: as the flags of `python -m bptt_check`.

    Returns:
        The report: `print` shows the screen, a notebook the page of --html.

    Raises:
        CannotCheck: the callable gives no answer that can be judged.
        ValueError: an argument is invalid, or the layer fails.
    """
    _check_one_of("dtype", dtype, (*_HALF, *_DTYPES))
    subject = subject_of_layer(layer, shapes=shapes, device=device)
    if subject.form.complex and dtype in _HALF:
        raise ValueError(f"dtype must be float32 or float64 for complex numbers, got {dtype!r}")
    subject.form = subject.form._replace(dtype="bfloat16" if dtype == "bfloat16" else "")
    name = getattr(candidate, "__qualname__", type(candidate).__name__)
    if isinstance(owner := getattr(candidate, "__self__", None), type):  # `apply` of a Function
        name = f"{owner.__qualname__}.{candidate.__name__}"
    ask = _answering(candidate, subject)
    with _threads(1):
        report = examine(ask, subject, dtype=dtype, seed=seed, name=name)
    return ReadableReport(**vars(report))


def assert_layer_parity(
    candidate: Callable[..., Any],
    layer: Network | str,
    *,
    dtype: str = "float32",
    device: str = "cpu",
    shapes: str = "any",
) -> None:
    """Raise AssertionError, with the report of `check_layer`, if a torch callable is wrong.

    Warns if it is right, but loses digits. The arguments are those of `check_layer`.

    Raises:
        AssertionError: its outputs or gradients are wrong.
        CannotCheck: it gives no answer that can be judged, or not all of it can.
        ValueError: as `check_layer`.
    """
    __tracebackhide__ = True  # pytest shows only the caller's line and the report
    report = check_layer(candidate, layer, dtype=dtype, device=device, shapes=shapes)
    said = in_one_line(report, report.name)
    if report.verdict == "cannot tell":
        raise CannotCheck(said)
    if not report.right:
        raise AssertionError(f"{said}\n\n{report}")
    if report.lost:
        warnings.warn(str(report), stacklevel=2)


def _check_one_of(name: str, value: str, known: Sequence[str]) -> None:
    if value not in known:
        raise ValueError(f"{name} must be {' or '.join(known)}, got {value!r}")


def _check_given(given: Sequence[Problem], subject: AnyNetwork) -> None:
    """Raise ValueError unless the problems are those of the subject's network, at its sizes."""
    for one in given:
        fixed = subject.fixed.items()
        others = {n: one.sizes.get(n) for n, size in fixed if one.sizes.get(n) != size}
        if others or one.values.keys() != subject.network.arguments.keys():
            wanted = subject.fixed if others else tuple(subject.network.arguments)
            got = others or tuple(one.values)
            raise ValueError(f"given must be problems of the network, with {wanted}, got {got}")


def _failure(
    backward: Callable[..., object],
    problems_given: Sequence[Problem] | None,
    dtype: str,
    subject: AnyNetwork,
) -> tuple[str, tuple[str, ...]]:
    """The message of an assertion, empty if all answers are right; the gradients not returned.

    Its first line, which pytest repeats at the end, is the verdict.

    Raises:
        CannotCheck: it gives no answer, or not everything in its answers can be judged.
    """
    name = getattr(backward, "__name__", "backward")
    if problems_given is None:
        report = _report(backward, dtype, subject)
        if report.verdict == "cannot tell":
            raise CannotCheck(in_one_line(report, name))
        said = "" if report.right else f"{in_one_line(report, name)}\n\n{as_text(report, name)}"
        return said, report.missing
    missing: dict[str, None] = {}
    for problem in problems_given:
        answer = in_this_process(backward, subject)(problem)
        with _threads(1):
            right = subject.reference(problem)
        if besides := [*answer.others, *answer.unnamed]:
            raise CannotCheck(f"it also returns {', '.join(besides)}, which is no gradient")
        missing |= {f"d{n}": None for n in subject.form.gradients if n not in answer.gradients}
        if agrees(answer.gradients, right) and agrees(answer.second, right) and not answer.impure:
            continue
        entries = worst_entries(answer.gradients, right, problem.name, problem.dtype)
        message = table(entries)
        if all(entry.right for entry in entries):
            effects = answer.impure or ("a second call returns a different gradient",)
            message = f"Not a pure function: {', '.join(effects)}"
        report = _report(backward, problem.dtype, subject)
        if report.right:
            return f"{name} is wrong at this problem, right at the designed ones\n\n{message}", ()
        return "\n\n".join([in_one_line(report, name), message, as_text(report, name)]), ()
    return "", tuple(missing)


def _examined(
    backward: Callable[..., object], dtype: str, subject: AnyNetwork, seed: int = 0
) -> Report:
    _check_one_of("dtype", dtype, _DTYPES)
    _check_callable(backward)
    name = getattr(backward, "__name__", "backward")
    ask, mender = _answering(backward, subject), InThisProcess(backward, subject)
    with _threads(1):
        return examine(ask, subject, dtype=dtype, seed=seed, name=name, mender=mender)


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """So many of torch's: with two, small problems take three times as long."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _answering(candidate: Callable[..., object], subject: AnyNetwork) -> Ask:
    """A function of this process, which keeps its number of threads."""
    ask, count = in_this_process(candidate, subject), torch.get_num_threads()

    def answer(problem: Any, *earlier: Any) -> Answer:
        with _threads(count):
            return ask(problem, *earlier)

    return answer


_report = lru_cache(maxsize=4)(_examined)  # hypothesis calls repeatedly while it shrinks


def _of_others(error: BaseException) -> TracebackType | None:
    """The traceback of an error without this project's leading frames, or all if none is left."""
    frames = error.__traceback__
    while frames and frames.tb_frame.f_globals.get("__name__", "").split(".")[0] in _OURS:
        frames = frames.tb_next
    return frames if frames or isinstance(error, CannotCheck) else error.__traceback__


def _blind_to(given: Sequence[Problem], subject: AnyNetwork) -> list[str]:
    """The mistakes in whole gradients, sums and states that none of these problems detects."""
    asked = []
    for problem in given:
        right = subject.reference(problem)
        gradients = {n: right.gradients[n] for n in subject.form.gradients}
        asked.append(Asked(problem, Answer(gradients, gradients), right))
    return subject.undetected(asked)


def problems(
    dtype: str | None = None,
    *,
    network: str | Network | None = None,
    corners: bool = True,
    shapes: str = "any",
    loss: str | None = None,
) -> Problems:
    """Random problems: general ones, long ones and, with `corners`, some with extreme values.

    Args:
        dtype: float32 or float64; both if left out.
        network, shapes, loss: as in `check`.
        corners: whether extreme values are among them.

    Raises:
        ModuleNotFoundError: hypothesis is not installed.
        ValueError: an argument is invalid.
    """
    if dtype is not None:
        _check_one_of("dtype", dtype, _DTYPES)
    subject = subject_for(network, shapes=shapes, loss=loss)
    try:
        from bptt_check import strategies
    except ModuleNotFoundError as error:
        if error.name != "hypothesis":
            raise
        needs = "problems needs hypothesis: pip install hypothesis"
        raise ModuleNotFoundError(needs, name=error.name) from None
    return strategies.problems(subject.network, subject.fixed, dtype, corners=corners)
