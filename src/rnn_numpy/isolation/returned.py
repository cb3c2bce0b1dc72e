"""Assign the results of a backward pass to the inputs of which they are the gradients."""

import ast
import inspect
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from typing import Any

import numpy as np

_LOSS = {"J", "E", "L"}  # names of a loss, beside those that end in loss or cost
_GRADIENT = (
    "d{}", "dLd{}", "dL_d{}", "d_{}", "D_{}", "grad_{}", "grad{}", "{}_grad", "{}_d", "{}_diff",
    "delta_{}", "g{}",
)  # fmt: skip


class Refused(Exception):
    """The candidate cannot be checked; the message tells its author why."""


def named(
    returned: Any,
    gradients: Sequence[str],
    required: Sequence[str],
    function: Any,
    attributes: Mapping[str, Any],
) -> tuple[dict[str, Any], float | None]:
    """The gradients by the names of their inputs, and the loss if it is returned.

    Args:
        returned: a mapping, or arrays, in order or as named by the `return` statement, with or
            without a loss; nothing if the gradients are attributes.
        gradients: the inputs of which it may return a gradient, in order.
        required: the inputs of which it must return a gradient.
        function: the function that returned it.
        attributes: the attributes of the pass's object, such as dW.

    Raises:
        Refused: gradients are missing, or are not arrays of floating-point numbers.
    """
    found, loss = _split(returned, gradients, required, function)
    for name in gradients:
        if name not in found and (key := key_of(name, attributes)) is not None:
            found[name] = attributes[key]
    if not found or not set(required) <= set(found):
        every = ", ".join(f"d{n}" for n in required or gradients)
        if isinstance(returned, Mapping):
            missing = ", ".join(f"d{n}" for n in required if n not in found) or every
            raise Refused(f"it returned a mapping without {missing}")
        got = type(returned).__name__
        if isinstance(returned, tuple | list):
            got += f" of {len(returned)}"
        raise Refused(f"it must return ({every}) or a mapping with these keys, got {got}")
    for name, array in found.items():
        if not isinstance(array, np.ndarray | np.floating) or array.dtype.kind != "f":
            kind = f"{array.dtype} array" if isinstance(array, np.ndarray) else type(array).__name__
            raise Refused(f"d{name} must be a NumPy array of floating-point numbers, got {kind}")
    number = None
    with suppress(TypeError, ValueError):
        number = None if loss is None else float(np.sum(loss))
    return {n: np.asarray(array) for n, array in found.items()}, number


def by_name(returned: Any, function: Any) -> dict[str, Any]:
    """The returned values by the names of the variables in `return`; a mapping as it is."""
    if isinstance(returned, Mapping):
        return dict(returned)
    returns, tuples = statements(function)
    found: dict[str, Any] = {}
    for names in returns:
        if len(names) == 1:
            found = {names[0]: returned}
        elif isinstance(returned, tuple | list) and len(names) == len(returned):
            found = dict(zip(names, returned, strict=True))
    for name, value in list(found.items()):
        parts = tuples.get(name, [])
        if isinstance(value, tuple | list) and len(parts) == len(value):
            found = {**dict(zip(parts, value, strict=True)), **found}
    return found


def _split(
    returned: Any, gradients: Sequence[str], required: Sequence[str], function: Any
) -> tuple[dict[str, Any], Any]:
    """The gradients and the loss, identified by their names; without names by their number."""
    names = by_name(returned, function)
    loss = next((v for k, v in names.items() if _is_loss(k)), None)
    found = {n: names[k] for n in gradients if (k := key_of(n, names)) is not None}
    if isinstance(returned, Mapping):  # a key may be the input's own name, a variable may not
        return {**{n: returned[n] for n in gradients if n in returned}, **found}, loss
    if found and set(required) <= set(found):
        return found, loss
    if not isinstance(returned, tuple | list):
        return ({gradients[0]: returned} if len(gradients) == 1 else {}), loss
    in_order = required or gradients
    mappings = [one for one in returned if isinstance(one, Mapping)]
    if len(returned) == len(in_order) and len(mappings) != 1:
        return dict(zip(in_order, returned, strict=True)), loss
    inner: list[Any] = mappings or [one for one in returned if isinstance(one, tuple | list)]
    if len(inner) == 1:  # a loss, and a mapping or tuple of the gradients
        found, its = _split(inner[0], gradients, required, None)
        numbers = [one for one in returned if np.isscalar(one) or isinstance(one, np.ndarray)]
        only = numbers[0] if len(numbers) == 1 and np.size(numbers[0]) == 1 else None
        return found, next((one for one in (its, loss, only) if one is not None), None)
    return {}, loss


def key_of(name: str, keys: Any) -> str | None:
    """The key of the gradient of `name`: dW, dLdW, grad_W, W_grad, ...; None if there is none."""
    return next((k for form in _GRADIENT if (k := form.format(name)) in keys), None)


def _is_loss(name: str) -> bool:
    """Whether a variable of this name is a loss."""
    return name.lower().endswith(("loss", "cost")) or name in _LOSS


@cache
def statements(function: Any) -> tuple[list[list[str]], dict[str, list[str]]]:
    """The variables of every `return`, in order; for each variable set to a tuple, those in it."""
    returns: list[list[str]] = []
    tuples: dict[str, list[str]] = {}
    nodes = [n for n in ast.walk(_source(function)) if isinstance(n, ast.Return | ast.Assign)]
    for node in sorted(nodes, key=lambda n: n.lineno):
        if node.value is not None:
            several = node.value.elts if isinstance(node.value, ast.Tuple | ast.List) else None
            names = [last_name(part) for part in several or [node.value]]
            if isinstance(node, ast.Return):
                returns.append(names)
            elif several and isinstance(node.targets[0], ast.Name):
                tuples[node.targets[0].id] = names
    return returns, tuples


def _source(function: Any) -> ast.AST:
    """The syntax tree of a function; an empty one if its source is not available."""
    try:
        text = inspect.getsource(inspect.unwrap(function))
        return ast.parse(text if text[:1].strip() else f"if True:\n{text}")  # a method is indented
    except (OSError, TypeError, SyntaxError):
        return ast.Module([], [])


def last_name(node: ast.expr) -> str:
    """`W` of W, self.W and p["W"]; the text of anything else."""
    if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
        return str(node.slice.value)
    return ast.unparse(node).rpartition(".")[2]
