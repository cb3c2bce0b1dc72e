"""What may be changed in a line of a function: one expression, or the statement as a whole.

These are the reverse of the mistakes that people make in a derivation: a sign, a transpose, another
variable of the same shape, an index one step off, a derivative at the wrong value or missing, a
term or a factor too many or too few, = for +=.
"""

import ast
import re
from collections.abc import Iterator
from functools import cached_property
from itertools import combinations, permutations, product
from typing import NamedTuple

from bptt_check.editing.expressions import (
    ATOM,
    Other,
    base_of,
    bracketed,
    is_compound,
    of_call,
    of_constant,
    of_index,
    of_operation,
    of_product,
    of_transpose,
    one_beside,
    outermost,
    places,
    plus,
    replaced,
    shifted,
)
from bptt_check.editing.program import Edit, Function
from bptt_check.editing.values import INTEGER, Shape, atoms, compounds, is_array

Names = dict[str, Shape]
#: Derivatives of an activation at its value.
_FORMS = ("(1 - {a} ** 2)", "{a} * (1 - {a})", "(1 - {a})")
_MOST_ALIKE = 20  # other expressions in a place


class Change(NamedTuple):
    """A piece of a statement, what may stand there, and the expression around it.

    With `upto`, the piece is the operator that stands between `node` and that; with `after`, the
    text is put behind `node`; with `swapped`, these two of its parts change places.
    """

    node: ast.stmt | ast.expr
    text: str
    rank: int
    inside: ast.expr | None = None
    upto: ast.expr | None = None
    after: bool = False
    swapped: tuple[ast.expr, ast.expr] | None = None


def edits(
    function: Function,
    number: int,
    at: dict[tuple[int, int], Names],
    errors: set[tuple[int, int, str]],
) -> list[Edit]:
    """The edits of the lines of a function that have run.

    Args:
        number: the function's.
        at: the shapes of expressions at each function's line.
        errors: function, line and text of what depends on the errors at the outputs: the lines
            without such a thing, those of the forward pass, are tried last.
    """
    tree = function.tree()
    known = _Known(tree)
    after = {
        text: its for (n, _), names in at.items() if n == number for text, its in names.items()
    }
    dicts = tuple(f"{text.split('[')[0]}['" for text in known.atoms if "['" in text)
    known.atoms.update(t for names in at.values() for t in names if t.startswith(dicts))
    found: dict[Edit, Edit] = {}
    for node in ast.walk(tree):
        names = at.get((number, getattr(node, "lineno", -1)))
        if not isinstance(node, ast.stmt) or names is None:
            continue
        texts = known.atoms | known.compounds
        moved = {text for text in texts if (number, node.lineno, text) in errors}
        back = node.lineno if moved & {ast.unparse(a) for a in atoms(node)} else 0
        for change in _Line(node, names, after, known, moved).changes():
            edit = _edit(change, function, back)
            if edit.text != edit.old and edit.rank < getattr(found.get(edit), "rank", 99):
                found.pop(edit, None)
                found[edit] = edit
    return [*found.values()]


def _edit(change: Change, function: Function, back: int) -> Edit:
    """The change in the text of the function, whose lines stay as many."""
    start, end = function.span(change.node)
    start, text = end if change.after else start, change.text
    if change.upto:
        begin, (end, _) = end, function.span(change.upto)
        its = function.text[begin:end]
        start = begin + its.index(its.split(b"=")[0].strip() + b"=")
        end = begin + its.index(b"=") + 1
    if change.swapped:
        (a, b), (c, d) = sorted(map(function.span, change.swapped))
        of = function.text
        text = (of[start:a] + of[c:d] + of[b:c] + of[a:b] + of[d:end]).decode()
    text += "\n" * (function.text[start:end].count(b"\n") - text.count("\n"))
    inside = function.span(change.inside) if change.inside else (0, 0)
    rank = change.rank + 2 * (not back)
    return Edit(function, change.node.lineno, start, end, text, inside, rank, back)


