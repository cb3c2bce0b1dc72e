"""Assign the results of a backward pass to the inputs of which they are the gradients.

What is returned is flattened into elements. Each is identified by its name, as the loss, or by its
place; what is left is carried on under its label, or listed: nothing is dropped.
"""

import ast
import inspect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import fields, is_dataclass
from functools import cache
from itertools import islice, product
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np

_LOSS = {"J", "E", "L"}  # names of a loss, beside those that end in loss or cost
_GRADIENT = (
    "d{}", "dLd{}", "dL_d{}", "d_{}", "D_{}", "grad_{}", "grad{}", "{}_grad", "{}_d", "{}_diff",
    "delta_{}", "g{}",
)  # fmt: skip
_SPELT_ALIKE = ("d{}", "dLd{}", "grad{}", "{}grad", "delta{}", "g{}")  # without underscores
_SAME_VALUE = {"copy", "tolist", "item", "numpy", "detach", "cpu", "astype", "float", "double"}
_SAME_VALUE |= {"array", "asarray", "reshape", "squeeze", "ravel", "contiguous", "clone"}


_NUMBER = np.generic | bool | int | float | complex
_MOST = 10_000  # elements that are read


class Refused(Exception):
    """The candidate cannot be checked; the message tells its author why."""


class Results(NamedTuple):
    """What a backward pass returned.

    `others`: the numbers that are neither a gradient nor the loss, by their labels. `unnamed`: the
    labels of elements that are no numbers. `placed`: the inputs but weights whose gradient has only
    its place to tell it by, where a state could stand.
    """

    gradients: dict[str, Any]
    loss: float | None
    others: dict[str, Any]
    unnamed: list[str]
    placed: Sequence[str] = ()


class Form(NamedTuple):
    """The inputs and the results of a backward pass, as values that JSON can represent.

    `inputs`: their names, in order. `gradients`: the inputs of which it may return a gradient, in
    order; `required`: those of which it must. `rate`: if given, the pass returns nothing and
    subtracts the gradients times this number from its inputs. `weights`: the inputs that are
    neither given at every step nor an initial state; empty if unknown. `axes`: those of each
    input, as text; empty if unknown. `outputs`: of a layer, the name of what each upstream gradient
    among the inputs is of; `device`: where it is called; `complex`: the inputs and upstream
    gradients of complex numbers, whose last axis holds their two parts; `dtype`: of the tensors, if
    it is not that of the arrays.
    """

    inputs: Sequence[str]
    gradients: Sequence[str]
    required: Sequence[str] = ()
    rate: float | None = None
    weights: Sequence[str] = ()
    axes: Sequence[str] = ()
    outputs: Mapping[str, str] = {}
    device: str = "cpu"
    complex: Sequence[str] = ()
    dtype: str = ""


class Part(NamedTuple):
    """A returned expression: its text, the variable whose value it is, and its own parts."""

    text: str
    name: str
    parts: tuple["Part", ...] = ()


class _Element(NamedTuple):
    """A leaf of what was returned; `name`: its key or its variable, empty if unknown."""

    label: str
    name: str
    is_key: bool
    value: Any


class _Names(NamedTuple):
    """What the names of elements can mean, in an answer of this form.

    `inputs`: the values of all; `aliases`: the input that is meant by a name in a gradient's name;
    `taken`: the names of inputs, which no gradient has that is found by its place; `orders`: the
    inputs of which the gradients may be returned by position.
    """

    form: "Form"
    inputs: Mapping[str, Any] = {}
    aliases: Mapping[str, str] = {}
    taken: AbstractSet[str] = frozenset()
    orders: Sequence[Sequence[str]] = ()


class _Reading(NamedTuple):
    """Elements, the gradients among them by the names of their inputs, and the loss."""

    elements: list[_Element]
    found: dict[str, _Element]
    loss: _Element | None

    @property
    def left(self) -> list[_Element]:
        """The elements without a meaning."""
        return _without(self.elements, *self.found.values(), self.loss)

    def results(self, gradients: dict[str, Any], placed: Sequence[str] = ()) -> Results:
        """With these gradients, the loss and the rest: numbers by their labels, other labels."""
        others: dict[str, Any] = {}
        unnamed = []
        for element in self.left:
            label = element.label
            if (array := array_of(element.value)) is None:
                unnamed.append(label)
            else:
                others[f"{label} ({len(others)})" if label in others else label] = array
        loss = None if self.loss is None else float(np.sum(array_of(self.loss.value)))
        return Results(gradients, loss, others, unnamed, placed)


