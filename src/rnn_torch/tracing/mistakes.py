"""The catalogue of a network's mistakes, derived from its recorded step. It knows no network.

Each contribution of the reverse pass is left out, multiplied by something else, taken from another
step or another gradient, and so on: what people do in passes that they write by hand.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from itertools import permutations
from typing import Any

import numpy as np

from rnn_torch.networks.network import Array
from rnn_torch.tracing.calls import call, passed_back
from rnn_torch.tracing.reverse import At, Edge, Graph, Mistake
from rnn_torch.tracing.tape import Ref, Tape, refs

Alteration = Callable[[At], Array | None]
Getter = Callable[[Graph, int], int | None]  # the node of a quantity at a step

#: What people write for the derivative of an activation, at a value v.
FORMS: dict[str, Callable[[Any, Any], Any]] = {
    "v (1 - v)": lambda g, v: g * v * (1 - v),
    "1 - v^2": lambda g, v: g * (1 - v * v),
    "1 - v": lambda g, v: g * (1 - v),
    "v": lambda g, v: g * v,
    "v^2": lambda g, v: g * v * v,
    "1 + v^2": lambda g, v: g * (1 + v * v),
    "sigmoid(v)": lambda g, v: g / (1 + np.exp(-v)),
    "sigmoid'(v)": lambda g, v: g / (2 + np.exp(v) + np.exp(-v)),
    "tanh(v)": lambda g, v: g * np.tanh(v),
    "tanh'(v)": lambda g, v: g * (1 - np.tanh(v) ** 2),
    "1 / (1 - v^2)": lambda g, v: g / (1 - v * v),
    "1 / (v (1 - v))": lambda g, v: g / (v * (1 - v)),
    "(1 - v^2)^2": lambda g, v: g * (1 - v * v) ** 2,
    "(v (1 - v))^2": lambda g, v: g * (v * (1 - v)) ** 2,
    "1 - v^2 without its brackets": lambda g, v: g * 1 - v * v,
    "v - v^2 without its brackets": lambda g, v: g * v - v * v,
    "1 where v > 0": lambda g, v: g * (v > 0),
    "1 where v >= 0": lambda g, v: g * (v >= 0),
}
_VIEWS = {"t", "transpose", "permute", "view", "split", "chunk", "select", "unbind", "slice"}
_VIEWS |= {"unsqueeze", "squeeze", "expand", "split_with_sizes"}


class Step:
    """What a tape's second step consists of, with a name for everything: what mistakes are made of."""

    def __init__(self, tape: Tape) -> None:
        self.tape, self.graph = tape, Graph(tape)
        self.inner = [i for i, n in enumerate(tape.nodes) if n.step == min(1, len(tape.losses) - 1)]
        every = set(self.inner)
        self.states = dict.fromkeys(self.graph.crossing.values())
        self.edges = [
            (u, j, r) for r, users in enumerate(self.graph.users) for u, j in users if u in every
        ]
        self.edges += [
            (u, j, r)
            for r, users in enumerate(self.graph.users)
            for u, j in users
            if tape.nodes[u].step == -1 and tape.nodes[u].op not in _VIEWS
        ]
        self.edges.sort(key=lambda edge: -edge[0])
        self.leaf = self._leaves()
        texts = Counter(tape.sites[tape.nodes[i].site].text for i in self.inner)
        self.ambiguous = {text for text, count in texts.items() if count > 1}
        self.quantities = list(self._quantities(every))

    def _leaves(self) -> dict[int, str]:
        """Which differentiated argument a node is a part or another view of."""
        found: dict[int, str] = {}
        for name in self.tape.network.differentiated:
            found[self.tape.arguments[name]] = name
        for index, node in enumerate(self.tape.nodes):
            if node.step == -1 and node.op in _VIEWS and node.args[0] in found:
                found[index] = found[node.args[0]]
        return found

    def _quantities(self, every: set[int]) -> Iterator[tuple[str, int, Getter]]:
        """(name, its node in this step, the node in any step) of everything that is a number."""
        seen = set()
        for index in self.inner:
            node = self.tape.nodes[index]
            for j, r in refs(node):
                if r not in every and r not in seen and self.tape.values[r].dtype.kind == "f":
                    seen.add(r)
                    yield self.name(r), r, argument_of(node.site, j)
            if self.tape.values[index].dtype.kind == "f" and index not in self.tape.losses:
                yield self.name(index), index, result_of(node.site)

    def name(self, index: int) -> str:
        """A variable, an expression, or what an operation computes."""
        node, site = self.tape.nodes[index], self.tape.sites[self.tape.nodes[index].site]
        if index in self.tape.losses:
            return "the loss"
        if node.site in self.states:
            earlier = node.step < self.tape.nodes[self.inner[0]].step
            return f"{site.name or site.text}_{'(t-1)' if earlier else 't'}"
        if site.name:
            return site.name
        if node.op == "constant":
            return "a constant"
        if site.text in self.ambiguous or not site.text:
            return f"{node.op.strip('_')}[{site.text}]"
        return site.text

    def where(self, index: int) -> str:
        """The source line it is in."""
        return self.tape.sites[self.tape.nodes[index].site].where

    def alike(self, shape: tuple[int, ...], *but: int) -> Iterator[tuple[str, Getter]]:
        """Every quantity of this shape, but these."""
        for name, index, get in self.quantities:
            if np.shape(self.tape.values[index]) == shape and index not in but:
                yield name, get


