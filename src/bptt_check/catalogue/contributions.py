"""One contribution of the reverse pass altered: omitted, not transposed, wrongly multiplied."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from bptt_check.catalogue.other_gradients import Change, other_gradients
from bptt_check.tracing.changes import FORMS, SHIFTS
from bptt_check.tracing.mistakes import OWN, Edge, Mistake, Part, Quantity
from bptt_check.tracing.step import Step
from bptt_check.tracing.tape import Node, Ref

#: Changes of the contribution to a weight that may be those to all its uses.
_OF_A_USE = {"operand", "operand reversed", "last of equal indices", "index", "value for gradient"}
_OF_A_USE |= {"summed over its axis", "first example", "maximum over batch", "mean over batch"}
#: Changes that may be the same in every gate.
_OF_A_GATE = {"operand", "operand transposed", "operand reshaped", "operand reversed", "derivative"}
_OF_A_GATE |= {"without its derivative", "gradient of", "factor", "first example"}
ACTIVATIONS = ("sigmoid", "tanh", "relu")
#: A state of other steps, from an array with the initial state in its last place.
_PLACES = ("_(t+1)", "_(t-2)", "of the last step at every step")
#: Wrong values for p - 1 at a softmax's target, and their ranks.
_SOFTMAX = [("no target", 1), ("no probabilities", 1), ("target added", 2), ("slope", 2)]
_SOFTMAX += [("target assigned", 3), ("targets everywhere", 2), ("diagonal", 2)]


def edge_mistakes(step: Step) -> Iterator[Mistake]:
    """One contribution altered: at every step or the first one only; or each of a family alike."""
    families: dict[Any, list[Part]] = {}
    alike: dict[Any, list[Part]] = {}
    for user, j, ref in step.edges:
        path, where = _path(step, user, j, ref), step.where(user)
        its_families = [*_families(step, user, j, ref)]
        for family in its_families:
            families.setdefault(family, []).append(path)
        for change, by, rank in _alterations(step, user, j, ref):
            yield Mistake(path, change, by, "", rank - (path.op == "upstream"), where)
            if path.edges[0] in step.graph.crossing and rank < 2:
                yield Mistake(path, change, by, "first", 3, where)
            for family in its_families:
                if _may_be_alike(family, path, change, by):
                    alike.setdefault((family, change, by, rank), []).append(path)
    in_steps = {step.tape.nodes[i].site for i in step.inner}
    for family, paths in families.items():
        edges = _edges(paths)
        if family[0] == "uses" and {site for site, _ in edges} <= in_steps:
            yield Mistake(Part("uses", f"d{family[1]}", edges), "own loss alone", rank=3)
    made = set()
    for (family, change, by, rank), paths in alike.items():
        edges = _edges(paths)
        is_new = (key := (frozenset(edges), change, by)) not in made
        if is_new and 1 < len(edges) == len(_edges(families[family])):
            made.add(key)
            part = _together(family, paths, edges)
            where = step.where(step.of[part.edges[0][0]])
            rank += change == "cut"  # a constant: a single path that does the same is said first
            yield Mistake(part, change, by, "", rank, where)


#: What tells the contributions of a family apart.
_TELLS = {"products": "factor", "of": "operand", "activations": "label"}


def _together(family: tuple[Any, ...], paths: list[Part], edges: tuple[Edge, ...]) -> Part:
    """The contributions as one part: all uses of a weight, or the first and the others' names."""
    if family[0] == "uses":
        label, factor = (
            " and ".join(dict.fromkeys(names))
            for names in zip(*((p.label, p.factor) for p in paths), strict=True)
        )
        return paths[0]._replace(edges=edges, label=label, factor=factor, operand=family[1])
    names = dict.fromkeys(getattr(path, _TELLS[family[0]]) for path in paths)
    return paths[0]._replace(edges=edges, names=tuple(names)[1:])


def _edges(paths: list[Part]) -> tuple[Edge, ...]:
    return tuple(dict.fromkeys(edge for path in paths for edge in path.edges))


def _families(step: Step, user: int, j: Any, ref: int) -> Iterator[tuple[Any, ...]]:
    """What may have the same mistake as this contribution: "the same in every gate"."""
    nodes, op = step.tape.nodes, step.tape.nodes[user].op
    yield "of", user
    if ref in step.leaf:
        yield "uses", step.leaf[ref]
    if op == "mm":
        other = nodes[user].args[1 - j] if ref in step.leaf else ref
        bare = nodes[other].args[0] if nodes[other].site in step.wrappings else other
        yield "products", j, ref in step.leaf, bare
    if op in ACTIVATIONS:
        yield "activations", op


def _may_be_alike(family: tuple[Any, ...], path: Part, change: str, by: tuple[Any, ...]) -> bool:
    own = all(b.site == OWN for b in by if isinstance(b, Quantity))
    if family[0] == "uses":
        return change in _OF_A_USE and (path.op == "mm" or change != "operand")
    if family[0] == "of":
        return change in ("gradient of", "cut", "not conjugated") and own
    return change in _OF_A_GATE and (own or path.leaf)


def _path(step: Step, user: int, j: Any, ref: int) -> Part:
    node, factor = step.tape.nodes[user], ""
    if node.op in ("mul", "mm") and isinstance(node.args[1 - j], Ref):
        factor = step.name(node.args[1 - j])
    op = "upstream" if factor and step.is_upstream(node.args[1 - j]) else node.op
    path = Part("path", step.name(user), (step.edge(user, j),), op=op, factor=factor)
    return path._replace(operand=step.name(ref), leaf=ref in step.leaf)