def _without(elements: Iterable[_Element], *some: _Element | None) -> list[_Element]:
    """The elements but these; two that are equal are not the same."""
    return [e for e in elements if not any(e is one for one in some)]


def named(
    returned: Any,
    form: Form,
    inputs: Mapping[str, Any],
    function: Any,
    attributes: Mapping[str, Any],
    own: Mapping[str, str],
) -> Results:
    """The gradients by the names of their inputs, the loss if it is returned, and what is left.

    Args:
        returned: mappings, tuples and lists of arrays, numbers, tensors or None (a gradient of
            zero), in order or as named by the `return` statement; nothing if the gradients are
            attributes.
        form: the `Form` of the pass.
        inputs: the values of all inputs.
        function: the function that returned it.
        attributes: the attributes of the pass's object, such as dW or grads.
        own: the inputs by the pass's own names, if it gets them by position.

    Raises:
        Refused: gradients are missing, or are not arrays of floating-point numbers.
    """
    aliases = {n: n for n in form.gradients if n not in own} | dict(own)
    aliases = {alias: n for alias, n in aliases.items() if n in form.gradients}
    orders = [order for order in (form.required, form.gradients, form.weights) if order]
    names = _Names(form, inputs, aliases, {*inputs, *own}, orders)
    kept = _read(list(_attributes(attributes, names)), names).found
    if kept:  # so what is returned are no gradients, unless they are named
        names = names._replace(orders=[form.required] if form.required else [])
    part = _part_of(returned, function)
    # A list of arrays of one shape is one array, or several: whichever leaves less without meaning.
    lists = [_leaves(returned, part, names, stacked) for stacked in (True, False)]
    tried = [_read(elements, names) for elements in lists if len(elements) <= _MOST]
    if not tried:
        raise Refused(_missing(returned, form, _Reading(lists[0], {}, None), {}))
    reading = max(tried, key=lambda one: (not one.left, len(one.found)))
    found = dict(reading.found)
    for name, element in kept.items():
        if not reading.found or np.shape(element.value) == np.shape(inputs[name]):
            found.setdefault(name, element)
    if not found or not set(form.required) <= set(found):
        raise Refused(_missing(returned, form, reading, found))
    sure = {*form.weights, *form.required, *_found_by_name(reading.elements, names)}
    gradients = {n: _gradient(n, found[n].value, inputs[n]) for n in form.gradients if n in found}
    return reading.results(gradients, [n for n in reading.found if n not in sure])


def after_update(returned: Any, form: Form, function: Any) -> tuple[dict[str, Any], Results]:
    """The inputs that a pass with a rate returns under their own names, and what else it does."""
    names = _Names(form)
    elements = _leaves(returned, _part_of(returned, function), names, True)
    arrays = [(e, array_of(e.value)) for e in elements if e.name in form.gradients]
    updated = [(e, array) for e, array in arrays if array is not None]
    rest = _without(elements, *(e for e, _ in updated))
    return {e.name: array for e, array in updated}, _read(rest, names).results({})


def by_name(returned: Any, function: Any) -> dict[str, Any]:
    """The returned values by the names of the variables in `return`; a mapping as it is."""
    if isinstance(returned, Mapping):
        return dict(returned)
    found: dict[str, Any] = {}
    part = _part_of(returned, function)
    waiting = [] if part is None else [(returned, part)]
    for value, its in waiting:  # the outer names first
        if its.name:
            found.setdefault(its.name, value)
        if its.parts and _fits(its, value):
            waiting += zip(value, its.parts, strict=True)
    return found


def array_of(value: Any) -> Any:
    """An array, a tensor, a number or a list of these as a NumPy array of numbers; else None."""
    if hasattr(value, "detach") and hasattr(value, "cpu"):  # a tensor of torch
        value = value.detach().cpu().numpy()
    elif not isinstance(value, np.ndarray | _NUMBER):
        if not isinstance(value, list | tuple) and not hasattr(value, "__array__"):
            return None
        if isinstance(value, list | tuple) and not all(isinstance(v, _NUMBER) for v in value):
            value = [array_of(one) for one in value]
            if any(one is None or one.shape != value[0].shape for one in value):
                return None
    array = np.asarray(value)
    return array if array.dtype.kind in "fiub" else None


