"""One contribution of the reverse pass altered: left out, not transposed, times something else."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from rnn_torch.catalogue.derivatives import derivatives, softmax_errors
from rnn_torch.catalogue.other_gradients import other_gradients
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


def edge_mistakes(step: Step) -> Iterator[Mistake]:
    """One contribution altered; that of every use of a weight, or at the first step alone."""
    uses: dict[str, list[Edge]] = {}
    everywhere: dict[tuple[str, str, int], dict[Edge, Alteration]] = {}
    for user, j, ref in step.edges:
        edge, leaf = (step.tape.nodes[user].site, j), step.leaf.get(ref)
        if leaf and step.tape.nodes[user].step >= 0:
            uses.setdefault(leaf, []).append(edge)
        for sentence, rank, alteration in _alterations(step, user, j, ref):
            yield Mistake(sentence, step.where(user), rank, edges={edge: alteration})
            if leaf and sentence.startswith(part := f"d{step.name(ref)} "):
                says = f"d{leaf} {sentence.removeprefix(part)}"
                everywhere.setdefault((leaf, says, rank), {})[edge] = alteration
            if edge in step.graph.crossing and rank < 2:
                first = f"at the first step {sentence}"
                yield Mistake(first, step.where(user), 3, edges={edge: _at_first(alteration)})
    for (leaf, sentence, rank), edges in everywhere.items():
        if len(edges) == len(set(uses[leaf])) > 1:
            yield Mistake(sentence, rank=rank, edges=edges)


def _at_first(alteration: Alteration) -> Alteration:
    return lambda at: alteration(at) if at.step == 0 else at.base()


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
        yield from derivatives(step, user, ref)
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
        yield from softmax_errors(len(np.shape(values[user])), node.args[1])
    if node.op == "nll_loss_forward":
        for label, moved in shifts(valued(argument_of(node.site, 1))):
            yield f"the target {label}", 2, replaced(1, moved)
    if node.op == "pow":
        yield f"the sign of {into}, not {into} (L1)", 2, lambda at: at.g * 2 * np.sign(at.args[0])
        yield f"the factor 2 of {its} is left out", 1, lambda at: at.base() / 2
    yield from other_gradients(step, user, j, ref, path, same)


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