def _alterations(step: Step, user: int, j: Any, ref: int) -> Iterator[Change]:
    node, values = step.tape.nodes[user], step.tape.values
    op, same_shape = node.op, np.shape(values[user]) == np.shape(values[ref])
    is_known = node.site not in step.repeated  # the other quantities that it is computed with
    yield "cut", (), 0
    yield "factor", (-1,), 1
    yield "factor", (2,), 2
    factor = node.args[1 - j] if op in ("mul", "mm") else None
    if op == "mul" and isinstance(factor, Ref) and step.is_upstream(factor):
        yield "factor", (0.5,), 2
    if same_shape and op not in ("add", "neg", "sub"):
        yield "without its derivative", (), 1
    if op == "mul" and isinstance(factor, Ref):
        if is_known:
            yield from _other_operand(step, user, j, 3)
        if same_shape:
            yield "factor divided", (), 5
            yield "factor added", (), 5
    if op in ACTIVATIONS:
        yield from _derivatives(step, user, ref, is_known)
    if isinstance(factor, Ref) and np.iscomplexobj(values[factor]):
        yield "not conjugated", (), 0
    if op == "mm":
        yield from _products(step, user, j, ref, is_known)
    if op in ("index", "embedding") and j == 0:
        yield "last of equal indices", (), 2
        if not is_known:
            return
        at = (1, _index_position(node)) if op == "index" else 1
        yield from (("index", (Quantity("", OWN, at, shift),), 3) for shift in SHIFTS)
    if op == "_log_softmax":
        yield from _softmax_errors(np.ndim(values[user]), node.args[1])
    if op == "nll_loss_forward":
        yield from (("target", (Quantity("", OWN, 1, shift),), 2) for shift in SHIFTS)
    if op == "pow":
        yield "sign for value", (), 2
        yield "factor 2 left out", (), 1
    if is_known:
        yield from other_gradients(step, user, ref, same_shape)


def _other_operand(step: Step, user: int, j: int, rank: int) -> Iterator[Change]:
    """The other factor of a product: another quantity, or the same one of another step."""
    nodes = step.tape.nodes
    factor: Any = nodes[user].args[1 - j]
    own, values = Quantity(step.name(factor), OWN, 1 - j), []
    sigmoids = {step.name(i) for i in step.inner if nodes[i].op == "sigmoid"}
    for quantity in step.alike(np.shape(step.tape.values[factor]), factor):
        values.append(quantity)
        if quantity.name in sigmoids:
            values.append(quantity._replace(form="1 - v"))
    if own.name in sigmoids:
        values.append(own._replace(form="1 - v"))
    values += [own._replace(shift=shift) for shift in SHIFTS]
    if factor in step.inner and nodes[factor].op == "rsub":
        inner = Quantity(step.name(nodes[factor].args[0]), nodes[factor].site, 0)
        values += [inner._replace(form=form) for form in ("1 + v", "2 - v", "-v")]
    if nodes[factor].site in step.states:
        state = step.state(nodes[factor].site)
        values += [state._replace(shift=shift) for shift in _PLACES]
    site = step.graph.crossing.get(step.edge(user, 1 - j))
    if site is not None:
        values.append(step.state(site)._replace(shift="last at the first step"))
    yield from (("operand", (value,), rank) for value in values)


def _derivatives(step: Step, user: int, ref: int, is_known: bool) -> Iterator[Change]:
    """The derivative of an activation in another form, at another value, or of another step."""
    for own in (Quantity("its value"), Quantity("its argument", OWN, 0)):
        yield from (("derivative", (form, own), 2) for form in FORMS)
    if not is_known:
        return
    values = [*step.alike(np.shape(step.tape.values[user]), user, ref)]
    for index in (user, ref):
        values += [step.result(index)._replace(shift=shift) for shift in SHIFTS]
    if (site := step.tape.nodes[user].site) in step.states:
        values += [step.state(site)._replace(shift=shift) for shift in _PLACES]
    for value in values:
        for form in ("v (1 - v)", "1 - v^2", "v"):
            yield "derivative", (form, value), 4
        yield "v of the derivative", (value,), 5
        yield "w of the derivative", (value,), 5


def _softmax_errors(axes: int, axis: int) -> Iterator[Change]:
    yield from ((change, (axis,), rank) for change, rank in _SOFTMAX)
    yield from (("over another", (axis, name), 3) for name in ("maximum", "mean"))
    others = sorted(set(range(axes)) - {axis % axes})
    for wrong in others:
        yield "targets shared", (axis, wrong), 2
        yield "wrong maximum", (axis, wrong), 3
    for its in (*others, None):  # of the logits less their maximum over these axes or their own
        yield from (("wrong sum", (axis, its, less), 3) for less in (its, axis))
    yield from (("probabilities", (axis, Quantity("", shift=shift)), 3) for shift in SHIFTS)


def _products(step: Step, user: int, j: int, ref: int, is_known: bool) -> Iterator[Change]:
    """The factors of a matrix product; a factor made from a leaf is the weight."""
    factor: Any = step.tape.nodes[user].args[1 - j]
    shape = np.shape(step.tape.values[factor])
    if factor in step.leaf and step.tape.network.arguments[step.leaf[factor]].time_axis is None:
        uses = tuple(step.edge(u, k) for u, k in step.graph.users[factor] if u in step.inner)
        for start in (0, 1):
            yield "operand's gradient", (uses, start), 3
    if ref in step.leaf:
        if is_known:
            yield from _other_operand(step, user, j, 2)
        yield "operand reversed", (), 4
        return
    yield "operand transposed" if len(set(shape)) == 1 else "operand reshaped", (), 1
    if is_known:
        yield from (("operand", (quantity,), 3) for quantity in step.alike(shape, factor))


def _index_position(node: Node) -> int:
    return next(i for i, a in enumerate(node.args[1]) if a is not None)