def _gradient(name: str, value: Any, of: Any) -> Any:
    """A gradient as an array; a number as one of the input's shape, if that has one entry."""
    array = np.zeros_like(of) if value is None else array_of(value)
    if array is None or array.dtype.kind not in "fiu":
        kind = f"{value.dtype} array" if isinstance(value, np.ndarray) else type(value).__name__
        raise Refused(f"d{name} must be an array of floating-point numbers, got {kind}")
    if array.dtype.kind != "f":  # 0 * anything is a gradient, too
        array = array.astype(np.float64)
    return array.reshape(of.shape) if array.ndim == 0 and of.size == 1 else array


def _inside(value: Any) -> list[tuple[str, Any]] | None:
    """The keys and values of a mapping or of an object with fields; None of anything else."""
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        value = dict(zip(value._fields, value, strict=True))
    elif isinstance(value, SimpleNamespace):
        value = vars(value)
    elif is_dataclass(value) and not isinstance(value, type):
        value = {field.name: getattr(value, field.name) for field in fields(value)}
    return [(str(k), v) for k, v in value.items()] if isinstance(value, Mapping) else None


def _leaves(value: Any, part: Part | None, names: _Names, stacked: bool) -> list[_Element]:
    """The elements of what is returned, at most one more than are read; none of None."""
    found = () if value is None else _flat(value, "", part, names, stacked)
    return list(islice(found, _MOST + 1))


def _flat(
    value: Any, label: str, part: Part | None, names: _Names, stacked: bool, key: str | None = None
) -> Iterator[_Element]:
    """The leaves of what is returned. With `stacked`, a list of arrays of one shape is a leaf."""
    name = key if key is not None else part.name if part else ""
    element = _Element(label or (part.text if part else "") or "it", name, key is not None, value)
    if (inside := _inside(value)) is not None:
        before = f"{label}." if label else ""
        for its, child in inside:
            yield from _flat(child, f"{before}{its}", None, names, stacked, its)
        return
    if not isinstance(value, list | tuple):
        yield element
        return
    parts = part.parts if part and _fits(part, value) else ()
    is_one = _meaning(element, names) or (stacked and label and not parts)
    if is_one and array_of(value) is not None:
        yield element
        return
    before = label or (part.name if part else "")
    for i, child in enumerate(value):
        its_part = parts[i] if parts else None
        its_label = its_part.text if its_part else f"{before or 'value'}[{i}]"
        yield from _flat(child, its_label, its_part, names, stacked)


def _attributes(attributes: Mapping[str, Any], names: _Names) -> Iterator[_Element]:
    """The attributes with a gradient's name, and what is in those that hold gradients."""
    for name, value in attributes.items():
        element = _Element(f"self.{name}", name, False, value)
        if _meaning(element, names):
            yield element
        elif holds_gradients(name):
            yield from _flat(value, "", Part(element.label, element.label), names, True)


def holds_gradients(attribute: str) -> bool:
    """Whether a container of this name has gradients: grads, gradients, d, dparams, ..."""
    return "grad" in attribute.lower() or attribute in ("d", "dparams", "dparameters", "dweights")


def _read(elements: list[_Element], names: _Names) -> _Reading:
    """Identify elements: by name, as the loss, by position."""
    found = _found_by_name(elements, names)
    left = _without(elements, *found.values())
    loss = next((e for e in left if _is_loss(e, names)), None)
    numbers = [e for e in left if loss is None and _is_number(e.value)]
    if len(numbers) > 1:  # a loss stands before or behind the gradients
        numbers = [e for e in numbers if e is elements[0] or e is elements[-1]]
    number = numbers[0] if len(numbers) == 1 else loss
    mixed = number is not loss and not all(_is_number(e.value) for e in left)
    for taken in (number,) if mixed else (number, loss):
        if in_order := _found_by_position(_without(elements, taken), found, names):
            return _Reading(elements, in_order, taken)
    return _Reading(elements, found, number)


def _found_by_name(elements: list[_Element], names: _Names) -> dict[str, _Element]:
    """The gradients by their names; a name that two elements claim alike is nobody's.

    A key that is an input's own name may also stand for a state or an input: it is a gradient if it
    is a weight's, or if there is one of every input.
    """
    aliases, weights = names.aliases, names.form.weights
    keys = {aliases.get(e.name) for e in elements if e.is_key and not _is_input(e, names)}
    every = keys >= set(aliases.values()) or not weights
    claims: dict[str, dict[int, list[_Element]]] = {}
    for element in elements:
        if (meaning := _meaning(element, names)) is None:
            continue
        rank, is_own, name = meaning
        if not is_own or ((every or name in weights) and not _is_input(element, names)):
            claims.setdefault(name, {}).setdefault(rank, []).append(element)
    first = {name: ranks[min(ranks)] for name, ranks in claims.items()}
    return {n: its[0] for n, its in first.items() if all(e.value is its[0].value for e in its)}


