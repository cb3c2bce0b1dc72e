"""The catalogue of a network's mistakes, derived from its recorded step. It knows no network.

Each contribution of the reverse pass is left out, multiplied by something else, taken from another
step or another gradient, and so on: what people do in passes that they write by hand.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from rnn_torch.networks.network import Array
from rnn_torch.tracing.reverse import At, Edge, Mistake
from rnn_torch.tracing.step import (
    Alteration,
    Getter,
    Step,
    argument_of,
    now,
    replaced,
    result_of,
    shifts,
    valued,
)
from rnn_torch.tracing.tape import Ref

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
            yield f"the target {label}", 2, replaced(1, moved)
    if node.op == "pow":
        yield f"the sign of {into}, not {into} (L1)", 2, lambda at: at.g * 2 * np.sign(at.args[0])
        yield f"the factor 2 of {its} is left out", 1, lambda at: at.base() / 2
    yield from _other_gradient(step, user, j, ref, path, same)


def _other_operand(
    step: Step, user: int, j: int, says: str, instead: str, rank: int
) -> Iterator[tuple[str, int, Alteration]]:
    """The product's other factor: another quantity, or the same of another step."""
    node, values = step.tape.nodes[user], step.tape.values
    other: Any = node.args[1 - j]
    right = step.name(other)
    for label, get in step.alike(np.shape(values[other]), other):
        yield f"{says} {label}, {instead} {right}", rank, replaced(1 - j, now(get))
        if label in _sigmoids(step):
            text = f"{says} 1 - {label}, {instead} {right}"
            yield text, rank, replaced(1 - j, _complement(get))
    if right in _sigmoids(step):
        get = argument_of(node.site, 1 - j)
        text = f"{says} 1 - {right}, {instead} {right}"
        yield text, rank, replaced(1 - j, _complement(get))
    for label, moved in shifts(valued(argument_of(node.site, 1 - j))):
        yield f"{says} {right} {label}", rank, replaced(1 - j, moved)
    state = step.graph.crossing.get((node.site, 1 - j))
    if state is not None:
        last = replaced(1 - j, _last_at_first(node.site, 1 - j, state))
        yield f"{says} the last state for {right} at the first step (index -1)", rank, last


def _complement(get: Getter) -> Callable[[At], Any]:
    value = now(get)
    return lambda at: 1 - value(at)


def _last_at_first(site: int, j: int, state: int) -> Callable[[At], Any]:
    usual, last = valued(argument_of(site, j)), valued(result_of(state))
    return lambda at: last(at, at.steps - 1) if at.step == 0 else usual(at, at.step)


def _sigmoids(step: Step) -> set[str]:
    return {step.name(i) for i in step.inner if step.tape.nodes[i].op == "sigmoid"}


def _derivatives(step: Step, user: int, ref: int) -> Iterator[tuple[str, int, Alteration]]:
    """Of an activation: another form, at another value, of another step."""
    node, its, into = step.tape.nodes[user], step.name(user), step.name(ref)
    of = f"the derivative of {its}{f' = {node.op}(...)' if node.op not in its else ''}"
    own: dict[str, Callable[[At], Any]] = {
        "its value": lambda at: at.out,
        "its argument": lambda at: at.args[0],
    }
    for what, value in own.items():
        for form, d in FORMS.items():
            text = f"{of} is taken as {form}, with v {what}"
            yield text, 2, _formed(d, value)
    others = list(step.alike(np.shape(step.tape.values[user]), user, ref))
    taken = [(label, now(get)) for label, get in others]
    for index, name in ((user, its), (ref, into)):
        moved = valued(result_of(step.tape.nodes[index].site))
        taken += [(f"{name} {label}", value) for label, value in shifts(moved)]
    for label, value in taken:
        for form in ("v (1 - v)", "1 - v^2", "v"):
            text = f"{of} is taken as {form}, with v {label}"
            yield text, 4, _formed(FORMS[form], value)
        text = f"{of} is taken as v (1 - w), with v {label}"
        yield text, 5, _mixed(value, lambda at: at.out)
        text = f"{of} is taken as v (1 - w), with w {label}"
        yield text, 5, _mixed(lambda at: at.out, value)


def _formed(d: Callable[[Any, Any], Any], value: Callable[[At], Any]) -> Alteration:
    return lambda at: d(at.g, value(at))


def _mixed(v: Callable[[At], Any], w: Callable[[At], Any]) -> Alteration:
    return lambda at: at.g * v(at) * (1 - w(at))


def _products(step: Step, user: int, j: int, ref: int) -> Iterator[tuple[str, int, Alteration]]:
    """Of matrices: which is the weight, which the activity, is asked of where they come from."""
    node, values = step.tape.nodes[user], step.tape.values
    other: Any = node.args[1 - j]
    right, into, shape = step.name(other), step.name(ref), np.shape(values[other])
    path = f"the path {step.name(user)} -> {into}"
    if ref in step.leaf:
        yield from _other_operand(step, user, j, f"d{into} takes", "not", 2)
        reverse = f"d{into} takes {right} with its features reversed"
        yield reverse, 4, replaced(1 - j, lambda at: np.flip(at.args[1 - at.j], at.j - 1))
        return
    if len(set(shape)) == 1:
        yield (
            f"{right} is not transposed on {path}",
            1,
            replaced(1 - j, lambda at: at.args[1 - at.j].T),
        )
    else:
        text = f"{right} is reshaped, not transposed, on {path}"
        yield text, 1, replaced(1 - j, lambda at: _reshaped(at.args[1 - at.j]))
    for label, get in step.alike(shape, other):
        yield f"{path} takes {label}, not {right}", 3, replaced(1 - j, now(get))


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
