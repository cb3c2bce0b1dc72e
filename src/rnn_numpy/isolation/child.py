"""The process in which a contributor's file runs: `python -m rnn_numpy.isolation.child REPLY FILE
FUNCTION`.

Reads questions from standard input and answers on the file descriptor REPLY, in frames: 8 bytes of
length, then that many. A question is one problem, or several in turn, of which the last counts: a
JSON frame, a list of how the arrays of each lie in memory, then for each a safetensors frame of
x, y, U, W, V. An answer is a JSON frame and, if that has no `error`, a safetensors frame with the
gradients of two calls. Each question is answered in a fork of its own, so that no call can leave
anything behind for a later one.
`rnn_torch.checker.candidate` is the other end. It trusts nothing that comes from here.
"""

import contextlib
import importlib.util
import json
import os
import signal
import struct
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from safetensors.numpy import load, save

from rnn_numpy.isolation.limits import enclose, limit

INPUTS = ("x", "y", "U", "W", "V")
NAMES = ("dU", "dW", "dV")
ANSWERED = 77  # the exit code of a fork that did


class Refused(Exception):
    """The candidate cannot be asked; the message is for its author."""


def read_frame(stream: BinaryIO) -> bytes | None:
    """The next frame, or None at the end."""
    head = stream.read(8)
    return stream.read(struct.unpack("<Q", head)[0]) if len(head) == 8 else None


def write_frame(stream: BinaryIO, content: bytes) -> None:
    """Write one frame."""
    stream.write(struct.pack("<Q", len(content)) + content)
    stream.flush()