def _is_input(element: _Element, names: _Names) -> bool:
    """Whether an element is an input itself, not its gradient."""
    return any(element.value is value for value in names.inputs.values())


def _meaning(element: _Element, names: _Names) -> tuple[int, bool, str] | None:
    """The input whose gradient has an element's name, if it has that of only one.

    Before it the number of the table that has the name first, and whether it has own names.
    """
    for number, (without, is_own, meant) in enumerate(_tables(tuple(names.aliases.items()))):
        name = meant.get(element.name.replace(without, ""))
        if name and (element.is_key or not is_own):
            return number, is_own, name
    return None


@cache
def _tables(aliases: tuple[tuple[str, str], ...]) -> list[tuple[str, bool, dict[str, str]]]:
    """What names mean: without which signs, whether only a key's, and the inputs by name.

    First the names of gradients; then a mapping's key, which may be the input's own name; then both
    without underscores.
    """
    tables = []
    kinds = [*(((form,), False, "") for form in _GRADIENT), (("{}",), True, "")]
    for forms, is_own, without in [*kinds, (_SPELT_ALIKE, False, "_"), (("{}",), True, "_")]:
        meant: dict[str, set[str]] = {}
        for (alias, name), form in product(aliases, forms):
            meant.setdefault(form.format(alias.replace(without, "")), set()).add(name)
        only = {text: its.pop() for text, its in meant.items() if len(its) == 1}
        tables.append((without, is_own, only))
    return tables


def _found_by_position(
    elements: list[_Element], found: Mapping[str, _Element], names: _Names
) -> dict[str, _Element]:
    """All gradients, if they are as many as one of the orders has, and the named ones in place."""
    its = {id(element): name for name, element in found.items()}
    if any(element.is_key for element in elements):  # it names what it returns
        return {}
    for order in names.orders:
        sure = order == names.form.required  # what it is documented to return
        if len(order) == len(elements) and all(
            its[id(e)] == name if id(e) in its else sure or _may_be(e, name, names, bool(found))
            for name, e in zip(order, elements, strict=True)
        ):
            return dict(zip(order, elements, strict=True))
    return {}


def _may_be(element: _Element, name: str, names: _Names, beside_named: bool) -> bool:
    """Whether an element can be a gradient of this input by its place.

    Beside gradients with names, what has none is a state, not the gradient of one: hs[-1].
    """
    of, label = names.inputs[name], element.label.lower()
    if element.name in names.taken:
        return False
    if beside_named and name not in names.form.weights:
        return label.startswith(("d", "g")) or "grad" in label
    array = array_of(element.value)
    if array is None:
        return element.value is None
    fits = array.shape == np.shape(of) or (array.ndim == 0 and np.shape(of) == (1,))
    return array.dtype.kind in "fiu" and fits


def _is_number(value: Any) -> bool:
    array = array_of(value)
    return array is not None and array.dtype.kind in "fiu" and array.ndim == 0


def _is_loss(element: _Element, names: _Names) -> bool:
    """Whether an element without another meaning is a loss, by its name: a number, or their sum."""
    array = array_of(element.value)
    if array is None or array.dtype.kind not in "fiu" or element.name in names.taken:
        return False
    by_letter = element.name in _LOSS and array.size == 1
    return by_letter or element.name.lower().endswith(("loss", "cost"))


def _missing(returned: Any, form: Form, reading: _Reading, found: Iterable[str]) -> str:
    """The message that gradients are missing: what was returned, and what has no meaning."""
    every = ", ".join(f"d{n}" for n in form.required or form.gradients)
    if isinstance(returned, Mapping):
        missing = ", ".join(f"d{n}" for n in form.required if n not in found) or every
        message = f"it returned a mapping without {missing}"
    else:
        got = type(returned).__name__
        if isinstance(returned, tuple | list):
            got += f" of {len(returned)}"
        message = f"it must return ({every}) or a mapping with these keys, got {got}"
        message += "; if it updates its weights: --from-update RATE" * (returned is None)
    if reading.elements:
        message += f"; it returned {_listed(map(_described, reading.elements))}"
        message += f"; without a meaning: {_listed(e.label for e in reading.left)}"
    return message