def result_of(site: int) -> Getter:
    """What a site computes in a step."""
    return lambda graph, step: graph.tape.at.get((site, step))


def argument_of(site: int, j: Any) -> Getter:
    """What a site is given in a step."""

    def get(graph: Graph, step: int) -> int | None:
        index = graph.tape.at.get((site, step))
        if index is None:
            return None
        args = graph.nodes[index].args
        return args[j] if isinstance(j, int) else args[j[0]][j[1]]

    return get


def shifts(at_step: Callable[[At, int], Any]) -> Iterator[tuple[str, Callable[[At], Any]]]:
    """The same thing of another step: what `t - 1`, `t + 1`, `-1` do at the ends."""
    yield "of the step before, wrapping round", lambda at: at_step(at, (at.step - 1) % at.steps)
    yield "of the step before, kept at the first", lambda at: at_step(at, max(at.step - 1, 0))
    yield (
        "of the step before, zero at the first",
        lambda at: at_step(at, max(at.step - 1, 0)) * (at.step > 0),
    )
    yield (
        "of the step after, kept at the last",
        lambda at: at_step(at, min(at.step + 1, at.steps - 1)),
    )
    yield (
        "of the step after, zero at the last",
        lambda at: at_step(at, min(at.step + 1, at.steps - 1)) * (at.step + 1 < at.steps),
    )
    yield "of the step after, wrapping round", lambda at: at_step(at, (at.step + 1) % at.steps)
    yield "reversed in time", lambda at: at_step(at, at.steps - 1 - at.step)
    yield "of the first step, always", lambda at: at_step(at, 0)
    yield "of the last step, always", lambda at: at_step(at, at.steps - 1)
    yield "zero at the first step", lambda at: at_step(at, at.step) * (at.step > 0)
    yield "zero at the last step", lambda at: at_step(at, at.step) * (at.step < at.steps - 1)


def valued(get: Getter) -> Callable[[At, int], Any]:
    """The value of a quantity at a step."""

    def value(at: At, step: int) -> Any:
        return at.value(get(at.reverse.graph, step))

    return value


def now(get: Getter) -> Callable[[At], Any]:
    """Its value at the contribution's own step."""
    return lambda at: at.value(get(at.reverse.graph, at.step))


def edge_mistakes(step: Step) -> Iterator[Mistake]:
    """One contribution altered."""
    for user, j, ref in step.edges:
        for sentence, rank, alteration in _alterations(step, user, j, ref):
            edge = (step.tape.nodes[user].site, j)
            yield Mistake(sentence, step.where(user), rank, edges={edge: alteration})


