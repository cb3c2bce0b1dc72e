"""Expressions of a line, and what may stand in the place of one, whatever the variables are."""

import ast
from collections.abc import Iterator
from typing import NamedTuple

#: An expression that may stand in a place, and its rank.
Other = tuple[str, int]
_SIGNS: dict[type[ast.operator], list[str]] = {ast.Add: ["-"], ast.Sub: ["+"], ast.Mult: ["+", "/"]}
_SIGNS |= {ast.Div: ["*"], ast.Pow: ["*"]}
#: Functions one of which may be meant by another.
_ALIKE = (("sum", "mean", "max", "min"), ("zeros_like", "ones_like"), ("zeros", "ones"))
_LIBRARIES = {"np", "numpy", "math", "self"}
_COMPOUND = ast.BinOp | ast.UnaryOp | ast.IfExp
ATOM = ast.Name | ast.Attribute | ast.Subscript


class Place(NamedTuple):
    """An expression of a statement; `bare`: another one needs no brackets there.

    `inside`: the nearest expression around it that is no part of an index.
    """

    node: ast.expr
    bare: bool
    inside: ast.expr


def replaced(node: ast.expr, others: dict[str, str]) -> str:
    """The expression with others for the expressions in it that have these texts."""

    class Replaced(ast.NodeTransformer):
        def visit(self, node: ast.AST) -> ast.AST:
            other = others.get(ast.unparse(node)) if isinstance(node, ast.expr) else None
            return self.generic_visit(node) if other is None else ast.parse(other, mode="eval").body

    return ast.unparse(Replaced().visit(ast.parse(ast.unparse(node), mode="eval").body))


def of_transpose(node: ast.expr) -> ast.expr | None:
    """What a node is the transpose of."""
    match node:
        case ast.Attribute(inner, "T"):
            return inner
    return None


def base_of(text: str) -> str:
    """What the text of an entry begins with."""
    return text.split("[")[0]


def places(value: ast.expr) -> Iterator[Place]:
    """The expressions in a right-hand side, with what stands around them."""
    stack = [Place(value, True, value)]
    while stack:
        place = stack.pop()
        yield place
        node = place.node
        for child in ast.iter_child_nodes(node):
            if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow) and child is node.right:
                continue
            if isinstance(child, ast.keyword | ast.Starred):
                if getattr(child, "arg", "") == "out":
                    continue
                child = child.value
            if isinstance(child, ast.Slice):
                stack += [Place(c, True, place.inside) for c in (child.lower, child.upper) if c]
            elif isinstance(child, ast.Attribute) and child is getattr(node, "func", None):
                stack.append(Place(child.value, False, child.value))
            elif isinstance(child, ast.expr) and child is not getattr(node, "func", None):
                is_index = isinstance(node, ast.Subscript) and child is node.slice
                is_index |= place.inside is not node
                bare = is_index or isinstance(node, ast.Call | ast.Tuple | ast.List | ast.Dict)
                stack.append(Place(child, bare, place.inside if is_index else child))


def of_constant(value: object) -> Iterator[Other]:
    """Other constants."""
    match value:
        case bool():
            yield str(not value), 2
        case int():
            yield from ((str(k), 2) for k in (value - 1, value + 1, 0, 1, 2) if k != value)
        case float():
            yield from ((str(k), 2) for k in (0.0, 1.0, 2.0, 0.5) if k != value)
        case str() if "->" in value:  # of einsum
            inputs, _, output = value.partition("->")
            yield repr(f"{inputs}->{output[::-1]}"), 1


def of_product(node: ast.expr) -> Iterator[Other]:
    """A product with the derivative of tanh for that of the logistic function, or the other way."""
    factors = [*_factors(node)]
    for at, each in enumerate(factors):
        rest = [bracketed(other) for other in factors[:at] + factors[at + 1 :]]
        match each:
            case ast.BinOp(_, ast.Sub(), ast.BinOp(left, ast.Pow() | ast.Mult())):
                a = bracketed(left)
                yield " * ".join([*rest, a, f"(1 - {a})"]), 1
            case ast.BinOp(_, ast.Sub(), other) if (a := ast.unparse(other)) in rest:
                rest.remove(a)
                yield " * ".join([*rest, f"(1 - {a} ** 2)"]), 1


def _factors(node: ast.expr) -> Iterator[ast.expr]:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
        yield from _factors(node.left)
        yield from _factors(node.right)
    else:
        yield node


def of_operation(left: ast.expr, op: ast.operator, right: ast.expr) -> Iterator[Other]:
    """Another operator, or one operand alone."""
    a, b = bracketed(left), bracketed(right)
    for sign in _SIGNS.get(type(op), []):
        yield f"{a} {sign} {b}", 0
    if isinstance(op, ast.Sub):
        yield f"{b} - {a}", int(isinstance(left, ast.Constant))
    if isinstance(op, ast.Pow) and isinstance(right, ast.Constant) and right.value != 2:
        yield f"{a} ** 2", 2
    if isinstance(op, ast.MatMult):
        yield f"{b} @ {a}", 2
        yield f"{_transposed(right)} @ {_transposed(left)}", 2
        return
    rank = 3 if isinstance(op, ast.Add | ast.Sub) else 2
    yield ast.unparse(left), rank
    is_sum = isinstance(left, ast.BinOp) and isinstance(left.op, ast.Add | ast.Sub)
    yield ast.unparse(right), 2 * rank if is_sum else rank


