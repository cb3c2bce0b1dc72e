"""Commands in processes of their own, forked from this one: `import torch` takes two seconds.

`Forked` is as `subprocess.Popen` of a command, its text captured. A forked process that needs other
packages than this one calls `imported_anew`.
"""

import importlib
import multiprocessing
import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from imports import OWN


class Forked:
    """`function(*args)` in a forked process, whose exit code is the return value."""

    def __init__(self, function: Callable[..., int], *args: Any) -> None:
        self._texts = [tempfile.TemporaryFile("w+") for _ in range(2)]  # noqa: SIM115 - kept open
        target = multiprocessing.get_context("fork").Process(
            target=_run, args=(self._texts, function, args)
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the threads of pytest-xdist and of JAX
            target.start()
        self._process = target
        assert target.pid is not None
        self.pid = target.pid

    def poll(self) -> int | None:
        """The exit code, negative for a signal; None while it runs."""
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        """Send it a signal, if it still runs."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def ended(self) -> tuple[int, str, str]:
        """Wait for its end: exit code, standard output, standard error."""
        self._process.join(300)
        code = self._process.exitcode
        assert code is not None, "it does not end"
        said = []
        for text in self._texts:
            text.seek(0)
            said.append(text.read())
            text.close()
        return code, said[0], said[1]

    def succeeded(self, code: int = 0) -> tuple[str, str]:
        """Wait for its end with this exit code: standard output, standard error."""
        found, out, err = self.ended()
        assert found == code, err[-2000:]
        return out, err


def _run(texts: Sequence[Any], function: Callable[..., int], args: Sequence[Any]) -> None:
    for descriptor, text in enumerate(texts, start=1):
        os.dup2(text.fileno(), descriptor)
    sys.stdout, sys.stderr = (os.fdopen(d, "w", buffering=1, closefd=False) for d in (1, 2))
    sys.exit(function(*args))


def imported_anew(name: str, source: Path | None = None) -> Any:
    """Forget our packages and import a module of them, from this folder if given."""
    for each in [each for each in sys.modules if each.startswith(OWN)]:
        del sys.modules[each]
    sys.meta_path[:] = [finder for finder in sys.meta_path if "jaxtyping" not in repr(finder)]
    if source is not None:
        sys.path.insert(0, str(source))
    module = importlib.import_module(name)
    assert source is None or str(source) in str(module.__file__)
    return module
