"""The process in which a contributor's file runs: `python -m bptt_check.process.child TASK`.

TASK is a JSON object: `file`, `function`, `definitions_only`, the `form` of its calls, and `texts`
to read in place of files. The process reads questions from standard input and answers on standard
output, in frames: 8 bytes of length, then as many bytes; first a JSON frame with the `notes` of a
training loop. A question is a JSON frame and a safetensors frame of arrays for each of several
problems: under `headers`, the JSON frame has the `sizes` and the memory layout of each. The last
problem is answered: by a JSON frame and, if that has no `error`, a safetensors frame with the
gradients of two calls and, as `other.LABEL` and `forward.NAME`, what else the first one and the
passes before the last returned. Each question is answered in a new fork, so that no call affects a
later one; where there is no fork, the file is loaded anew.
If its `mend` is true, a `Workshop` answers: with the edits that it offers, and then, for each frame
`{"edits": [...], "at": N}`, the gradients at problem N with these; an empty object ends it.
`bptt_check.judge.candidate` is the other end; it trusts no data from this process.
"""

import contextlib
import json
import os
import signal
import struct
import sys
import sysconfig
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from safetensors.numpy import load, save

from bptt_check.candidate.calling import EXTRA, Called, Form, Question, Refused, call
from bptt_check.candidate.layout import laid_out
from bptt_check.candidate.loading import has_read, load_function, place, read_instead
from bptt_check.process.limits import enclose, limit

if TYPE_CHECKING:
    from bptt_check.editing.workshop import Workshop

ANSWERED = 77  # the exit code of a fork that has answered
FORKS = hasattr(os, "fork")  # Windows does not


def read_frame(stream: BinaryIO) -> bytes | None:
    """The next frame, or None at the end."""
    head = stream.read(8)
    return stream.read(struct.unpack("<Q", head)[0]) if len(head) == 8 else None


def write_frame(stream: BinaryIO, content: bytes) -> None:
    """Write one frame."""
    stream.write(struct.pack("<Q", len(content)) + content)
    stream.flush()


def _question(header: Any, frame: bytes) -> Question:
    arrays = load(frame)
    inputs = {name: laid_out(arrays[name], strides) for name, strides in header["strides"].items()}
    return Question(inputs, header["sizes"], header["twice"])


def explain(error: BaseException, file: str) -> str:
    """The error as one line of text, with the innermost line that its author wrote.

    That is a line of the candidate's file, or of another one that it imports from its folder or
    loads with `load_function`, which is then named.
    """
    frames = traceback.extract_tb(error.__traceback__)
    lines = [(frame.filename, frame.lineno or 1) for frame in frames]
    message = str(error)
    if isinstance(error, SyntaxError) and error.filename and error.lineno:
        lines.append((error.filename, error.lineno))
        message = error.msg
    its = ""
    for where, line in lines:
        if os.path.realpath(where) == os.path.realpath(file):
            its = f" ({place(file, line)})"
        elif has_read(where) or _is_beside(where, file):
            its = f" ({os.path.basename(where)}, {place(where, line)})"
    return f"{type(error).__name__}: {message.strip() or 'no message'}{its}"


def _is_beside(other: str, file: str) -> bool:
    """Whether a file lies in the candidate's folder or below, and is none of a library or ours."""
    path, ours = Path(other).resolve(), Path(__file__).resolve().parents[1]
    twins = [ours.with_name(name) for name in ("rnn_numpy", "rnn_torch")]
    libraries = [ours, *twins, Path(sysconfig.get_paths()["stdlib"])]
    return (
        path.is_relative_to(Path(file).resolve().parent)
        and path.is_file()
        and "site-packages" not in path.parts
        and not any(path.is_relative_to(library) for library in libraries)
    )


def _frames(called: Called) -> tuple[bytes, bytes]:
    """An answer: its fields, with names for arrays; its arrays."""
    fields = called._asdict()
    arrays = fields.pop("arrays")
    for kind, field in EXTRA.items():
        arrays |= {f"{kind}.{name}": array for name, array in fields[field].items()}
        fields[field] = [*fields[field]]
    return json.dumps(fields).encode(), save(arrays)


