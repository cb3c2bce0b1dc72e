"""One contribution of the reverse pass altered: omitted, not transposed, wrongly multiplied."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from bptt_check.catalogue.derivatives import derivatives, softmax_errors
from bptt_check.catalogue.other_gradients import other_gradients
from bptt_check.networks.network import Array
from bptt_check.tracing.reverse import Contribution, Edge, Mistake, Reverse
from bptt_check.tracing.step import (
    Alteration,
    Getter,
    Step,
    argument_of,
    current,
    places,
    replaced,
    result_of,
    shifts,
    valued,
)
from bptt_check.tracing.tape import Ref


def edge_mistakes(step: Step) -> Iterator[Mistake]:
    """One contribution altered: at every step or the first one only; for one use or all uses."""
    uses: dict[str, list[Edge]] = {}
    everywhere: dict[tuple[str, str, int], dict[Edge, Alteration]] = {}
    for user, j, ref in step.edges:
        edge, leaf = (step.tape.nodes[user].site, j), step.leaf.get(ref)
        if leaf:
            uses.setdefault(leaf, []).append(edge)
        for sentence, rank, alteration in _alterations(step, user, j, ref):
            yield Mistake(sentence, step.where(user), rank, edges={edge: alteration})
            if leaf and sentence.startswith(part := f"d{step.name(ref)} "):
                text = f"d{leaf} {sentence.removeprefix(part)}"
                everywhere.setdefault((leaf, text, rank), {})[edge] = alteration
            if edge in step.graph.crossing and rank < 2:
                text = f"at the first step {sentence}"
                yield Mistake(text, step.where(user), 3, edges={edge: _at_first(alteration)})
    in_steps = {step.tape.nodes[i].site for i in step.inner}
    for leaf, its in uses.items():
        if not {site for site, _ in its} <= in_steps:
            continue
        text = f"d{leaf} takes the error of the loss at its own step only"
        yield Mistake(text, rank=3, edges=dict.fromkeys(its, _of_own_loss))
    for (leaf, sentence, rank), edges in everywhere.items():
        if len(edges) == len(set(uses[leaf])) > 1:
            yield Mistake(sentence, rank=rank, edges=edges)


def _of_own_loss(c: Contribution) -> Array | None:
    alone = Reverse(c.reverse.graph, Mistake("", window=0), c.step, None)
    g = alone.of(c.user)
    return None if g is None else c.base(g)


def _at_first(alteration: Alteration) -> Alteration:
    return lambda c: alteration(c) if c.step == 0 else c.base()


def _alterations(step: Step, user: int, j: Any, ref: int) -> Iterator[tuple[str, int, Alteration]]:
    node, values = step.tape.nodes[user], step.tape.values
    result, operand = step.name(user), step.name(ref)
    path = f"the path {result} -> {operand}"
    same = np.shape(values[user]) == np.shape(values[ref])
    yield f"{path} is cut", 0, lambda c: None
    yield f"{path} has the wrong sign", 1, lambda c: -c.base()
    yield f"{path} is counted twice", 2, lambda c: 2 * c.base()
    its_own = node.site not in step.repeated  # else no quantity can be said to be its own
    if same and node.op not in ("add", "neg", "sub"):
        text = f"the derivative of {result} with respect to {operand} is left out"
        yield text, 1, lambda c: c.g
    if node.op == "mul" and isinstance(node.args[1 - j], Ref):
        if its_own:
            yield from _other_operand(step, user, j, f"{path} is multiplied by", 3)
        if same:
            yield f"{path} is divided, not multiplied", 5, lambda c: c.g / c.args[1 - c.j]
            text = f"{step.name(node.args[1 - j])} is added to {path}, not multiplied"
            yield text, 5, lambda c: c.g + c.args[1 - c.j]
    if node.op in ("sigmoid", "tanh", "relu"):
        yield from derivatives(step, user, ref, its_own)
    if node.op == "mm":
        yield from _products(step, user, j, ref, its_own)
    if node.op in ("index", "embedding") and j == 0:
        text = f"d{operand} gets only the last of equal indices in a step (d[i] += for np.add.at)"
        yield text, 2, _last_wins
        if not its_own:
            return
        indices = argument_of(node.site, (1, _index_position(node)) if node.op == "index" else 1)
        for label, moved in shifts(valued(indices)):
            text = f"d{operand} takes the index {label}"
            yield text, 3, _with_index(moved, node.op)
    if node.op == "_log_softmax":
        yield "the softmax's error lacks the -1 at the target", 1, lambda c: c.base() - c.g
        yield "the softmax's error lacks the probabilities", 1, lambda c: c.g
        yield from softmax_errors(len(np.shape(values[user])), node.args[1])
        for label, moved in shifts(valued(result_of(node.site))):
            text = f"the softmax's error takes the probabilities {label}"
            yield text, 3, _with_probabilities(moved, node.args[1])
    if node.op == "nll_loss_forward":
        for label, moved in shifts(valued(argument_of(node.site, 1))):
            yield f"the target {label}", 2, replaced(1, moved)
    if node.op == "pow":
        text = f"the sign of {operand} replaces {operand} (L1)"
        yield text, 2, lambda c: c.g * 2 * np.sign(c.args[0])
        yield f"the factor 2 of {result} is left out", 1, lambda c: c.base() / 2
    if its_own:
        yield from other_gradients(step, user, j, ref, path, same)


def _other_operand(
    step: Step, user: int, j: int, prefix: str, rank: int
) -> Iterator[tuple[str, int, Alteration]]:
    """The other factor of a product: another quantity, or the same one of another step."""
    node, values = step.tape.nodes[user], step.tape.values
    factor: Any = node.args[1 - j]
    right = step.name(factor)
    for label, get in step.alike(np.shape(values[factor]), factor):
        yield f"{prefix} {label}, not {right}", rank, replaced(1 - j, current(get))
        if label in _sigmoids(step):
            text = f"{prefix} 1 - {label}, not {right}"
            yield text, rank, replaced(1 - j, _complement(get))
    if right in _sigmoids(step):
        get = argument_of(node.site, 1 - j)
        text = f"{prefix} 1 - {right}, not {right}"
        yield text, rank, replaced(1 - j, _complement(get))
    for label, moved in shifts(valued(argument_of(node.site, 1 - j))):
        yield f"{prefix} {right} {label}", rank, replaced(1 - j, moved)
    if factor in step.inner and step.tape.nodes[factor].op == "rsub":
        inner = step.name(step.tape.nodes[factor].args[0])
        others = {f"1 + {inner}": (-1, 2), f"2 - {inner}": (1, 1), f"-{inner}": (1, -1)}
        for label, (sign, added) in others.items():
            text = f"{prefix} {label}, not {right}"
            yield text, rank, replaced(1 - j, _affine(1 - j, sign, added))
    if step.tape.nodes[factor].site in step.states:
        own = factor in step.inner
        for label, moved in places(step, step.tape.nodes[factor].site, (1, -2) if own else (-2, 1)):
            yield f"{prefix} {label}, not {right}", rank, replaced(1 - j, moved)
    state = step.graph.crossing.get((node.site, 1 - j))
    if state is not None:
        last = replaced(1 - j, _last_at_first(node.site, 1 - j, state))
        text = f"{prefix} the last state, not {right}, at the first step (index -1)"
        yield text, rank, last


def _affine(position: int, sign: int, added: int) -> Callable[[Contribution], Any]:
    return lambda c: sign * c.args[position] + added


def _with_probabilities(moved: Callable[[Contribution], Any], axis: int) -> Alteration:
    return lambda c: c.g - np.exp(moved(c)) * c.g.sum(axis, keepdims=True)


def _complement(get: Getter) -> Callable[[Contribution], Any]:
    value = current(get)
    return lambda c: 1 - value(c)


def _last_at_first(site: int, j: int, state: int) -> Callable[[Contribution], Any]:
    usual, last = valued(argument_of(site, j)), valued(result_of(state))
    return lambda c: last(c, c.steps - 1) if c.step == 0 else usual(c, c.step)


def _sigmoids(step: Step) -> set[str]:
    return {step.name(i) for i in step.inner if step.tape.nodes[i].op == "sigmoid"}


def _products(
    step: Step, user: int, j: int, ref: int, its_own: bool
) -> Iterator[tuple[str, int, Alteration]]:
    """The factors of a matrix product; a factor made from a leaf is the weight."""
    node, values = step.tape.nodes[user], step.tape.values
    factor: Any = node.args[1 - j]
    right, operand, shape = step.name(factor), step.name(ref), np.shape(values[factor])
    path = f"the path {step.name(user)} -> {operand}"
    if factor in step.leaf and step.tape.network.arguments[step.leaf[factor]].time_axis is None:
        uses = [(u, k) for u, k in step.graph.users[factor] if u in step.inner]
        sites = [(step.tape.nodes[u].site, k) for u, k in uses]
        for start, words in ((0, "up to this step"), (1, "before this step")):
            text = f"{path} takes d{right} as summed {words}, not {right}"
            yield text, 3, replaced(1 - j, _summed_from(sites, start))
    if ref in step.leaf:
        if its_own:
            yield from _other_operand(step, user, j, f"d{operand} takes", 2)
        text = f"d{operand} takes {right} with its features reversed"
        yield text, 4, replaced(1 - j, lambda c: np.flip(c.args[1 - c.j], c.j - 1))
        return
    if len(set(shape)) == 1:
        yield (
            f"{right} is not transposed on {path}",
            1,
            replaced(1 - j, lambda c: c.args[1 - c.j].T),
        )
    else:
        text = f"{right} is reshaped, not transposed, on {path}"
        yield text, 1, replaced(1 - j, lambda c: _reshaped(c.args[1 - c.j]))
    for label, get in step.alike(shape, factor) if its_own else ():
        yield f"{path} takes {label}, not {right}", 3, replaced(1 - j, current(get))


def _summed_from(sites: list[Edge], start: int) -> Callable[[Contribution], Any]:
    """The gradient of a leaf as the loop of the backward pass has it, from the last step on."""

    def value(c: Contribution) -> Any:
        total, node_at = 0 * c.args[1 - c.j], c.reverse.graph.tape.node_at
        for t in range(c.step + start, c.steps):
            for site, j in sites:
                part = c.reverse.part(node_at[site, t], j)
                total = total if part is None else total + part
        return total

    return value


def _reshaped(a: Array) -> Array:
    return np.ascontiguousarray(a).reshape(a.T.shape).T


def _index_position(node: Any) -> int:
    return next(i for i, a in enumerate(node.args[1]) if a is not None)


def _with_index(moved: Callable[[Contribution], Any], op: str) -> Alteration:
    def alteration(c: Contribution) -> Array | None:
        index = np.asarray(moved(c)).astype(int)
        args = list(c.args)
        args[1] = index if op == "embedding" else [index if a is not None else a for a in args[1]]
        return c.base(args=args)

    return alteration


def _last_wins(c: Contribution) -> Array:
    full = np.zeros(np.shape(c.args[0]))
    index = c.args[1]
    if isinstance(index, list):
        full[tuple(slice(None) if i is None else i for i in index)] = c.g
    else:
        full[index] = c.g
    return full