class _Known:
    """The expressions of a function, as text: atoms and others, and what is done with them."""

    def __init__(self, tree: ast.AST) -> None:
        nodes = [*ast.walk(tree)]
        several, names = [*compounds(tree)], [n for n in nodes if isinstance(n, ast.Name)]
        loops = [n for n in nodes if isinstance(n, ast.For)]
        self.arguments = {n.arg for n in nodes if isinstance(n, ast.arg)}
        self.atoms = {ast.unparse(a) for a in atoms(tree)} | self.arguments
        self.compounds = {ast.unparse(c) for c in several} - self.atoms
        read = {n.id for n in names if isinstance(n.ctx, ast.Load)}
        self.unread = ({n.id for n in names} | self.arguments) - read
        #: Of each sum its names.
        self.sums = {
            ast.unparse(c): _names_in(c)
            for c in several
            if isinstance(c, ast.BinOp) and isinstance(c.op, ast.Add)
        }
        #: Of each atom what one function makes of it.
        self.calls: dict[str, set[str]] = {}
        for node in nodes:
            match node:
                case ast.Call(_, [ast.Name() | ast.Attribute() | ast.Subscript() as argument]):
                    self.calls.setdefault(ast.unparse(argument), set()).add(ast.unparse(node))
        self.steps = {ast.unparse(loop.target) for loop in loops}  # what loops run through
        stores = (n for n in nodes if isinstance(getattr(n, "ctx", None), ast.Store))
        self.stored = {ast.unparse(n) for n in stores}
        self.looped = {n for loop in loops for n in _first_lines(loop, ast.Store)}
        self.carried = {name for loop in loops for name in _carried(loop)}
        #: Of each name of an entry of something else, at a step, the entries at the steps beside.
        self.shifted: dict[str, list[str]] = {}
        for node in nodes:
            match node:
                case ast.Assign([ast.Name(name)], value) if its := _indices_in(value) & self.steps:
                    if len([*outermost(value)]) == 1:
                        beside = [_at_a_step_beside(ast.unparse(value), its, k) for k in (-1, 1)]
                        self.shifted[name] = [] if name in self.shifted else beside


def _carried(loop: ast.For) -> Iterator[str]:
    """What one step of a loop sets and the next one reads."""
    body = ast.Module([*loop.body], [])
    read, stored = _first_lines(body, ast.Load), _first_lines(body, ast.Store)
    yield from (n for n in read.keys() & stored.keys() if read[n] <= stored[n])


def _first_lines(tree: ast.AST, context: type[ast.expr_context]) -> dict[str, int]:
    """The names that are read or stored, and the first line where they are."""
    its = [n for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, context)]
    return {n.id: n.lineno for n in sorted(its, key=lambda n: -n.lineno)}


def _at_a_step_beside(text: str, steps: set[str], shift: int) -> str:
    """The expression with `t - 1` for the step `t`, or with `t` for `t + 1`."""

    def shifted(found: re.Match[str]) -> str:
        return plus(found[1], int((found[2] or "0").replace(" ", "")) + shift)

    return re.sub(rf"\b({'|'.join(sorted(steps))})\b( [+-] \d+)?", shifted, text)


def _indices_in(node: ast.AST) -> set[str]:
    its = (n.slice for n in ast.walk(node) if isinstance(n, ast.Subscript))
    return {name for index in its for name in _names_in(index)}


def _names_in(node: ast.AST) -> set[str]:
    return {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}


def _of_loop(its: ast.expr) -> Iterator[Change]:
    """The other way round, which leaves sums right; one step more or less."""
    match its:
        case ast.Call(ast.Name("reversed"), [inner]):
            yield Change(its, ast.unparse(inner), 3)
        case _:
            inner = its
            yield Change(its, f"reversed({ast.unparse(its)})", 3)
    ends = inner.args[:2] if isinstance(inner, ast.Call) else []
    yield from (Change(end, text, 3, its) for end in ends for text in one_beside(end))