def _work(workshop: "Workshop", requests: BinaryIO, out: BinaryIO) -> None:
    """Answer what gradients it gives with edits, until none are asked for."""
    offers = {"offers": workshop.offers, "functions": workshop.functions}
    write_frame(out, json.dumps(offers).encode())
    while asked := json.loads(read_frame(requests) or b"{}"):
        if "likely" in asked:
            quantities: dict[str, list[Any]] = {}
            for name, array in load(read_frame(requests) or b"").items():
                quantities.setdefault(name.split(".")[0], []).append(array)
            its = workshop.likely(quantities.values())
            write_frame(out, json.dumps({"likely": its}).encode())
            continue
        found = workshop.tried(asked["edits"], asked["at"])
        state = {"valid": found is not None, "seconds": workshop.seconds}
        write_frame(out, json.dumps(state).encode())
        if found is not None:
            write_frame(out, save(found))


def _streams() -> tuple[BinaryIO, BinaryIO]:
    """Standard input and output; the candidate has neither: its output is discarded."""
    streams = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    return streams


def _in_a_fork(answer: Callable[[], None], refuse: Callable[[str], None]) -> None:
    """Answer in a new process, which no later question sees; refuse if it ends without."""
    if pid := os.fork():
        _, status = os.waitpid(pid, 0)
        if os.WIFSIGNALED(status):
            refuse(f"it was killed by {signal.Signals(os.WTERMSIG(status)).name}")
        elif os.WEXITSTATUS(status) != ANSWERED:
            refuse(f"it left the process with exit code {os.WEXITSTATUS(status)}")
    else:
        with contextlib.suppress(BaseException):
            answer()
            os._exit(ANSWERED)
        os._exit(1)


def main(task: str) -> None:
    """Answer problems until standard input ends."""
    file, name, definitions_only, form, texts = json.loads(task).values()
    read_instead(texts)
    limit()
    if FORKS:
        enclose()
    problems, out = _streams()

    def refuse(message: str, kind: str = "") -> None:
        write_frame(out, json.dumps({"error": message, "kind": kind}).encode())

    def answer(load: Callable[[], Any], headers: Any, frames: list[bytes]) -> None:
        try:
            *before, question = questions = [*map(_question, headers["headers"], frames)]
            if headers["mend"]:
                # Imported here: a fifth of the time to start, and few files are asked for it.
                from bptt_check.editing.workshop import Workshop

                _work(Workshop(load(), Form(**form), questions), problems, out)
                return
            called = call(load(), Form(**form), question, *before)
        except Refused as error:
            refuse(str(error))
        except BaseException as error:
            refuse(f"it raises {explain(error, file)}", type(error).__name__)
        else:
            for frame in _frames(called):
                write_frame(out, frame)

    try:
        if form["outputs"]:
            import torch.fx.experimental.symbolic_shapes  # by a fork's first gradient: seconds

            torch.set_num_threads(1)
        function = load_function(file, name, definitions_only)
    except Refused as error:
        refuse(str(error))
        return
    except FileNotFoundError as error:
        refuse(explain(error, file) if Path(file).exists() else f"there is no file {file}")
        return
    except BaseException as error:
        is_left_out = isinstance(error, ImportError) or "in call to 'print'" in str(error)
        remedy = "--definitions-only skips imports that fail, and reads Python 2"
        remedy = f"; {remedy}" * (is_left_out and not definitions_only)
        refuse(f"running {file} raises {explain(error, file)}{remedy}")
        return
    write_frame(out, json.dumps({"notes": getattr(function, "notes", [])}).encode())

    while (frame := read_frame(problems)) is not None:
        headers = json.loads(frame)
        if not headers:  # the end of a workshop that has failed
            continue
        frames = [read_frame(problems) or b"" for _ in headers["headers"]]
        if not FORKS:
            answer(lambda: load_function(file, name, definitions_only), headers, frames)
        else:
            _in_a_fork(partial(answer, lambda: function, headers, frames), refuse)


if __name__ == "__main__":
    main(sys.argv[1])
