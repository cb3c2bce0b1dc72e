"""Call a contributor's backward pass in a separate process.

A crash, an endless loop, a `sys.exit` or a changed global in that process does no harm here.
`bptt_check.process.child` is the other end of the pipe.
"""

import contextlib
import json
import os
import secrets
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from bptt_check.candidate.calling import EXTRA, Called, Refused, call
from bptt_check.candidate.escaping import shown
from bptt_check.candidate.loading import functions_in
from bptt_check.editing.workshop import Offer, Workshop
from bptt_check.judge.any_network import AnyNetwork
from bptt_check.judge.asking import Answer, Ask, CannotCheck

_LARGEST_FRAME = 1 << 28
_ENDED = "its process ended without an answer"
_UNREADABLE = "its process sent an answer that cannot be decoded"

#: The environment variables that a candidate's process inherits: paths, the language, Python's
#: settings, and the numerical settings of NumPy, torch and our kernels, so that both processes
#: compute alike. No others, so no secret of a CI job; `check --env NAME` adds one.
_INHERITED = {"PATH", "HOME", "TMPDIR", "LANG", "LC_ALL", "LC_CTYPE", "LD_LIBRARY_PATH"}
_INHERITED |= {"SYSTEMROOT", "USERPROFILE", "TEMP", "TMP"}  # Windows
_INHERITED_PREFIXES = (
    *("PYTHON", "DYLD_", "OMP_", "KMP_", "OPENBLAS_", "MKL_", "ONEDNN_", "VECLIB_"),
    *("NPY_", "ATEN_", "RNN_KERNELS"),
)


def _what_is_missing(target: str) -> str:
    """The message for a target without a function: those of the file."""
    try:
        found = functions_in(target)
    except (Refused, OSError, ValueError, SyntaxError):
        return f"the candidate must be FILE.py:FUNCTION, got {target!r}"
    if not found:
        return f"{target} has no function: put the backward pass into one"
    return f"add the function to check, as in {target}:{found[0].partition('(')[0]}; it has " + (
        "; ".join(found)
    )