def _alterations(step: Step, user: int, j: Any, ref: int) -> Iterator[tuple[str, int, Alteration]]:
    node, values = step.tape.nodes[user], step.tape.values
    its, into = step.name(user), step.name(ref)
    path = f"the path {its} -> {into}"
    same = np.shape(values[user]) == np.shape(values[ref])
    yield f"{path} is cut", 0, lambda at: None
    yield f"{path} has the wrong sign", 1, lambda at: -at.base()
    yield f"{path} is counted twice", 2, lambda at: 2 * at.base()
    if same and node.op not in ("add", "neg", "sub"):
        what = f"the derivative of {its} with respect to {into} is left out"
        yield what, 1, lambda at: at.g
    if node.op == "mul" and isinstance(node.args[1 - j], Ref):
        yield from _other_operand(step, user, j, f"{path} is multiplied by", "not", 3)
        if same:
            yield f"{path} is divided, not multiplied", 5, lambda at: at.g / at.args[1 - at.j]
    if node.op in ("sigmoid", "tanh", "relu"):
        yield from _derivatives(step, user, ref)
    if node.op == "mm":
        yield from _products(step, user, j, ref)
    if node.op in ("index", "embedding") and j == 0:
        lost = f"of equal indices in one step only the last adds to d{into} (d[i] += for np.add.at)"
        yield lost, 2, _last_wins
        indices = argument_of(node.site, (1, _index_position(node)) if node.op == "index" else 1)
        for label, moved in shifts(valued(indices)):
            text = f"d{into} takes the index {label}"
            yield text, 3, _with_index(moved, node.op)
    if node.op == "_log_softmax":
        yield "the softmax's error lacks the -1 at the target", 1, lambda at: at.base() - at.g
        yield "the softmax's error lacks the probabilities", 1, lambda at: at.g
    if node.op == "nll_loss_forward":
        for label, moved in shifts(valued(argument_of(node.site, 1))):
            yield f"the target {label}", 2, _replaced(1, moved)
    if node.op == "pow":
        yield f"the sign of {into}, not {into} (L1)", 2, lambda at: at.g * 2 * np.sign(at.args[0])
        yield f"the factor 2 of {its} is left out", 1, lambda at: at.base() / 2
    if node.op == "sub" and isinstance(node.args[1 - j], Ref):
        pass
    yield from _other_gradient(step, user, j, ref, path, same)


def _replaced(at_argument: int, value: Callable[[At], Any]) -> Alteration:
    return lambda at: at.replaced(at_argument, value(at))


def _other_operand(
    step: Step, user: int, j: int, says: str, instead: str, rank: int
) -> Iterator[tuple[str, int, Alteration]]:
    """The product's other factor: another quantity, or the same of another step."""
    node, values = step.tape.nodes[user], step.tape.values
    other: Any = node.args[1 - j]
    right = step.name(other)
    for label, get in step.alike(np.shape(values[other]), other):
        yield f"{says} {label}, {instead} {right}", rank, _replaced(1 - j, now(get))
        if label in _sigmoids(step):
            text = f"{says} 1 - {label}, {instead} {right}"
            yield text, rank, _replaced(1 - j, lambda at, v=now(get): 1 - v(at))
    if right in _sigmoids(step):
        get = argument_of(node.site, 1 - j)
        text = f"{says} 1 - {right}, {instead} {right}"
        yield text, rank, _replaced(1 - j, lambda at, v=now(get): 1 - v(at))
    for label, moved in shifts(valued(argument_of(node.site, 1 - j))):
        yield f"{says} {right} {label}", rank, _replaced(1 - j, moved)


def _sigmoids(step: Step) -> set[str]:
    return {step.name(i) for i in step.inner if step.tape.nodes[i].op == "sigmoid"}


def _derivatives(step: Step, user: int, ref: int) -> Iterator[tuple[str, int, Alteration]]:
    """Of an activation: another form, at another value, of another step."""
    node, its, into = step.tape.nodes[user], step.name(user), step.name(ref)
    of = f"the derivative of {its}{f' = {node.op}(...)' if node.op not in its else ''}"
    own = {"its value": lambda at: at.out, "its argument": lambda at: at.args[0]}
    for what, value in own.items():
        for form, d in FORMS.items():
            text = f"{of} is taken as {form}, with v {what}"
            yield text, 2, lambda at, d=d, value=value: d(at.g, value(at))
    others = list(step.alike(np.shape(step.tape.values[user]), user, ref))
    taken = [(label, now(get)) for label, get in others]
    for index, name in ((user, its), (ref, into)):
        moved = valued(result_of(step.tape.nodes[index].site))
        taken += [(f"{name} {label}", value) for label, value in shifts(moved)]
    for label, value in taken:
        for form in ("v (1 - v)", "1 - v^2", "v"):
            text = f"{of} is taken as {form}, with v {label}"
            yield text, 4, lambda at, d=FORMS[form], value=value: d(at.g, value(at))
        text = f"{of} is taken as v (1 - w), with v {label}"
        yield text, 5, lambda at, value=value: at.g * value(at) * (1 - at.out)
        text = f"{of} is taken as v (1 - w), with w {label}"
        yield text, 5, lambda at, value=value: at.g * at.out * (1 - value(at))