def _listed(texts: Iterable[str]) -> str:
    """The texts, or the first twelve."""
    several = list(texts)
    return ", ".join(several[:12]) + (", and more" if len(several) > 12 else "")


def _described(element: _Element) -> str:
    """An element in a message: its label, with its shape or type."""
    array = array_of(element.value)
    kind = type(element.value).__name__ if array is None else array.shape or "a number"
    return f"{element.label} ({kind})" if isinstance(kind, str) else f"{element.label} {kind}"


def _part_of(returned: Any, function: Any) -> Part | None:
    """The expression that was returned, if only one `return` fits the value, or one with names."""
    fitting = {part for part in parts_returned(function) if _fits(part, returned)}
    if len(fitting) > 1:
        fitting = {part for part in fitting if _has_names(part)}
    return fitting.pop() if len(fitting) == 1 else None


def _has_names(part: Part) -> bool:
    return bool(part.name) or any(map(_has_names, part.parts))


def _fits(part: Part, value: Any) -> bool:
    """Whether a value can be that of an expression: it has as many parts."""
    return not part.parts or (isinstance(value, tuple | list) and len(value) == len(part.parts))


@cache
def parts_returned(function: Any, calls: int = 2) -> tuple[Part, ...]:
    """The expressions that a function returns; a call of another function of its file is followed.

    A variable that is set to a tuple has the parts of that tuple.
    """
    nodes = sorted(_own_nodes(function), key=lambda node: node.lineno)
    tuples = {
        node.targets[0].id: node.value
        for node in nodes
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and isinstance(node.value, ast.Tuple | ast.List)
        and len(node.value.elts) > isinstance(node.value, ast.List)  # `h = [h_0]` begins a list
    }
    values = getattr(inspect.unwrap(function), "__globals__", {})
    found: list[Part] = []
    for node in nodes:
        if isinstance(node, ast.Return) and node.value is not None:
            called = node.value.func if isinstance(node.value, ast.Call) else None
            other = values.get(called.id) if isinstance(called, ast.Name) else None
            if inspect.isfunction(other) and calls:
                found += parts_returned(other, calls - 1)
            else:
                found.append(_part(node.value, tuples))
    return tuple(found)


def _own_nodes(function: Any) -> Iterator[Any]:
    """The `return`s and assignments of a function, without those of the functions in it.

    None if its source is not available.
    """
    try:
        text = inspect.getsource(inspect.unwrap(function))
        tree = ast.parse(text if text[:1].strip() else f"if True:\n{text}")  # a method is indented
    except (OSError, TypeError, SyntaxError):
        return
    outer = next((n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)), None)
    waiting = list(ast.iter_child_nodes(outer)) if outer is not None else []
    for node in waiting:  # grows
        if not isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Lambda):
            waiting += ast.iter_child_nodes(node)
        if isinstance(node, ast.Return | ast.Assign):
            yield node


def _part(node: ast.expr, tuples: Mapping[str, ast.Tuple | ast.List]) -> Part:
    """An expression with its parts; a part after a `*` has no place, so there are none."""
    name = _variable(node)
    display = node if isinstance(node, ast.Tuple | ast.List) else tuples.get(name)
    parts = display.elts if display is not None and display.elts else []
    if any(isinstance(each, ast.Starred) for each in parts):
        parts = []
    others = {} if display is not node else tuples  # a tuple of tuples, but no circles
    text = "" if isinstance(node, ast.Dict) else ast.unparse(node)[:60]
    return Part(text, name, tuple(_part(each, others) for each in parts))


def _variable(node: ast.expr) -> str:
    """The variable whose value, in another shape or scale, an expression is; empty if unknown."""
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=of, attr="T" | "data"):
            return _variable(of)
        case ast.Attribute(value=of, attr="grad"):
            return f"{_variable(of)}_grad"
        case ast.Attribute(attr=name):
            return name
        case ast.Subscript(slice=ast.Constant(value=str(key))):
            return key
        case ast.Call(func=ast.Attribute(value=of, attr=called), args=arguments):
            if called in _SAME_VALUE:
                library = arguments and isinstance(of, ast.Name) and of.id in ("np", "numpy")
                return _variable(arguments[0] if library else of)
        case ast.Call(func=ast.Name(id="float"), args=[argument]):
            return _variable(argument)
        case ast.UnaryOp(op=ast.USub(), operand=of) | ast.BinOp(left=of, op=ast.Div()):
            return _variable(of)
    return ""
