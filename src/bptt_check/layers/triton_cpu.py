"""Run Triton kernels without a GPU, in Triton's interpreter: their gradients in any CI job."""

import os
import sys
from contextlib import nullcontext
from typing import Any

import torch


def triton_on_cpu() -> None:
    """Let Triton interpret every kernel that is defined from now on; call it before importing them.

    The interpreter runs the programs of a kernel one after the other, in NumPy: it shows mistakes
    of arithmetic and indexing. It shows no race between programs, tunes nothing (the first
    configuration is taken, with its `pre_hook`), has no tensor cores and no TF32, and is slow.

    Raises:
        ModuleNotFoundError: triton is not installed.
        RuntimeError: triton has been imported to compile.
    """
    if "triton" in sys.modules and os.environ.get("TRITON_INTERPRET") != "1":
        raise RuntimeError(
            "triton_on_cpu must be called before triton is imported, such as in conftest.py: "
            "kernels that have been defined are compiled for a GPU"
        )
    os.environ["TRITON_INTERPRET"] = "1"
    try:
        from triton.runtime.autotuner import Autotuner
    except ModuleNotFoundError as error:
        needs = "triton_on_cpu needs triton: pip install triton"
        raise ModuleNotFoundError(needs, name=error.name) from None
    if getattr(Autotuner.run, "takes_the_first", False):
        return
    if not torch.cuda.is_available():  # launchers write `with torch.cuda.device(x.device.index)`
        torch.cuda.device = nullcontext  # type: ignore[assignment, misc]
    run = Autotuner.run

    def first(self: Any, *args: Any, **kwargs: Any) -> Any:
        self.configs = self.configs[:1]  # the others would be timed, on a GPU
        return run(self, *args, **kwargs)

    vars(first)["takes_the_first"] = True
    Autotuner.run = first