def _products(step: Step, user: int, j: int, ref: int) -> Iterator[tuple[str, int, Alteration]]:
    """Of matrices: which is the weight, which the activity, is asked of where they come from."""
    node, values = step.tape.nodes[user], step.tape.values
    other: Any = node.args[1 - j]
    right, into, shape = step.name(other), step.name(ref), np.shape(values[other])
    path = f"the path {step.name(user)} -> {into}"
    if ref in step.leaf:
        yield from _other_operand(step, user, j, f"d{into} takes", "not", 2)
        reverse = f"d{into} takes {right} with its features reversed"
        yield reverse, 4, _replaced(1 - j, lambda at: np.flip(at.args[1 - at.j], at.j - 1))
        return
    if len(set(shape)) == 1:
        yield f"{right} is not transposed on {path}", 1, _replaced(1 - j, lambda at: at.args[1 - at.j].T)
    else:
        text = f"{right} is reshaped, not transposed, on {path}"
        yield text, 1, _replaced(1 - j, lambda at: _reshaped(at.args[1 - at.j]))
    for label, get in step.alike(shape, other):
        yield f"{path} takes {label}, not {right}", 3, _replaced(1 - j, now(get))


def _reshaped(a: Array) -> Array:
    return np.ascontiguousarray(a).reshape(a.T.shape).T


def _index_position(node: Any) -> int:
    return next(i for i, a in enumerate(node.args[1]) if a is not None)


def _with_index(moved: Callable[[At], Any], op: str) -> Alteration:
    def alteration(at: At) -> Array | None:
        index = np.asarray(moved(at)).astype(int)
        args = list(at.args)
        args[1] = index if op == "embedding" else [index if a is not None else a for a in args[1]]
        return at.base(args=args)

    return alteration


def _last_wins(at: At) -> Array:
    full = np.zeros(np.shape(at.args[0]))
    index = at.args[1]
    if isinstance(index, list):
        full[tuple(slice(None) if i is None else i for i in index)] = at.g
    else:
        full[index] = at.g
    return full


def _other_gradient(
    step: Step, user: int, j: Any, ref: int, path: str, same: bool
) -> Iterator[tuple[str, int, Alteration]]:
    """Which gradient goes in: another's, another step's, not all of it."""
    node, values, its = step.tape.nodes[user], step.tape.values, step.name(user)
    shape = np.shape(values[user])
    if shape:
        for m in step.inner:
            if m != user and step.graph.users[m] and np.shape(values[m]) == shape:
                text = f"{path} takes the gradient of {step.name(m)}, not of {its}"
                yield text, 4, _gradient_of(result_of(step.tape.nodes[m].site))
        for state in step.states:
            text = f"{path} takes only what comes back from the next step through"
            name = step.tape.sites[state].name or step.tape.sites[state].text
            if np.shape(values[step.tape.at[state, node.step]]) == shape and node.step >= 0:
                yield f"{text} {name}", 4, _from_next(state)
    own = result_of(node.site)
    late = f"{path} takes the next step's gradient of {its}"
    yield late, 2 if ref in step.leaf else 4, _gradient_of(lambda graph, t: own(graph, t + 1))
    if ref in step.leaf:
        early = f"{path} takes the gradient of {its} of the step before"
        yield early, 4, _gradient_of(lambda graph, t: own(graph, t - 1))
        if "batch" in step.tape.problem.sizes:
            mean = f"d{step.name(ref)} is the mean over the batch, not the sum"
            yield mean, 1, lambda at: at.base() / at.reverse.graph.tape.problem.sizes["batch"]
    sources = list(dict.fromkeys((step.tape.nodes[u].site, k) for u, k in step.graph.users[user]))
    if len(sources) < 2:
        return
    for edge in sources:
        through = step.tape.at.get((edge[0], node.step + (edge in step.graph.crossing)))
        label = "from the next step" if edge in step.graph.crossing else "through"
        label += f" {step.name(through)}" if through is not None and label == "through" else ""
        if edge in step.graph.crossing and through is not None:
            label += f" through {step.name(through)}"
        reaches = f"what reaches {its} {label}"
        yield f"{path} lacks {reaches}", 2, _without(edge)
        if same and node.op != "add":
            yield f"{reaches} goes on to {step.name(ref)} without the derivative", 2, _bare(edge)
        if len(sources) > 2:
            yield f"{path} has only {reaches}", 3, _only(edge)
    crossing = [e for e in sources if e in step.graph.crossing]
    if 1 < len(crossing) < len(sources):
        yield f"{path} lacks what reaches {its} from the next step", 2, _without(*crossing)
        if same and node.op != "add":
            text = f"what reaches {its} from the next step goes on to {step.name(ref)}"
            yield f"{text} without the derivative", 2, _bare(*crossing)


