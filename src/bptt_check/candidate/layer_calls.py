"""Call a layer: any torch callable, on tensors of the inputs; autograd asks its backward pass.

Only here a candidate's process imports torch: before it forks, since importing takes seconds.
"""

import inspect
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from bptt_check.candidate.returned import Form, Refused

Arrays = Mapping[str, Any]


def run_layer(function: Any, form: Form, given: Arrays) -> tuple[dict[str, Any], dict[str, Any]]:
    """Call it once.

    Args:
        function: a callable, an `autograd.Function`, or a module, whose parameters of an input's
            name are replaced.
        form: its inputs, and the upstream gradients of its outputs.
        given: the arrays of both.

    Returns:
        The gradients, and the outputs by their upstream gradients.

    Raises:
        Refused: it returns something else than the outputs.
    """
    import torch

    names = [n for n in form.inputs if n not in form.outputs]
    tensors = {n: _tensor(given[n], form) for n in form.inputs}
    tensors |= {n: torch.view_as_complex(tensors[n]) for n in form.complex}
    for name in form.gradients:
        tensors[name].requires_grad_()
    with torch.enable_grad():
        returned = _called(function, names, tensors)
    outputs = dict(zip(form.outputs, _outputs(returned, form, tensors), strict=True))
    pairs = [(o, tensors[n]) for n, o in outputs.items() if o.requires_grad]
    found: Any = [None] * len(form.gradients)
    if pairs:
        of = [tensors[n] for n in form.gradients]
        upstreams = [u.to(o.dtype) for o, u in pairs]
        found = torch.autograd.grad([o for o, _ in pairs], of, upstreams, allow_unused=True)
    gradients = {
        n: _array(torch.zeros_like(tensors[n]) if g is None else g)
        for n, g in zip(form.gradients, found, strict=True)
    }
    return gradients, {n: _array(o) for n, o in outputs.items()}


def _called(function: Any, names: list[str], tensors: Mapping[str, Any]) -> Any:
    """What it returns: inputs are passed by name if its parameters have these, else in order."""
    import torch

    if isinstance(function, type) and issubclass(function, torch.autograd.Function):
        function = function.apply
    if isinstance(function, torch.nn.Module):
        own = {n: tensors[n] for n in names if n in dict(function.named_parameters())}
        names = [n for n in names if n not in own]
        return torch.func.functional_call(function, own, tuple(tensors[n] for n in names))
    try:
        parameters = {*inspect.signature(function).parameters}
    except (TypeError, ValueError):
        parameters = set()
    if parameters.issuperset(names):
        return function(**{n: tensors[n] for n in names})
    return function(*(tensors[n] for n in names))


def _outputs(returned: Any, form: Form, tensors: Mapping[str, Any]) -> list[Any]:
    """The tensors that it returns, in order or by name.

    Raises:
        Refused: they are not as many as the outputs, or have other shapes.
    """
    wanted = {name: tuple(tensors[n].shape) for n, name in form.outputs.items()}
    complex_ones = {form.outputs[n] for n in form.complex if n in form.outputs}
    if isinstance(returned, Mapping) and set(wanted) <= set(returned):
        returned = [returned[name] for name in wanted]
    found = [t for t in _leaves(returned) if t is not None]
    if len(found) != len(wanted) or not all(hasattr(t, "requires_grad") for t in found):
        what = [type(t).__name__ for t in found]
        raise Refused(
            f"it must return the {len(wanted)} tensors {', '.join(wanted)}, got {len(found)}: "
            f"{', '.join(what) or 'nothing'}"
        )
    for tensor, (name, shape) in zip(found, wanted.items(), strict=True):
        if tuple(tensor.shape) != shape:
            hint = ": transposed?" if sorted(tensor.shape) == sorted(shape) else ""
            raise Refused(f"{name} must have the shape {shape}, got {tuple(tensor.shape)}{hint}")
        if tensor.is_complex() != (name in complex_ones):
            kind = "complex" if name in complex_ones else "real"
            raise Refused(f"{name} must be {kind}, got {tensor.dtype}")
    return found


def _leaves(of: Any) -> Iterator[Any]:
    if isinstance(of, tuple | list):
        for each in of:
            yield from _leaves(each)
    else:
        yield of


def _tensor(array: Any, form: Form) -> Any:
    """A tensor of the array's layout: also one that a sum's upstream gradient is, expanded."""
    import torch

    one = array
    if 0 in array.strides:
        one = array[tuple(slice(None if s else 1) for s in array.strides)].copy()
    tensor = torch.from_numpy(one)
    dtype = getattr(torch, form.dtype) if form.dtype and one.dtype.kind == "f" else tensor.dtype
    return tensor.to(form.device, dtype).expand(array.shape)


def _array(tensor: Any) -> Any:
    import torch

    its = tensor.detach().cpu().resolve_conj().resolve_neg()
    its = its.float() if its.dtype is torch.bfloat16 else its
    return np.array((torch.view_as_real(its) if its.is_complex() else its).numpy(), order="C")
