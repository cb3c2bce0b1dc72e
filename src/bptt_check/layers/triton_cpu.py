"""Run Triton kernels without a GPU, in Triton's interpreter: their gradients in any CI job."""

import ast
import os
import sys
from contextlib import nullcontext
from functools import wraps
from types import SimpleNamespace
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
        from triton.runtime.interpreter import ASTTransformer
    except ModuleNotFoundError as error:
        needs = "triton_on_cpu needs triton: pip install triton"
        raise ModuleNotFoundError(needs, name=error.name) from None
    if getattr(Autotuner.run, "takes_the_first", False):
        return
    if not torch.cuda.is_available():  # launchers write `with torch.cuda.device(x.device.index)`
        torch.cuda.device = nullcontext  # type: ignore[assignment, misc]
        one = SimpleNamespace(multi_processor_count=1)  # by which they split a sum
        torch.cuda.get_device_properties = lambda *_: one  # type: ignore[assignment]
    run = Autotuner.run

    def first(self: Any, *args: Any, **kwargs: Any) -> Any:
        self.configs = self.configs[:1]  # the others would be timed, on a GPU
        return run(self, *args, **kwargs)

    vars(first)["takes_the_first"] = True
    Autotuner.run = first
    _let_builtins_have_other_names()
    _make_masks_boolean()
    ASTTransformer.visit_For = _with_a_tensor_as_variable


def _let_builtins_have_other_names() -> None:
    """`exp = tl.exp` may be called as tl.exp, as it may where kernels are compiled."""
    import triton.language as tl
    from triton.runtime.interpreter import interpreter_semantic

    def named(builtin: Any) -> Any:
        @wraps(builtin)
        def call(*args: Any, **kwargs: Any) -> Any:
            return builtin(*args, **{"_semantic": interpreter_semantic, **kwargs})

        return call

    for package in (tl, tl.math):
        for name, its in vars(package).copy().items():
            if tl.core.is_builtin(its):
                setattr(package, name, named(its))


def _make_masks_boolean() -> None:
    """Triton 3.9 refuses the mask `inside & (t > 0)`: interpreted, it has integers."""
    from triton.runtime.interpreter import InterpreterBuilder

    def boolean(method: Any, place: int) -> Any:
        @wraps(method)
        def call(self: Any, *args: Any) -> Any:
            args[place].data = args[place].data.astype(bool)
            return method(self, *args)

        return call

    for name, place in (("create_masked_load", 1), ("create_masked_store", 2)):
        setattr(InterpreterBuilder, name, boolean(getattr(InterpreterBuilder, name), place))


def _with_a_tensor_as_variable(self: Any, loop: ast.For) -> ast.For:
    """The variable of a loop over a range is a tensor, as it is where kernels are compiled."""
    self.generic_visit(loop)
    called = loop.iter.func if isinstance(loop.iter, ast.Call) else None
    if "range" in (getattr(called, "id", ""), getattr(called, "attr", "")):
        name = ast.unparse(loop.target)
        made = ast.parse(f"{name} = interpreter_semantic.to_tensor({name}, False)").body
        loop.body[:0] = [ast.fix_missing_locations(ast.copy_location(each, loop)) for each in made]
    return loop
