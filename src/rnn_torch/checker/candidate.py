"""Call a contributor's backward pass in a separate process.

A crash, an endless loop, a `sys.exit` or a changed global in that process harms nothing here.
`rnn_numpy.isolation.child` is the other end of the pipe.
"""

import contextlib
import json
import os
import secrets
import select
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from rnn_numpy.elman_network.params import Params
from rnn_numpy.elman_network.textbook import Backward
from rnn_numpy.isolation.child import NAMES, Called, Refused, call
from rnn_numpy.isolation.strangers import shown
from rnn_torch.checker.problems import Problem, Shapes

_LARGEST_FRAME = 1 << 28

#: What a candidate's process inherits of the environment: where things are, the language, Python's
#: settings, and those that choose how NumPy, torch and numba compute, so that it computes as this
#: process does. Nothing else, so no secret of a CI job; `check --env NAME` adds one.
_INHERITED = {"PATH", "HOME", "TMPDIR", "LANG", "LC_ALL", "LC_CTYPE", "LD_LIBRARY_PATH"}
_INHERITED_BEGINNINGS = (
    *("PYTHON", "DYLD_", "OMP_", "KMP_", "OPENBLAS_", "MKL_", "ONEDNN_", "VECLIB_"),
    *("NPY_", "ATEN_", "NUMBA_"),
)


class CannotCheck(Exception):
    """The candidate gave no answer that could be judged; the message says why, as `shown`."""

    def __init__(self, why: str) -> None:
        super().__init__(shown(why))


class NotFinite(CannotCheck):
    """It gave infinity or NaN where the gradient is finite."""


class Answer(NamedTuple):
    """What a candidate answered to one problem."""

    gradient: Params
    second: Params  # the same question again
    impure: tuple[str, ...]
    narrow: bool  # answered in a narrower dtype than it was asked in


#: A backward pass that can be asked problems: `ask(problem, *before)`, those `before` first, if
#: there are any, all in one process. Raises CannotCheck: no answer, or one that is not three finite
#: arrays of the right shapes.
Ask = Callable[..., Answer]


class Candidate:
    """`FILE.py:FUNCTION`, in its own process. Use as a context manager.

    Args:
        target: `FILE.py:FUNCTION`.
        shapes: the sizes it takes; says whether its arrays have a batch axis.
        timeout: seconds that it may take for one answer.
        env: names of environment variables that it gets beside the usual ones, if they are set.

    Raises:
        CannotCheck: it cannot be imported; also from calls, as in `Ask`.
    """

    def __init__(
        self, target: str, shapes: Shapes, timeout: float, env: Sequence[str] = ()
    ) -> None:
        file, _, name = target.rpartition(":")
        if not file or not name:
            raise CannotCheck(f"the candidate must be FILE.py:FUNCTION, got {target!r}")
        self._shapes = shapes
        self._timeout = timeout
        reply, worker_end = os.pipe()
        self._reply = reply
        # One thread: the problems are small, and the worker forks. All it starts has the mark.
        mark = ("RNN_BPTT_CANDIDATE", secrets.token_hex(16))
        self._mark = "=".join(mark)
        threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        environment = {**inherited(env), **threads, mark[0]: mark[1]}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "rnn_numpy.isolation.child", str(worker_end), file, name],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=[worker_end],
            start_new_session=True,
            env=environment,
        )
        os.close(worker_end)
        try:
            self._header()
        except CannotCheck:
            self.close()
            raise

    def __enter__(self) -> "Candidate":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the process and whatever it has started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for _ in range(100):  # until none is left that started another one meanwhile
            if not (marked := _processes(self._mark)):
                break
            for pid in marked:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.01)
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
        os.close(self._reply)

    def __call__(self, problem: Problem, *before: Problem) -> Answer:
        """Ask it one problem; raises CannotCheck, as `Ask` says."""
        inputs = [arguments(one, self._shapes) for one in (*before, problem)]
        layouts = [{name: array.strides for name, array in one.items()} for one in inputs]
        frames = [json.dumps(layouts).encode()]
        frames += [save({n: np.ascontiguousarray(a) for n, a in one.items()}) for one in inputs]
        assert self._process.stdin is not None
        try:
            for frame in frames:
                self._process.stdin.write(struct.pack("<Q", len(frame)) + frame)
            self._process.stdin.flush()
        except BrokenPipeError:
            raise CannotCheck("its process has ended") from None
        header = self._header(len(inputs))
        try:
            arrays = load(self._frame(time.monotonic() + self._timeout))
        except SafetensorError:
            raise CannotCheck("its process sent no answer that could be read") from None
        bits = header.get("bits", 64)
        return judged(Called(arrays, header.get("impure", []), bits), problem)

    def _header(self, answers: int = 1) -> dict[str, Any]:
        frame = self._frame(time.monotonic() + answers * self._timeout)
        try:
            header = json.loads(frame)
            error = header.get("error")
        except (ValueError, AttributeError):
            raise CannotCheck("its process sent no answer that could be read") from None
        if error is not None:
            raise CannotCheck(str(error)[:2000])
        return dict(header)

    def _frame(self, deadline: float) -> bytes:
        (length,) = struct.unpack("<Q", self._exactly(8, deadline))
        if length > _LARGEST_FRAME:
            raise CannotCheck("its process sent no answer that could be read")
        return self._exactly(length, deadline)

    def _exactly(self, count: int, deadline: float) -> bytes:
        read = bytearray()
        while len(read) < count:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self._reply], [], [], left)[0]:
                raise CannotCheck(f"it gave no answer within {self._timeout:g} seconds")
            chunk = os.read(self._reply, min(count - len(read), 1 << 20))
            if not chunk:
                raise CannotCheck("its process ended without an answer")
            read += chunk
        return bytes(read)