def _gradient_of(get: Getter) -> Alteration:
    def alteration(at: At) -> Array | None:
        index = get(at.reverse.graph, at.step)
        other = None if index is None else at.reverse.of(index)
        return None if other is None else at.base(other)

    return alteration


def _from_next(state: int) -> Alteration:
    return lambda at: at.base(at.reverse.crossing(state, at.step + 1) + 0 * at.g)


def _of_sources(at: At, edges: tuple[Edge, ...]) -> Any:
    graph, total = at.reverse.graph, 0 * at.g
    for user, j in graph.users[at.user]:
        if (graph.nodes[user].site, j) in edges:
            part = at.reverse.part(user, j)
            total = total if part is None else total + part
    return total


def _without(*edges: Edge) -> Alteration:
    return lambda at: at.base(at.g - _of_sources(at, edges))


def _only(*edges: Edge) -> Alteration:
    return lambda at: at.base(_of_sources(at, edges))


def _bare(*edges: Edge) -> Alteration:
    def alteration(at: At) -> Array:
        part = _of_sources(at, edges)
        return at.base(at.g - part) + part

    return alteration


def path_mistakes(step: Step) -> Iterator[Mistake]:
    """Several contributions altered together: gradients assigned, factors or weights swapped."""
    into: dict[int, list[Edge]] = {}
    nodes, values = step.tape.nodes, step.tape.values
    for user, j, ref in step.edges:
        into.setdefault(ref, []).append((nodes[user].site, j))
    for ref, edges in into.items():
        if len(edges) > 2 and ref not in step.leaf:
            for kept in edges:
                user = step.tape.at[kept[0], nodes[step.inner[0]].step]
                text = f"only the path {step.name(user)} -> {step.name(ref)} is left (= for +=)"
                cut = {edge: (lambda at: None) for edge in edges if edge != kept}
                yield Mistake(text, step.where(user), 1, edges=cut)
    for user in step.inner:
        its = nodes[user]
        two = [a for a in its.args[:2] if isinstance(a, Ref)]
        if its.op == "mul" and len(two) == 2 and np.shape(values[two[0]]) == np.shape(values[two[1]]):
            text = f"both paths of {step.name(user)} are multiplied by their own factor"
            own = {(its.site, j): (lambda at: at.g * at.args[at.j]) for j in (0, 1)}
            yield Mistake(f"{text}, not by the other", step.where(user), 2, edges=own)
    yield from _weights_swapped(step)
    yield from _parts(step)


def _weights_swapped(step: Step) -> Iterator[Mistake]:
    nodes, values = step.tape.nodes, step.tape.values
    back = [(u, j) for u, j, ref in step.edges if nodes[u].op == "mm" and ref not in step.leaf]
    for a, j in back:
        for b, k in back:
            w, v = (nodes[u].args[1 - i] for u, i in ((a, j), (b, k)))
            if a < b and j == k and w != v and np.shape(values[w]) == np.shape(values[v]):
                text = f"{step.name(w)} and {step.name(v)} change places on the way back"
                swap = {
                    (nodes[x].site, j): _replaced(1 - j, now(argument_of(nodes[y].site, 1 - j)))
                    for x, y in ((a, b), (b, a))
                }
                yield Mistake(text, step.where(a), 2, edges=swap)


