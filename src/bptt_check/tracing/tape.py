"""Record one call of a network as a list of ATen calls, each with its place in the source.

The list is unrolled in time. Calls from the same place of the step are one *site*, so that a
statement about a site holds at every step. A loop over all steps may precede the first loss: its
n-th turn is step n. Arguments, and other calls before the first loss, have the step -1; calls in a
loop there (an encoder) are one site if each turn takes the same arguments of the network.
"""

import linecache
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import CodeType
from typing import Any

import jaxtyping
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from bptt_check.networks.network import Array, Network, default_dtype
from bptt_check.networks.problems import Problem, general

#: Folders without source lines of the user; jaxtyping runs annotations in tests.
_NOT_THE_USERS = (
    *(str(Path(file).parent) for file in (torch.__file__, __file__, jaxtyping.__file__)),
    "<frozen",
)
#: Where outputs are multiplied by their upstream gradients: no line of the user's.
_OF_LAYERS = str(Path(__file__).parents[1] / "layers")
#: Operations that rearrange an argument or take a part of it.
VIEWS = {"t", "transpose", "permute", "view", "split", "chunk", "select", "unbind", "slice"}
VIEWS |= {"unsqueeze", "squeeze", "expand", "split_with_sizes"}
VIEWS |= {"view_as_complex", "view_as_real"}
Key = tuple[Any, ...]


class Ref(int):
    """The index of a node whose result is an argument of another node."""


@dataclass(slots=True)
class Node:
    """A result (`which` of several) of an ATen call; `args`: `Ref`s, lists of them, constants."""

    site: int
    step: int
    op: str
    func: Any
    args: list[Any]
    kwargs: dict[str, Any]
    which: int | None = None


@dataclass(slots=True)
class Site:
    """A place in the source: `text` is its expression, `name` the variable assigned to."""

    key: Key
    op: str
    text: str = ""
    where: str = ""
    name: str = ""


@dataclass
class Tape:
    """A recorded call of a network at a problem: its operations and their values."""

    network: Network
    problem: Problem
    nodes: list[Node] = field(default_factory=list)
    values: list[Array] = field(default_factory=list)
    losses: list[int] = field(default_factory=list)
    arguments: dict[str, int] = field(default_factory=dict)
    sites: list[Site] = field(default_factory=list)
    node_at: dict[tuple[int, int], int] = field(default_factory=dict)  # (site, step) -> node
    template: "Tape | None" = None
    recurrent: set[int] = field(default_factory=set)  # sites of a step after the first
    loops: set[Key] = field(default_factory=set)  # places of loops over the steps, before the first

    def arg_values(self, node: Node, values: list[Array] | None = None) -> list[Any]:
        """The values of a node's arguments."""
        values = self.values if values is None else values
        return [_filled(a, values) for a in node.args]


def record_template(network: Network, fixed: Mapping[str, int] | None = None) -> Tape:
    """The network at several steps, whatever `time` is fixed; raises as `record`."""
    any_time = {name: size for name, size in (fixed or {}).items() if name != "time"}
    return record(network, general(network, any_time))


def record(network: Network, problem: Problem, template: Tape | None = None) -> Tape:
    """Record a call of the network at a problem, in float64.

    Args:
        network, problem: the network to call, and its arguments.
        template: a tape with two or more steps whose sites are reused; in a call with one step it
            tells the step's operations from those before the first step.

    Raises:
        NotImplementedError: the network writes in place into a part of a tensor.
    """
    tensors = network.tensors(problem.values, "float64")
    tape = Tape(network, problem, sites=template.sites if template else [], template=template)
    recorder = _Recorder(tape)
    for name, tensor in tensors.items():
        tape.arguments[name] = recorder.add(tensor, ("argument", name), "argument", None, [], {})
        tape.sites[tape.nodes[-1].site].name = name
    with torch.no_grad(), default_dtype(torch.float64), recorder:
        generator: Any = network.function(**tensors)
        for loss in generator:
            tape.losses.append(recorder.ref(loss))
            recorder.next_step(_locals(generator))
    tape.recurrent = template.recurrent if template else {n.site for n in tape.nodes if n.step > 0}
    _place_before_the_first_loss(tape, recorder)
    _name_by_assignment(tape)
    for index, node in enumerate(tape.nodes):
        tape.node_at[node.site, node.step] = index
    return tape