def load_function(file: str, name: str) -> Callable[..., Any]:
    """Run the file and take the function out of it.

    Raises:
        Refused: no such function.
        Exception: whatever the file raises.
    """
    # As if the file were run by itself: what lies beside it can be imported.
    sys.path.insert(0, str(Path(file).resolve().parent))
    spec = importlib.util.spec_from_file_location(Path(file).stem, file)
    if spec is None or spec.loader is None:
        raise Refused(f"{file} is no Python file: its name must end in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    function: Any = module
    for part in name.split("."):
        function = getattr(function, part, None)
    if not callable(function):
        known = [n for n, v in vars(module).items() if callable(v) and not n.startswith("_")]
        raise Refused(
            f"{file} has no function {name!r}; it has {', '.join(known) or 'none at all'}"
        )
    return function


class Called(NamedTuple):
    """The gradients of two calls with the same inputs, in float64, and what was seen of them."""

    arrays: dict[str, Any]  # "first.dU" ... "second.dV"
    impure: list[str]
    bits: int  # of the narrowest floating-point type among the gradients


def laid_out(array: Any, strides: Sequence[int]) -> Any:
    """A copy with these strides, in bytes, 3 in the gaps; a plain one if they go backwards."""
    copy = array.copy()
    if copy.strides == tuple(strides) or any(s <= 0 or s % array.itemsize for s in strides):
        return copy
    last = sum((n - 1) * s for n, s in zip(array.shape, strides, strict=True)) // array.itemsize
    memory = np.full(last + 1, 3, array.dtype)
    apart: Any = np.ndarray(array.shape, array.dtype, memory, strides=tuple(strides))
    apart[...] = array
    return apart


def call(
    function: Callable[..., Any], inputs: Mapping[str, Any], *before: Mapping[str, Any]
) -> Called:
    """Call the function twice with copies of the same inputs, laid out as they are in memory.

    `before` are inputs that it is called with before that, in this order.

    Raises:
        Refused: an answer that is not three arrays of numbers.
        Exception: whatever the function raises.
    """
    for earlier_inputs in before:
        function(*(laid_out(array, array.strides) for array in earlier_inputs.values()))
    impure: list[str] = []
    answers: dict[str, Any] = {}
    earlier: dict[str, Any] = {}
    overwritten: list[str] = []
    for which in ("first", "second"):
        given = {name: laid_out(array, array.strides) for name, array in inputs.items()}
        returned = _named(function(*given.values()))
        for name, array in inputs.items():
            if not np.array_equal(given[name], array, equal_nan=True) and which == "first":
                impure.append(f"{name} is changed in place")
        for name, array in returned.items():
            answers[f"{which}.{name}"] = np.array(array, np.float64, order="C")
            for other in NAMES[: NAMES.index(name)] + tuple(given):
                buffer = returned.get(other, given.get(other))
                if which == "first" and np.shares_memory(array, buffer):
                    impure.append(f"{name} shares its memory with {other}")
        for name, array in earlier.items():
            if not np.array_equal(array, answers[f"first.{name}"], equal_nan=True):
                overwritten.append(name)
        earlier = dict(returned)
    if overwritten:
        impure.append(f"a second call changes what the first returned: {', '.join(overwritten)}")
    return Called(answers, impure, min(8 * array.itemsize for array in earlier.values()))


def _inputs(frame: bytes, strides: Mapping[str, Sequence[int]]) -> dict[str, Any]:
    arrays = load(frame)
    return {name: laid_out(arrays[name], strides[name]) for name in INPUTS}


def _named(returned: Any) -> dict[str, Any]:
    if isinstance(returned, Mapping):
        missing = [name for name in NAMES if name not in returned]
        if missing:
            raise Refused(f"it returned a mapping without {', '.join(missing)}")
        found = [returned[name] for name in NAMES]
    elif isinstance(returned, tuple | list) and len(returned) == 3:
        found = list(returned)
    else:
        got = type(returned).__name__
        if isinstance(returned, tuple | list):
            got += f" of {len(returned)}"
        raise Refused(f"it must return (dU, dW, dV) or a mapping with these keys, got {got}")
    for name, array in zip(NAMES, found, strict=True):
        if not isinstance(array, np.ndarray) or array.dtype.kind != "f":
            kind = f"{array.dtype} array" if isinstance(array, np.ndarray) else type(array).__name__
            raise Refused(f"{name} must be a NumPy array of floating-point numbers, got {kind}")
    return dict(zip(NAMES, found, strict=True))


def explain(error: BaseException, file: str) -> str:
    """The error in a line, with the line of the candidate's own file where it arose."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [f.lineno for f in frames if os.path.realpath(f.filename) == os.path.realpath(file)]
    where = f" (line {lines[-1]})" if lines else ""
    return f"{type(error).__name__}: {str(error).strip() or 'no message'}{where}"


def main(reply: int, file: str, name: str) -> None:
    """Answer problems until standard input ends."""
    limit()
    enclose()
    out = os.fdopen(reply, "wb")
    problems = os.fdopen(os.dup(0), "rb")
    # The candidate's own input and output go nowhere.
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)

    def refuse(message: str) -> None:
        write_frame(out, json.dumps({"error": message}).encode())

    try:
        function = load_function(file, name)
    except Refused as error:
        refuse(str(error))
        return
    except FileNotFoundError as error:
        refuse(explain(error, file) if Path(file).exists() else f"there is no file {file}")
        return
    except BaseException as error:
        refuse(f"running {file} raises {explain(error, file)}")
        return
    write_frame(out, json.dumps({}).encode())

    while (frame := read_frame(problems)) is not None:
        layouts = json.loads(frame)
        frames = [read_frame(problems) or b"" for _ in layouts]
        if pid := os.fork():
            _, status = os.waitpid(pid, 0)
            if os.WIFSIGNALED(status):
                refuse(f"it was killed by {signal.Signals(os.WTERMSIG(status)).name}")
            elif os.WEXITSTATUS(status) != ANSWERED:
                refuse(f"it left the process with exit code {os.WEXITSTATUS(status)}")
            continue
        with contextlib.suppress(BaseException):
            try:
                *before, inputs = map(_inputs, frames, layouts)
                called = call(function, inputs, *before)
            except Refused as error:
                refuse(str(error))
            except BaseException as error:
                refuse(f"it raises {explain(error, file)}")
            else:
                seen = {"impure": called.impure, "bits": called.bits}
                write_frame(out, json.dumps(seen).encode())
                write_frame(out, save(called.arrays))
            os._exit(ANSWERED)
        os._exit(1)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3])