class Candidate:
    """`FILE.py:FUNCTION`, in its own process. Use as a context manager.

    Args:
        target: `FILE.py:FUNCTION`.
        subject: the network; says what the function is called with.
        timeout: time limit for one answer, in seconds.
        env: names of further environment variables that it inherits, if they are set.
        definitions_only: run only the imports and definitions of the file.
        texts: what is read in place of these files.

    Raises:
        CannotCheck: the file cannot be imported; calls raise it too, as in `Ask`.
    """

    def __init__(
        self,
        target: str,
        subject: AnyNetwork,
        timeout: float,
        env: Sequence[str] = (),
        definitions_only: bool = False,
        texts: Mapping[str, str] | None = None,
    ) -> None:
        self._again = target, subject, timeout, env, definitions_only
        file, _, name = target.rpartition(":")
        if not file or not name:
            raise CannotCheck(_what_is_missing(target))
        self._subject = subject
        self._timeout = timeout
        # One thread: the problems are small, and the worker forks. Its children inherit the mark.
        mark = ("RNN_BPTT_CANDIDATE", secrets.token_hex(16))
        self._mark = "=".join(mark)
        threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        environment = {**inherited(env), **threads, mark[0]: mark[1]}
        task = {"file": file, "function": name, "definitions_only": definitions_only}
        task |= {"form": subject.form._asdict(), "texts": dict(texts or {})}
        child = [sys.executable, "-m", "bptt_check.process.child"]
        self._process = subprocess.Popen(
            [*child, json.dumps(task)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            env=environment,
        )
        self._unread = b""
        try:
            notes = self._header().get("notes")
        except CannotCheck:
            self.close()
            raise
        #: What is wrong in a training step but for the gradient.
        self.notes = _texts(notes if isinstance(notes, list) else [], 20)

    def __enter__(self) -> "Candidate":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the process and all processes that it has started."""
        with contextlib.suppress(ProcessLookupError):
            if hasattr(os, "killpg"):
                os.killpg(self._process.pid, signal.SIGKILL)
            else:  # Windows
                self._process.kill()
        self._process.wait()
        for _ in range(100):  # a process may start another one while it is being killed
            if not (marked := _processes(self._mark)):
                break
            for pid in marked:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.01)
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            with contextlib.suppress(OSError):
                pipe.close()

    def __call__(self, problem: Any, *earlier: Any) -> Answer:
        """Ask one problem, after those in `earlier`; raises CannotCheck, as `Ask` does."""
        self._send([*earlier, problem])
        self._subject.prepare(problem)
        header = self._header(1 + len(earlier))
        arrays = self._arrays()
        try:
            for kind, field in EXTRA.items():
                header[field] = {name: arrays.pop(f"{kind}.{name}") for name in header[field]}
            return judged(Called(arrays, **header), problem, self._subject)
        except (KeyError, TypeError):  # its fields may be anything
            raise CannotCheck(_UNREADABLE) from None

    def edited(self, texts: Mapping[str, str], *_: object) -> "Candidate":
        """The same in a new process, which reads these texts in place of files."""
        return Candidate(*self._again, texts=texts)

    @contextlib.contextmanager
    def workshop(self, problems: Sequence[Any]) -> Iterator["Remote"]:
        """Its lines can be changed, in this context; no problem can be asked meanwhile."""
        self._send(problems, mend=True)
        header = self._header(len(problems))
        try:
            yield Remote(self, header)
        finally:
            self._write([b"{}"])

    def _send(self, problems: Sequence[Any], mend: bool = False) -> None:
        headers, frames = [], list[bytes]()
        for inputs, sizes, twice in map(self._subject.question, problems):
            strides = {name: array.strides for name, array in inputs.items()}
            headers.append({"strides": strides, "sizes": dict(sizes), "twice": twice})
            frames.append(save({n: np.ascontiguousarray(a) for n, a in inputs.items()}))
        self._write([json.dumps({"headers": headers, "mend": mend}).encode(), *frames])

    def _write(self, frames: Sequence[bytes]) -> None:
        assert self._process.stdin is not None
        try:
            for frame in frames:
                self._process.stdin.write(struct.pack("<Q", len(frame)) + frame)
            self._process.stdin.flush()
        except OSError:
            raise CannotCheck(_ENDED, ended=True) from None

    def _header(self, answers: int = 1) -> dict[str, Any]:
        frame = self._frame(time.monotonic() + answers * self._timeout)
        try:
            header = json.loads(frame)
            error = header.get("error")
        except (ValueError, AttributeError, RecursionError):
            raise CannotCheck(_UNREADABLE, ended=True) from None
        if error is not None:
            raise CannotCheck(str(error)[:2000], kind=str(header.get("kind", ""))[:100])
        return dict(header)

    def _arrays(self) -> dict[str, np.ndarray]:
        try:
            return load(self._frame(time.monotonic() + self._timeout))
        except (SafetensorError, KeyError):  # a type that NumPy lacks
            raise CannotCheck(_UNREADABLE, ended=True) from None

    def _frame(self, deadline: float) -> bytes:
        (length,) = struct.unpack("<Q", self._exactly(8, deadline))
        if length > _LARGEST_FRAME:
            raise CannotCheck(_UNREADABLE, ended=True)
        return self._exactly(length, deadline)

    def _exactly(self, count: int, deadline: float) -> bytes:
        assert self._process.stdout is not None
        pipe, read = self._process.stdout.fileno(), bytearray(self._unread)
        while len(read) < count:
            if not _readable(pipe, max(0, deadline - time.monotonic())):
                self._process.kill()  # a late answer would be taken for the next one
                why = f"it gave no answer within {self._timeout:g} seconds"
                raise CannotCheck(why, ended=True)
            chunk = os.read(pipe, 1 << 20)
            if not chunk:
                raise CannotCheck(_ENDED, ended=True)
            read += chunk
        self._unread = bytes(read[count:])
        return bytes(read[:count])


class Remote:
    """The `Workshop` of a candidate, in its process."""

    def __init__(self, candidate: Candidate, header: Mapping[str, Any]) -> None:
        self._candidate, self.seconds = candidate, 0.0
        try:
            self.functions = [
                (str(file), int(first), str(text)) for file, first, text in header["functions"]
            ]
            self.offers = [Offer(*each) for each in header["offers"]]
            lengths = [len(text.encode()) for _, _, text in self.functions]
            if not all(0 <= o.start <= o.end <= lengths[o.function] for o in self.offers):
                raise ValueError
        except (KeyError, TypeError, ValueError, IndexError):
            raise CannotCheck(_UNREADABLE, ended=True) from None

    def likely(self, quantities: Sequence[Sequence[Any]]) -> list[int]:
        """The edits with which more lines compute one of these, at the first question."""
        arrays = {
            f"{n}.{k}": np.ascontiguousarray(a)
            for n, its in enumerate(quantities)
            for k, a in enumerate(its)
        }
        self._candidate._write([json.dumps({"likely": True}).encode(), save(arrays)])
        found = self._candidate._header(3).get("likely")
        if not isinstance(found, list):
            raise CannotCheck(_UNREADABLE, ended=True)
        return [n for n in found if isinstance(n, int) and 0 <= n < len(self.offers)]

    def tried(self, edits: Sequence[int], question: int) -> Mapping[str, Any] | None:
        """The gradients with these edits; None if it fails."""
        self._candidate._write([json.dumps({"edits": [*edits], "at": question}).encode()])
        header = self._candidate._header()
        if isinstance(seconds := header.get("seconds"), float):
            self.seconds = seconds
        if not header.get("valid"):
            return None
        return self._candidate._arrays()


def _readable(pipe: int, seconds: float) -> bool:
    """Wait until a pipe has bytes or has ended; False if neither happens within these seconds.

    No thread reads it: one that is alive when the interpreter ends may abort the process.
    """
    if sys.platform == "win32":  # which cannot wait for such a pipe
        import _winapi
        from msvcrt import get_osfhandle

        deadline = time.monotonic() + seconds
        with contextlib.suppress(BrokenPipeError):  # it has ended
            while not _winapi.PeekNamedPipe(get_osfhandle(pipe), 0)[0]:
                if time.monotonic() >= deadline:
                    return False
                time.sleep(0.001)
        return True
    return bool(wait([pipe], seconds))


def inherited(extra: Sequence[str] = ()) -> dict[str, str]:
    """The environment variables that a candidate inherits, and those named in `extra`."""
    return {
        name: value
        for name, value in os.environ.items()
        if name in _INHERITED or name.startswith(_INHERITED_PREFIXES) or name in extra
    }


def _processes(mark: str) -> list[int]:
    """The running processes with this mark in their environment; none if not on Linux."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if mark.encode() in (folder / "environ").read_bytes().split(b"\0"):
                found.append(int(folder.name))
    return found


def in_this_process(backward: Callable[..., Any], subject: AnyNetwork) -> Ask:
    """Call a function directly: for trusted code, such as your own in a test."""

    def ask(problem: Any, *earlier: Any) -> Answer:
        try:
            called = call(backward, subject.form, *map(subject.question, (problem, *earlier)))
        except Refused as error:
            raise CannotCheck(str(error)) from None
        except Exception as error:
            kind = type(error).__name__
            raise CannotCheck(f"it raises {kind}: {error}", kind=kind) from error
        return judged(called, problem, subject)

    return ask


class InThisProcess:
    """A function of this process, whose lines can be changed."""

    def __init__(self, function: Callable[..., Any], subject: AnyNetwork) -> None:
        self._function, self._subject = function, subject

    @contextlib.contextmanager
    def workshop(self, problems: Sequence[Any]) -> Iterator[Workshop]:
        """It, with the edits of its lines."""
        its = self._subject
        yield Workshop(self._function, its.form, [*map(its.question, problems)])

    @contextlib.contextmanager
    def edited(
        self, texts: Mapping[str, str], workshop: Workshop, edits: Sequence[int]
    ) -> Iterator[Ask]:
        """It, with edits, in this context."""
        with workshop.program.with_edits([workshop.edits[number] for number in edits]):
            yield in_this_process(self._function, self._subject)


def judged(called: Called, problem: Any, subject: AnyNetwork) -> Answer:
    """The answer of a call, once its arrays are known to be of the right shape.

    Raises:
        CannotCheck: an array has a wrong shape.
    """
    inputs = subject.question(problem).inputs
    names = [n for n in subject.form.gradients if f"first.{n}" in called.arrays]
    if not names or not set(subject.form.required) <= set(names):
        raise CannotCheck(_UNREADABLE)
    for label, name in product(("first", "second"), names):
        array, shape = called.arrays.get(f"{label}.{name}"), inputs[name].shape
        if not isinstance(array, np.ndarray) or array.dtype != np.float64:
            raise CannotCheck(_UNREADABLE)
        if array.shape != shape:
            hint = ": transposed?" if array.shape == shape[::-1] else ""
            must = f"d{name} must have {name}'s shape {shape}, got {array.shape}{hint}"
            raise CannotCheck(must, kind="shape")
    forward = {shown(name[:200]): array for name, array in called.forward.items()}
    outputs = {n: a for n, a in forward.items() if n in subject.form.outputs}
    extra = [*called.others.values(), *forward.values()]
    if any(array.dtype != np.float64 for array in extra) or any(
        outputs[n].shape != inputs[n].shape for n in outputs
    ):
        raise CannotCheck(_UNREADABLE)
    return Answer(
        {n: called.arrays[f"first.{n}"] for n in names},
        {n: called.arrays[f"second.{n}"] for n in names},
        _texts(called.impure, 20),
        called.bits < max(8 * a.itemsize for a in inputs.values() if a.dtype.kind == "f"),
        called.loss,
        {shown(name[:200]): array for name, array in called.others.items()},
        _texts(called.unnamed),
        _texts(called.set_globals),
        tuple(name for name in called.placed if name in names),
        forward,
        outputs,
    )


def _texts(found: Any, most: int = 200) -> tuple[str, ...]:
    """The first texts of a list from a candidate, as they can be shown."""
    return tuple(shown(str(text)[:200]) for text in found[:most])