def _parts(step: Step) -> Iterator[Mistake]:
    """Gates side by side: put together in another order; one missing, swapped, not yet derived."""
    nodes, tape = step.tape.nodes, step.tape
    groups: dict[int, list[int]] = {}
    for i in step.inner:
        if nodes[i].op in _VIEWS and isinstance(nodes[i].args[0], Ref) and step.graph.users[i]:
            groups.setdefault(nodes[i].args[0], []).append(i)
    for source, parts in groups.items():
        if len({np.shape(tape.values[p]) for p in parts}) > 1 or len(parts) < 2:
            continue
        sites, names = [nodes[p].site for p in parts], [step.name(p) for p in parts]
        for order in permutations(range(len(parts))):
            if len(parts) <= 4 and order != tuple(range(len(parts))):
                placed = {(sites[i], 0): _placed_at(sites[o]) for i, o in enumerate(order)}
                put = [names[order.index(i)] for i in range(len(order))]
                text = f"the gates are put together as {', '.join(put)}, not {', '.join(names)}"
                yield Mistake(text, step.where(parts[0]), 2, edges=placed)
        for user, j, ref in step.edges:
            if user not in _summands(step, source):
                continue
            edge, path = (nodes[user].site, j), f"the path {step.name(user)} -> {step.name(ref)}"
            for a, name in zip(sites, names, strict=True):
                lacks = {edge: lambda at, a=a: at.base(at.g - _in_place(at, a, _taken(at, a)))}
                yield Mistake(f"{path} lacks {name}'s part", step.where(user), 2, edges=lacks)
                for b, other in zip(sites, names, strict=True):
                    if a != b:
                        text = f"{path} has {other}'s part in {name}'s place"
                        yield Mistake(text, step.where(user), 3, edges={edge: _doubled(a, b)})
            raw = {edge: _before_their_derivatives(sites)}
            text = f"{path} takes the gates' gradients before their derivatives"
            yield Mistake(text, step.where(user), 2, edges=raw)


def _summands(step: Step, source: int) -> list[int]:
    """The source, and what is added up to it, if that has its shape."""
    found, shape = [source], np.shape(step.tape.values[source])
    for index in found:
        node = step.tape.nodes[index]
        if node.op == "add" and index in step.inner:
            more = [a for a in node.args if isinstance(a, Ref) and a in step.inner]
            found += [a for a in more if np.shape(step.tape.values[a]) == shape]
    return found


def _member(at: At, site: int) -> Any:
    return at.reverse.graph.tape.at[site, at.step]


def _in_place(at: At, site: int, g: Array) -> Array:
    """g where this part has its place in the whole, 0 elsewhere."""
    graph, index = at.reverse.graph, _member(at, site)
    node = graph.nodes[index]
    return passed_back(node, 0, graph.tape.arg_values(node, graph.values), graph.values[index], g)


def _taken(at: At, site: int) -> Array:
    graph = at.reverse.graph
    node = graph.nodes[_member(at, site)]
    return call(node, [at.g, *graph.tape.arg_values(node, graph.values)[1:]])


def _placed_at(site: int) -> Alteration:
    return lambda at: _in_place(at, site, at.g)


def _doubled(a: int, b: int) -> Alteration:
    return lambda at: at.base(
        at.g - _in_place(at, a, _taken(at, a)) + _in_place(at, a, _taken(at, b))
    )


def _before_their_derivatives(sites: list[int]) -> Alteration:
    def alteration(at: At) -> Array | None:
        total = 0 * at.g
        for site in sites:
            users = at.reverse.graph.users[_member(at, site)]
            g = at.reverse.of(users[0][0]) if len(users) == 1 else None
            if g is None or np.shape(g) != np.shape(_taken(at, site)):
                return None
            total = total + _in_place(at, site, g)
        return at.base(total)

    return alteration