def _place_before_the_first_loss(tape: Tape, recorder: "_Recorder") -> None:
    """Give a step and a site to the calls that are made once, before the first loss."""
    places: dict[Key, list[Node]] = {}
    for node in tape.nodes:
        if node.step == 0 and node.site not in tape.recurrent:
            node.step = -1
            places.setdefault(tape.sites[node.site].key[:-1], []).append(node)
    owners, steps = _owners(tape), len(tape.losses)
    for place, nodes in places.items():
        taken = ([owners[a] if isinstance(a, Ref) else "" for a in n.args] for n in nodes)
        its = zip(*taken, strict=False)
        if any(len(set(names) - {""}) > 1 for names in its):
            continue  # as [x @ U for U in weights]
        if not tape.template and len(nodes) == steps > 1:
            tape.loops.add(place)
        is_loop = place in (tape.template or tape).loops and len(nodes) == steps
        for turn, node in enumerate(nodes):
            node.site = recorder.site((*place, 1), node.op)
            node.step = turn if is_loop else -1


def _name_by_assignment(tape: Tape) -> None:
    """Name what a line assigns to a variable that is gone at the end of its step."""
    sites = [tape.sites[node.site] for node in tape.nodes]
    last = {site.key[:-3]: site for site in sites}
    for site in last.values():
        found = re.search(r": (\w+) = (.+)$", site.where)
        if found and found[2] == site.text and not site.name:
            site.name = found[1]


def _owners(tape: Tape) -> list[str]:
    """For each node that is an argument, or a view of one, the argument's name; else empty."""
    found: list[str] = []
    for node in tape.nodes:
        source = node.args[0] if node.op in VIEWS else None
        name = tape.sites[node.site].name if node.op == "argument" else ""
        found.append(found[source] if isinstance(source, Ref) else name)
    return found