class _Line:
    """A statement, and the shapes of the expressions that can stand in it."""

    def __init__(
        self,
        node: ast.stmt,
        names: Names,
        after: Names,
        known: _Known,
        errors: set[str],
    ) -> None:
        self.node, self.shapes, self.after, self.errors = node, names, after, errors
        self.known = known
        self.names = {text: its for text, its in names.items() if text in known.atoms}
        self.compounds = {text: its for text, its in names.items() if text in known.compounds}

    def changes(self) -> Iterator[Change]:
        """What may be changed in the statement."""
        node = self.node
        match node:
            case ast.Assign([target], value):
                if ast.unparse(target) in self.names:
                    yield Change(target, "+=", 1, value, value)
                    yield Change(node, "pass", 3, value)
            case ast.AugAssign(target, op, value):
                yield from self._of_sum(target, op, value)
            case ast.Expr(ast.Call(ast.Attribute(base, "append"), [value])):
                its = f"{ast.unparse(base)}.insert(0, {ast.unparse(value)})"
                yield Change(node, its, 2, value)
            case ast.Expr(ast.Call()):
                yield Change(node, "pass", 1)
            case ast.For():
                yield from _of_loop(node.iter)
                return
            case ast.If(ast.Compare(_, _, [right])):
                yield from (Change(right, text, 3, right) for text in one_beside(right))
                return
            case ast.Return():
                pass
            case _:
                return
        yield from self._of_targets()
        yield from self._of_value()

    def _of_sum(self, target: ast.expr, op: ast.operator, value: ast.expr) -> Iterator[Change]:
        yield Change(target, "=", 1, value, value)
        other = {ast.Add: "-", ast.Sub: "+", ast.Mult: "/", ast.Div: "*"}.get(type(op))
        if other:
            yield Change(target, f"{other}=", 0, value, value)
        is_sum = isinstance(op, ast.Add | ast.Sub)
        yield Change(self.node, "pass", 3 if is_sum else 1, value)

    @cached_property
    def targets(self) -> list[ast.expr]:
        """What the statement assigns to."""
        node = self.node
        if isinstance(node, ast.AugAssign):
            return [node.target]
        return node.targets if isinstance(node, ast.Assign) else []

    def _of_targets(self) -> Iterator[Change]:
        is_sum, own = isinstance(self.node, ast.AugAssign), _names_in(self.node)
        for target in self.targets:
            if isinstance(target, ast.Subscript):
                others = (text for text in self.alike(target) if text in self.known.stored)
                yield from (Change(target, text, 2) for text in others)
                for place in places(target.slice):
                    for text, rank in self.others(place.node):
                        yield Change(place.node, text, rank + 1)
                its = self._named_like(target.value)
                yield from (Change(target.value, name, 3) for name in its)
            elif isinstance(target, ast.Name) and (
                is_sum or target.id in self.known.unread | self.known.arguments
            ):
                for name in (
                    a for a in self._named_like(target) if a not in own | self.known.arguments
                ):
                    # what a loop computes is seldom overwritten
                    yield Change(target, name, 4 if is_sum or name in self.known.looped else 1)

    def _named_like(self, node: ast.expr) -> list[str]:
        """The other variables of a variable's shape."""
        shape = self.after.get(ast.unparse(node)) if isinstance(node, ast.Name) else None
        its = [name for name, other in self.names.items() if name.isidentifier() and other == shape]
        return [name for name in its if shape is not None and name != ast.unparse(node)]

    def _of_value(self) -> Iterator[Change]:
        value = getattr(self.node, "value", None)
        if value is None:
            return
        shape = self.after.get(ast.unparse(self.targets[0])) if self.targets else None
        if shape is not None and not isinstance(value, ast.Tuple):
            for text, rank in self._results(value, shape):
                yield Change(value, text, rank, value)
            for text, rank in self._more_terms(value, shape):
                yield Change(value, f" + {text}", rank, value, after=True)
        for place in places(value):
            is_returned = isinstance(self.node, ast.Return) and isinstance(place.node, ATOM)
            for text, rank in self.others(place.node):
                rank += 3 * is_returned
                brackets = not place.bare and is_compound(text)
                text = f"({text})" if brackets else text
                yield Change(place.node, text, rank, place.inside)
        yield from (Change(value, text, 3, value) for text in self._everywhere(value))
        for node in ast.walk(value):
            if isinstance(node, ast.Tuple | ast.List | ast.Dict):
                parts = node.values if isinstance(node, ast.Dict) else node.elts
                its = combinations(parts, 2)
                yield from (Change(node, "", 3, node, swapped=pair) for pair in its)
                yield from self._of_parts(parts)

    def _of_parts(self, parts: list[ast.expr]) -> Iterator[Change]:
        """Of what a tuple or list holds, such as gates: another one, or with a derivative more."""
        for part, other in permutations(parts, 2):
            yield Change(part, ast.unparse(other), 5, part)
        for part in parts:
            shape, factor = self.shapes.get(ast.unparse(part)), bracketed(part)
            its = [a for a, other in self.names.items() if other == shape and a not in self.errors]
            for a, form in product(its[:_MOST_ALIKE] if is_array(shape) else (), _FORMS):
                yield Change(part, f"{factor} * {form.format(a=a)}", 5, part)

    def _results(self, value: ast.expr, shape: Shape) -> Iterator[Other]:
        """The whole right-hand side: with another sign, a factor or a term more, or another one."""
        text, inner = ast.unparse(value), bracketed(value)
        factor = text if isinstance(getattr(value, "op", None), ast.Mult) else inner
        yield f"-{inner}", 0
        if not is_array(shape):
            return
        yield f"2 * {inner}", 4
        yield f"{inner} / 2", 4
        integers = [name for name, its in self.names.items() if its == INTEGER]
        sizes = [name for name in integers if name.isidentifier() and name not in self.known.steps]
        pairs = [f"({a} * {b})" for a, b in combinations(sizes, 2)]
        yield from ((f"{inner} {sign} {size}", 5) for size in sizes + pairs for sign in "/*")
        yield from ((f"{inner} / {size}", 6) for size in self._sizes_of(value))
        numbers = (name for name, its in self.names.items() if its == () and name.isidentifier())
        yield from ((f"{factor} * {name}", 5) for name in numbers)
        for a, its in self.names.items():
            if its == shape and a != text:
                is_error = a in self.errors
                yield f"{factor} * {a}", 4 + 3 * is_error
                if not is_error:
                    yield from ((f"{factor} * {form.format(a=a)}", 4) for form in _FORMS)
        if isinstance(value, ast.Call):
            yield from ((a, 4) for a, its in self.names.items() if its == shape and a != text)
        if isinstance(value, ast.Call | ATOM):
            yield from ((other, 8) for other in self._by_the_chain_rule(shape))
        yield from ((a, 8) for a, its in self.compounds.items() if its == shape and a != text)

    def _by_the_chain_rule(self, shape: Shape) -> Iterator[str]:
        """An error times the derivative of an activation, at its value."""
        alike = [a for a, its in self.names.items() if its == shape]
        errors = [a for a in alike if a in self.errors and a.isidentifier()][:_MOST_ALIKE]
        states = [a for a in alike if a not in self.errors][:_MOST_ALIKE]
        for error, state, form in product(errors, states, _FORMS):
            yield f"{error} * {form.format(a=state)}"

    def _sizes_of(self, value: ast.expr) -> Iterator[str]:
        """The sizes of the arrays in an expression: what a mean divides by."""
        for name in dict.fromkeys(ast.unparse(a) for a in outermost(value)):
            if is_array(shape := self.names.get(name)):
                sizes = [f"{name}.shape[{axis}]" for axis in range(len(shape or ()))]
                yield from (f"{name}.size", *sizes)
                yield from (f"({a} * {b})" for a, b in combinations(sizes, 2) if len(sizes) > 2)

    def _more_terms(self, value: ast.expr, shape: Shape) -> Iterator[Other]:
        """What may be added to a right-hand side."""
        if not is_array(shape) or isinstance(value, ast.IfExp | ast.BoolOp | ast.Compare):
            return
        its = [a for a, other in self.names.items() if other == shape and a != ast.unparse(value)]
        errors = [a for a in its if a in self.errors]
        for a in its:
            yield a, 1 if a in self.known.unread else 4 if a in errors else 6
        yield from ((text, 6) for text in self._like_the_last(value))
        is_sum = False
        if isinstance(value, ast.BinOp) and isinstance(value.op, ast.Add):
            is_sum = True
            yield from ((text, 5) for text in self._one_more(value, value.right))
        if is_sum or ast.unparse(self.targets[0]) in self.known.carried:
            factors = [a for a in its if a not in errors][:_MOST_ALIKE]
            yield from ((f"{a} * {b}", 6) for a, b in product(errors[:_MOST_ALIKE], factors))

    def _like_the_last(self, value: ast.expr) -> Iterator[str]:
        """The last term of a sum, of another error."""
        is_sum = isinstance(value, ast.BinOp) and isinstance(value.op, ast.Add)
        last, text = getattr(value, "right", value) if is_sum else value, ast.unparse(value)
        its = [n for n in ast.walk(last) if isinstance(n, ast.Name) and n.id in self.errors]
        if len(its) == 1 and last is not its[0]:
            more = (replaced(last, {its[0].id: other}) for other in self.alike(its[0]))
            yield from (term for term in more if term not in text)

    def others(self, node: ast.expr) -> Iterator[Other]:
        """What may stand in the place of an expression."""
        match node:
            case ast.BinOp(left, op, right):
                yield from of_operation(left, op, right)
                yield from of_product(node)
                yield from ((other, 6) for other in self.alike(node))
                yield from ((other, 5) for other in self._like_a_sibling(node))
                if isinstance(op, ast.Add) and node is not getattr(self.node, "value", None):
                    text = ast.unparse(node)
                    yield from ((f"{text} + {term}", 5) for term in self._one_more(node, right))
            case ast.UnaryOp(ast.USub(), operand):
                yield ast.unparse(operand), 0
            case ast.Constant():
                yield from of_constant(node.value)
                if node.value == 0:
                    yield from ((name, 1) for name in self.known.unread if name in self.names)
            case ast.Call(function, arguments):
                yield from of_call(node, function, arguments)
            case ast.Subscript(base, index):
                yield from of_index(base, index)
                yield from self._at_the_first(node)
                yield from ((f"{ast.unparse(base)}[{its}]", 3) for its in shifted(index))
        if isinstance(node, ATOM):
            yield from self._of_atom(node)
        yield from self._of_one_atom(node)

    def _at_the_first(self, node: ast.Subscript) -> Iterator[Other]:
        """The state before the first step, where the index of the last one is -1."""
        text = ast.unparse(node)
        if found := re.search(r"(?<![\w.])([a-z_]\w*) - 1(?![\w.])", ast.unparse(node.slice)):
            initial = [f"0 * {text}", *(a for a in self.alike(node) if a.isidentifier())]
            yield from ((f"{text} if {found[1]} else {other}", 4) for other in initial)

    def _like_a_sibling(self, node: ast.BinOp) -> Iterator[str]:
        """Sums of the same shape in other lines, with a name of this one for one of theirs."""
        own, shape = _names_in(node), self.shapes.get(ast.unparse(node))
        for text, names in self.known.sums.items():
            if is_array(shape) and self.shapes.get(text) == shape and own & names:
                for ours, theirs in product(sorted(own - names), sorted(names - own)):
                    yield re.sub(rf"\b{theirs}\b", ours, text)

    def _one_more(self, node: ast.expr, last: ast.expr) -> Iterator[str]:
        """One more term of a sum of products, like the last: another error and another weight."""
        its, text = [a for a in outermost(last) if isinstance(a, ATOM)], ast.unparse(node)
        errors = [a for a in its if ast.unparse(a) in self.errors]
        weights = [a for a in its if a not in errors]
        if len(errors) != 1 or len(weights) != 1 or isinstance(last, ATOM):
            return
        for error, weight in product(*map(self.alike, (errors[0], weights[0]))):
            if error not in text and weight not in text:
                others = {ast.unparse(errors[0]): error, ast.unparse(weights[0]): weight}
                yield replaced(last, others)

    def alike(self, node: ast.expr) -> list[str]:
        """Names of the same shape and kind (an error, a step), with the same beginning first."""
        text = ast.unparse(node)
        shape, kind = self.shapes.get(text), (text in self.errors, text in self.known.steps)
        others = [
            other
            for other, its in self.names.items()
            if its == shape
            and other != text
            and (other in self.errors, other in self.known.steps) == kind
        ]
        others.sort(key=lambda other: base_of(other) != base_of(text))
        return others[:_MOST_ALIKE]

    def _of_atom(self, node: ast.expr) -> Iterator[Other]:
        text = ast.unparse(node)
        shape = self.names.get(text)
        if shape is None:
            return
        yield from ((other, 2 + (base_of(other) != base_of(text))) for other in self.alike(node))
        kind = text in self.errors
        others = [o for o, its in self.names.items() if its == shape and (o in self.errors) != kind]
        yield from ((other, 6) for other in others[:_MOST_ALIKE])
        if len(shape) == 2 and is_array(shape):
            inner, is_copied = of_transpose(node), node is getattr(self.node, "value", None)
            yield f"{text}.T" if inner is None else ast.unparse(inner), 3 * is_copied
        if is_array(shape):
            yield from ((other, 4) for other in self.known.shifted.get(text, ()))
            yield from ((call, 3) for call in sorted(self.known.calls.get(text, ())))
            factors = others if kind else self.alike(node)
            yield from ((f"{text} * {other}", 5) for other in factors[:_MOST_ALIKE])
            if isinstance(node, ast.Subscript):  # an upstream gradient: no line of its own
                yield from (
                    (f"{text} + {a}", 1) for a in self.known.unread if self.names.get(a) == shape
                )
        if shape == INTEGER and isinstance(node, ast.Name):
            yield from ((other, 2) for other in one_beside(node))

    def _of_one_atom(self, node: ast.expr) -> Iterator[Other]:
        """Another function of the same variable, or the same one of another variable."""
        found = [ast.unparse(a) for a in outermost(node)]
        found = [a for a in found if is_array(self.names.get(a))]
        if len(set(found)) != 1:
            return
        atom = found[0]
        yield atom, 2
        tree = ast.parse(atom, mode="eval").body
        if isinstance(tree, ast.Subscript) and not isinstance(node, ATOM):
            yield from ((text, 3) for text, _ in of_index(tree.value, tree.slice))
        yield from ((form.format(a=atom), 2) for form in _FORMS)
        for other in self.alike(tree):
            if len(found) > 1:
                yield replaced(node, {atom: other}), 3
            if not isinstance(node, ATOM):
                yield from ((form.format(a=other), 4) for form in _FORMS)

    def _everywhere(self, value: ast.expr) -> Iterator[str]:
        """The expression with a slice left out, or a name replaced, wherever it stands."""
        text = ast.unparse(value)
        slices = {ast.unparse(n) for n in ast.walk(value) if isinstance(n, ast.Slice)} - {":"}
        wholes = (text.replace(each, ":") for each in slices)
        yield from (re.sub(r"\[:(, :)*\]", "", whole) for whole in wholes)
        its = [ast.unparse(n) for n in atoms(value)]
        for name in dict.fromkeys(each for each in its if its.count(each) > 1):
            whole = re.compile(rf"(?<![\w.]){re.escape(name)}(?![\w\[])")
            for other in self.alike(ast.parse(name, mode="eval").body):
                yield whole.sub(other.replace("\\", r"\\"), text)