def of_call(node: ast.Call, function: ast.expr, arguments: list[ast.expr]) -> Iterator[Other]:
    """A call with its arguments turned, or what it is called with."""
    name, text = ast.unparse(function), ast.unparse(node)
    if name.split(".")[-1] in ("dot", "outer", "matmul") and len(arguments) == 2:
        a, b = map(bracketed, arguments)
        yield f"{name}({b}, {a})", 2
        yield f"{name}({_transposed(arguments[1])}, {_transposed(arguments[0])})", 2
    elif arguments:
        yield ast.unparse(arguments[0]), 3
    if isinstance(function, ast.Attribute):
        base, rest = bracketed(function.value), text[len(name) :]
        for alike in (its for its in _ALIKE if function.attr in its):
            yield from ((f"{base}.{k}{rest}", 2) for k in alike if k != function.attr)
        if base not in _LIBRARIES:
            yield base, 3


def of_index(base: ast.expr, index: ast.expr) -> Iterator[Other]:
    """Another entry, or another part, of the same array."""
    match index:
        case ast.Slice(None, ast.UnaryOp(ast.USub(), ast.Constant(1)), None):
            yield f"{ast.unparse(base)}[1:]", 1
        case ast.Slice(ast.Constant(1), None, None):
            yield f"{ast.unparse(base)}[:-1]", 1
        case ast.Slice(None, upper, None) if upper is not None:
            yield f"{ast.unparse(base)}[{ast.unparse(upper)}:]", 2
            yield f"{ast.unparse(base)}[-{bracketed(upper)}:]", 2
        case ast.Slice(lower, None, None) if lower is not None:
            yield f"{ast.unparse(base)}[:{ast.unparse(lower)}]", 2
        case ast.Name(name):
            yield f"{ast.unparse(base)}[{name} - 1]", 1
            yield f"{ast.unparse(base)}[{name} + 1]", 1
        case ast.BinOp(ast.Name(name), ast.Add() | ast.Sub(), ast.Constant(int(k))):
            yield f"{ast.unparse(base)}[{name}]", 1
            other = "+" if isinstance(index.op, ast.Sub) else "-"
            yield f"{ast.unparse(base)}[{name} {other} {k}]", 1
    places = index.elts if isinstance(index, ast.Tuple) else [index]
    for axis, place in enumerate(places):
        others = places[:axis] + places[axis + 1 :]
        if not isinstance(place, ast.Slice) and all(ast.unparse(o) == ":" for o in others):
            its = ast.unparse(base)  # an array or, along its first axis, also a list
            yield (f"{its}.sum(axis={axis})" if axis else f"sum({its})"), 4


def one_beside(number: ast.expr) -> Iterator[str]:
    """An integer less by one, and more."""
    rest, by = number, 0
    match number:
        case ast.Constant(int(k)):
            yield from (str(k - 1), str(k + 1))
            return
        case ast.BinOp(left, ast.Add(), ast.Constant(int(k))):
            rest, by = left, k
        case ast.BinOp(left, ast.Sub(), ast.Constant(int(k))):
            rest, by = left, -k
    yield from (plus(ast.unparse(rest), other) for other in (by - 1, by + 1))


def plus(text: str, by: int) -> str:
    """The expression, and an integer added to it."""
    return text + (f" {'-+'[by > 0]} {abs(by)}" if by else "")


def shifted(index: ast.expr) -> Iterator[str]:
    """The index with a slice of it one place further on, or back."""
    for part in (n for n in ast.walk(index) if isinstance(n, ast.Slice) and n.upper):
        for shift in ("+ 1", "- 1"):
            ends = [f"{ast.unparse(end)} {shift}" for end in (part.lower, part.upper) if end]
            moved = ":".join(ends if part.lower else ["1" if shift == "+ 1" else "-1", *ends])
            yield ast.unparse(index).strip("()").replace(ast.unparse(part), moved, 1)


def outermost(node: ast.AST) -> Iterator[ast.expr]:
    """The names, attributes and subscripts that are not inside another one, without transposes."""
    if isinstance(node, ATOM):
        inner = of_transpose(node)
        yield from [node] if inner is None else outermost(inner)
    elif isinstance(node, ast.Call):
        method = node.func.value if isinstance(node.func, ast.Attribute) else None
        if method is not None and ast.unparse(method) not in _LIBRARIES:
            yield from outermost(method)
        for argument in node.args:
            yield from outermost(argument)
    elif isinstance(node, _COMPOUND):
        for child in ast.iter_child_nodes(node):
            yield from outermost(child)


def _transposed(node: ast.expr) -> str:
    inner = of_transpose(node)
    return f"{bracketed(node)}.T" if inner is None else ast.unparse(inner)


def bracketed(node: ast.expr) -> str:
    """The text of an expression, in brackets if it needs them as an operand."""
    text = ast.unparse(node)
    return f"({text})" if isinstance(node, _COMPOUND) else text


def is_compound(text: str) -> bool:
    """Whether it needs brackets, and has none."""
    node = ast.parse(text, mode="eval").body
    return isinstance(node, _COMPOUND) and node.col_offset == 0