class _Recorder(TorchDispatchMode):
    def __init__(self, tape: Tape) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.tape, self.step = tape, 0
        self.known: dict[int, Ref] = {}
        self.tensors: list[Any] = []
        self.seen: dict[Key, int] = {}
        self.index = {site.key: i for i, site in enumerate(tape.sites)}

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # nothing is compiled here: do not import the compiler

    def next_step(self, variables: dict[str, Any]) -> None:
        for name, value in variables.items():
            index = self.known.get(id(value)) if isinstance(value, Tensor) else None
            if index is not None:
                site = self.tape.sites[self.tape.nodes[index].site]
                site.name = site.name or name
        self.step, self.seen = self.step + 1, {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if any(isinstance(a, Tensor) for a in (kwargs or {}).values()):
            args, kwargs = _positional(func, args, kwargs)
        op = func._schema.name.split("::")[1]
        in_place = op.endswith("_") and not op.endswith("__")
        if in_place:
            self.ref(args[0])  # a constant: its value before it is written to
        out = func(*args, **(kwargs or {}))
        outs = list(out) if isinstance(out, list | tuple) else [out]
        tensors = [o for o in outs if isinstance(o, Tensor)]
        if op in ("detach", "alias", "lift_fresh", "_local_scalar_dense") or not tensors:
            for o in tensors:
                self._remember(o, self.ref(args[0]))
            return out
        if op.startswith("new_") or op.endswith("_like"):
            return out  # recorded as a constant when it is used
        if in_place:  # record it out of place
            if args[0]._is_view():
                raise NotImplementedError("writing in place into a part of a tensor is not traced")
            packet = getattr(torch.ops.aten, op[:-1])
            name = func._overloadname if func._overloadname in packet.overloads() else "default"
            op, func = op[:-1], getattr(packet, name)
        aten = torch.ops.aten
        if op == "addmm" and not kwargs:  # as mm and add, each with its own mistakes
            product = args[1] @ args[2]
            self._record(product, "mm", aten.mm.default, args[1:3], {}, None)
            op, func, args = "add", aten.add.Tensor, (product, args[0])
        if op == "mv":  # as torch has a vector times a matrix: mm of a matrix of one column
            column = args[1].unsqueeze(1)
            self._record(column, "unsqueeze", aten.unsqueeze.default, (args[1], 1), {}, None)
            product = args[0] @ column
            self._record(product, "mm", aten.mm.default, (args[0], column), {}, None)
            op, func, args = "squeeze", aten.squeeze.dim, (product, 1)
        for i, o in enumerate(outs):
            if isinstance(o, Tensor):
                which = i if isinstance(out, list | tuple) else None
                self._record(o, op.replace("unsafe_", ""), func, args, kwargs or {}, which)
        return out

    def _record(
        self, out: Tensor, op: str, func: Any, args: Any, kwargs: Any, which: int | None
    ) -> None:
        place, text, where = _place()
        key = (*place, op, which)
        self.seen[key] = self.seen.get(key, 0) + 1
        key = (*key, self.seen[key])
        index = self.add(out, key, op, func, [self.ref(a) for a in args], kwargs, which)
        site = self.tape.sites[self.tape.nodes[index].site]
        site.text, site.where = site.text or text, site.where or where

    def site(self, key: Key, op: str) -> int:
        """The index of the site with this key, made if there is none."""
        if key not in self.index:
            self.index[key] = len(self.tape.sites)
            self.tape.sites.append(Site(key, op))
        return self.index[key]

    def add(
        self,
        out: Tensor,
        key: Key,
        op: str,
        func: Any,
        args: list[Any],
        kwargs: Any,
        which: int | None = None,
    ) -> int:
        """Append a node; return its index."""
        step = -1 if op in ("argument", "constant") else self.step
        self.tape.nodes.append(Node(self.site(key, op), step, op, func, args, kwargs, which))
        self.tape.values.append(out.detach().resolve_conj().resolve_neg().numpy().copy())
        index = len(self.tape.nodes) - 1
        self._remember(out, Ref(index))
        return index

    def _remember(self, tensor: Tensor, index: Ref) -> None:
        self.known[id(tensor)] = index
        self.tensors.append(tensor)

    def ref(self, a: Any) -> Any:
        """An argument of an operation, as a node stores it."""
        if isinstance(a, Tensor):
            if id(a) not in self.known:
                self.add(a, ("constant", len(self.tape.nodes)), "constant", None, [], {})
            return self.known[id(a)]
        if isinstance(a, list | tuple) and any(isinstance(b, Tensor) for b in a):
            return [self.ref(b) for b in a]
        return a


def _filled(a: Any, values: list[Array]) -> Any:
    if isinstance(a, Ref):
        return values[a]
    if isinstance(a, list) and any(isinstance(b, Ref) for b in a):
        return [_filled(b, values) for b in a]
    return a


def refs(node: Node) -> Iterator[tuple[Any, Ref]]:
    """(j, argument j) or ((j, i), item i of argument j), for arguments that are nodes' results."""
    for j, a in enumerate(node.args):
        if isinstance(a, Ref):
            yield j, a
        elif isinstance(a, list):
            yield from (((j, i), b) for i, b in enumerate(a) if isinstance(b, Ref))


def _locals(generator: Any) -> dict[str, Any]:
    """The variables of the innermost generator, which yields the losses or a layer's outputs."""
    found = dict(generator.gi_frame.f_locals)
    its = [generator.gi_yieldfrom, *found.values()]
    inner = next((g for g in its if getattr(g, "gi_frame", None)), None)
    return found if inner is None else _locals(inner)


def _positional(func: Any, args: Any, kwargs: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    """A call with the tensors among its keywords given by position, as far as they can be."""
    found, rest = list(args), dict(kwargs)
    for argument in func._schema.arguments[len(args) :]:
        if argument.kwarg_only:
            break
        found.append(rest.pop(argument.name, argument.default_value))
    if any(isinstance(a, Tensor) for a in rest.values()):
        raise NotImplementedError(f"a tensor given to {func} by keyword is not traced")
    return found, rest


def _place() -> tuple[Key, str, str]:
    """The user's lines of the call, as a key; the innermost expression, `line 5 of FILE: TEXT`."""
    frame: Any = sys._getframe(3)
    found: list[tuple[Key, str, str]] = []
    while not found or frame.f_code.co_filename != __file__:  # up to `record`
        if not frame.f_code.co_filename.startswith(_NOT_THE_USERS):
            found.append(_expression(frame.f_code, frame.f_lasti))
        frame = frame.f_back
    return tuple(key for key, _, _ in found), *found[0][1:]


@cache
def _expression(code: CodeType, instruction: int) -> tuple[Key, str, str]:
    file = code.co_filename
    line_number, last_line, start, end = _positions(code)[instruction // 2]
    line = linecache.getline(file, line_number or 0).rstrip("\n")
    text = (
        line.encode()[start:end].decode()
        if line_number == last_line and start is not None
        else line.strip()
    )
    is_shown = line and not file.startswith(_OF_LAYERS)
    where = f"line {line_number} of {Path(file).name}: {line.strip()}" if is_shown else ""
    return (file, line_number, last_line, start, end), text, where


@cache
def _positions(code: CodeType) -> list[Any]:
    return list(code.co_positions())