def inherited(also: Sequence[str] = ()) -> dict[str, str]:
    """The part of this process's environment that a candidate's gets, with the names in `also`."""
    return {
        name: value
        for name, value in os.environ.items()
        if name in _INHERITED or name.startswith(_INHERITED_BEGINNINGS) or name in also
    }


def _processes(mark: str) -> list[int]:
    """The living processes with this in their environment, where the system tells (Linux)."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if mark.encode() in (folder / "environ").read_bytes().split(b"\0"):
                found.append(int(folder.name))
    return found


def in_this_process(backward: Backward, shapes: Shapes | None = None) -> Ask:
    """Ask a function directly: for code that is trusted, such as one's own in a test."""
    return lambda problem, *before: _ask_directly(backward, shapes or Shapes(), problem, *before)


def remade(make: Callable[[], Backward]) -> Ask:
    """As `in_this_process`, with a function made anew for every problem: nothing is left behind."""
    return lambda problem, *before: _ask_directly(make(), Shapes(), problem, *before)


def _ask_directly(backward: Backward, shapes: Shapes, problem: Problem, *before: Problem) -> Answer:
    try:
        called = call(backward, *(arguments(one, shapes) for one in (problem, *before)))
    except Refused as error:
        raise CannotCheck(str(error)) from None
    return judged(called, problem)


def arguments(problem: Problem, shapes: Shapes) -> dict[str, Any]:
    """The five arrays a candidate is called with, in order."""
    x, y = problem.x, problem.targets
    if not shapes.batch_axis:
        x, y = x[:, 0, :], y[:, 0, :]
    return {"x": x, "y": y, **problem.params._asdict()}


def judged(called: Called, problem: Problem) -> Answer:
    """An answer whose arrays have the right shapes and are finite.

    Raises:
        CannotCheck: they have not, or are not.
    """
    calls = []
    for which in ("first", "second"):
        found = []
        for name, weights in zip(NAMES, problem.params, strict=True):
            array = called.arrays.get(f"{which}.{name}")
            if not isinstance(array, np.ndarray) or array.dtype != np.float64:
                raise CannotCheck("its process sent no answer that could be read")
            if array.shape != weights.shape:
                hint = ": transposed?" if array.shape == weights.shape[::-1] else ""
                raise CannotCheck(
                    f"{name} must have {name[1:]}'s shape {weights.shape}, got {array.shape}{hint}"
                )
            if not np.isfinite(array).all():
                index = [int(i) for i in np.argwhere(~np.isfinite(array))[0]]
                raise NotFinite(
                    f"{name}{index} is {array[tuple(index)]} at the problem {problem.name!r}"
                )
            found.append(array)
        calls.append(Params(*found))
    impure = tuple(shown(str(text)[:200]) for text in called.impure[:20])
    return Answer(calls[0], calls[1], impure, called.bits < 8 * problem.dtype.itemsize)
