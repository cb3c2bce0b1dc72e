"""Derive by machine how much correct evaluations of a network's gradient may differ.

A dispatch mode intercepts every ATen operation of the loss and of autograd's reverse pass. Beside
each tensor it carries a `Sum` of error_rules.py: the value in float64, and a bound on the error of
any correct evaluation in the problem's dtype. No tolerance is chosen or measured. For the
project's own network, `rnn_numpy.elman_network.rounding` has the bound derived by hand: see
docs/parity.md.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from bptt_check.error_bound.error_rules import Rule, Rules, Sum
from bptt_check.error_bound.noise_floor import Mode, margin, noise_floor
from bptt_check.error_bound.truncated import TRUNCATED, truncation
from bptt_check.networks.network import Array, Network, is_half, precision
from bptt_check.networks.problems import Problem


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


#: These only move entries: apply the same operation to each part of the shadow, with its aliasing.
_MOVES = _names(
    "view _unsafe_view reshape t transpose permute select slice unsqueeze squeeze expand alias "
    "clone split unsafe_split split_with_sizes unbind narrow flip roll repeat cat stack index "
    "index_select gather embedding constant_pad_nd diagonal tril triu detach lift_fresh as_strided "
    "slice_backward select_backward"
)
#: These move entries and add some of them.
_SCATTERS = _names("embedding_dense_backward scatter_add index_add index_put _index_put_impl")
#: These create constants: the result is exact in every evaluation.
_GIVEN = _names(
    "zeros ones full empty zeros_like ones_like full_like empty_like new_zeros new_ones new_full "
    "new_empty new_empty_strided empty_strided arange scalar_tensor zero fill eye one_hot"
)
aten = torch.ops.aten
_OWN_ROUNDING = 1 + 2.0**-20  # the bound itself is computed in float64


class Reference(NamedTuple):
    """The right losses and gradients, and a bound on the error of one correct evaluation.

    Two correct evaluations differ by at most twice `bounds`, which are infinite where nothing can
    be decided. If an operation has no rule, they are a measured noise floor and `measured` says so;
    it is empty if they are derived. `approximate` names the operations of torch that are further
    from the exact result than rounding explains; the bounds cover both. `derived`: of a layer, the
    bounds that are derived, where those that decide are wider.
    """

    losses: Array
    loss_bounds: Array
    gradients: dict[str, Array]
    bounds: dict[str, Array]
    measured: str = ""
    approximate: str = ""
    derived: Mapping[str, Array] = {}


def reference(network: Network, problem: Problem, *, measure: bool = False) -> Reference:
    """Losses and gradients at a problem, in float64, with a bound for the problem's own dtype.

    Args:
        network, problem: the network to differentiate, and its arguments.
        measure: if an operation has no rule, measure a noise floor instead of raising.

    Raises:
        NotImplementedError: an operation has no rule; the message names it.
        ValueError: as `Network.evaluate`.
    """
    try:
        return _derived(network, problem)
    except NotImplementedError as error:
        if not measure:
            raise
        right, floor, words = noise_floor(network, problem)
        why = f"a measured noise floor, not a bound: {error}"
        return Reference(right.losses, floor.losses, right.gradients, floor.gradients, why, words)


#: The most units of roundoff of a gradient's largest entry that a layer's bounds may be.
_MOST_UNITS = 2**13
_FLOOR = "a measured noise floor, of which the margin is chosen, "


def explodes(right: Reference, dtype: str) -> bool:
    """Whether the derived bounds are no small part of the gradients; always in half precision."""
    if is_half(dtype):
        return True
    most = _MOST_UNITS * precision(dtype).eps
    pairs = ((right.bounds[n].max(initial=0), abs(g)) for n, g in right.gradients.items())
    return any(not bound <= most * g.max(initial=0) for bound, g in pairs if g.any())


def with_floor(network: Network, problem: Problem, right: Reference) -> Reference:
    """The right gradients of a layer, with bounds that also cover evaluations in another order.

    Such as in chunks, where a gate's gradient is a sum of differences. Where the derived bound
    explodes, and where the gradient is 0, the noise floor alone decides; for a gradient of 0 it is
    that of the largest entry.
    """
    if right.measured:
        return right
    floor = noise_floor(network, problem)[1].gradients
    largest = {n: abs(g).max(initial=0) for n, g in right.gradients.items()}
    unit = precision(problem.dtype).eps / 2
    for n, size in largest.items():  # where it is 0, noise shows nothing
        least = margin(problem.dtype) * unit * (size or max(largest.values()))
        floor[n] = np.where(right.gradients[n] == 0, np.maximum(floor[n], least), floor[n])
    if explodes(right, problem.dtype):
        half = is_half(problem.dtype)
        why = _FLOOR + ("in half precision" if half else "where the derived bound explodes")
        return right._replace(bounds=floor, measured=why)
    derived = {
        n: np.where(right.gradients[n] == 0, np.maximum(b, floor[n]), b)
        for n, b in right.bounds.items()
    }
    return right._replace(
        bounds={n: np.maximum(b, floor[n]) for n, b in derived.items()}, derived=derived
    )


def _derived(network: Network, problem: Problem) -> Reference:
    if any(argument.is_complex for argument in network.arguments.values()):
        raise NotImplementedError("complex numbers have no rounding rules")
    tensors = network.tensors(problem.values, "float64")
    rules = Rules(problem.dtype)
    with (
        torch.backends.mkldnn.flags(False, None, None, None),
        np.errstate(all="ignore"),
        _Shadow(rules) as shadow,
    ):
        losses = list(network.losses(tensors))
        gradients = network.gradients(torch.stack(losses), tensors)
        bounds = {n: rules.bound(shadow.of(g)) * _OWN_ROUNDING for n, g in gradients.items()}
        loss_bounds = [float(rules.bound(shadow.of(loss))) * _OWN_ROUNDING for loss in losses]
    return Reference(
        np.array([float(loss.detach()) for loss in losses]),
        np.array(loss_bounds),
        {name: gradient.numpy(force=True) for name, gradient in gradients.items()},
        bounds,
        approximate="; ".join(sorted(shadow.approximate)),
    )


class _Shadow(Mode):
    """While active, carries a `Sum` beside every tensor that is computed."""

    def __init__(self, rules: Rules) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.rules = rules
        self.table: dict[Any, Sum] = {}
        self.storages: list[Any] = []  # kept alive, so that no address is reused
        self.rule_of: dict[Any, tuple[Rule | None, bool, str]] = {}
        self.approximate: set[str] = set()

    def of(self, x: Any) -> Any:
        """The shadow of a tensor, found by its memory: autograd's saved tensors are new objects."""
        if isinstance(x, Tensor):
            found = self.table.get((x.data_ptr(), x.shape, x.stride()))
            if found is None and x.is_floating_point():
                found = self.put(x, self.rules.exact(_array(x)))
            return x if found is None else found
        return [self.of(one) for one in x] if type(x) in (list, tuple) else x

    def put(self, out: Any, shadow: Any) -> Any:
        if isinstance(shadow, Sum):
            if not shadow.value.ndim:  # NumPy makes scalars of these, which cannot be written to
                shadow.error, shadow.size = np.asarray(shadow.error), np.asarray(shadow.size)
            self.storages.append(out.untyped_storage())
            self.table[out.data_ptr(), out.shape, out.stride()] = shadow
        elif isinstance(shadow, list | tuple):
            for tensor, its_shadow in zip(out, shadow, strict=True):
                self.put(tensor, its_shadow)
        return shadow

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is aten.detach.default:
            return func(*args)  # the same memory, so the same shadow
        kwargs = kwargs or {}
        known = self.rule_of.get(func)
        if known is None:
            name = func._schema.name
            known = self.rule_of[func] = self._rule(func), name.endswith("_"), name
        rule, in_place, name = known
        if rule is None:
            out = self._in_parts(func, args, kwargs)
        else:
            out = self._by_rule(func, rule, in_place, args, kwargs)
        if name in TRUNCATED:
            self._add_truncation(name, out, args)
        return out

    def _by_rule(self, func: Any, rule: Rule, in_place: bool, args: Any, kwargs: Any) -> Any:
        shadows = [self.of(a) for a in args]
        old = shadows[0] if in_place else None
        if isinstance(old, Sum):
            shadows[0] = old.moved(old.value.copy(), lambda part: part)
        out = func(*args, **kwargs)
        shadow = rule(out, *shadows, **{n: self.of(a) for n, a in kwargs.items()})
        self.put(out, self._written(old, shadow) if isinstance(old, Sum) else shadow)
        return out

    def _written(self, old: Sum, new: Sum) -> Sum:
        """Replace the shadow of a tensor written in place, and that of all its views."""
        if old.depth + old.terms > 1:
            return new  # autograd accumulates into the result of an operation: it has no views
        new = self.rules.closed(new)
        old.error[...] = new.error
        old.size[...] = new.size
        return old

    def _rule(self, func: Any) -> Rule | None:
        name = func._schema.name.split("::")[1].rstrip("_")
        name = f"_{name}" if name == "index_put_impl" else name
        if name in _GIVEN:
            return lambda out, *_, **__: self._given(out)
        if name in _MOVES:
            return lambda out, *a, **k: self._moved(func, out, a, k)
        if name in _SCATTERS:
            return lambda out, *a, **k: self._scattered(func, out, a, k)
        if name in ("_to_copy", "convert_element_type"):
            return self._converted
        if name == "copy":
            return lambda out, old, new, *_: self._moved(aten.expand, out, (new, out.shape), {})
        if name == "_local_scalar_dense":
            return self._read
        rule: Rule | None = getattr(self.rules, name, None)
        if rule is None:
            return None

        def of_arrays(out: Any, *args: Any, **kwargs: Any) -> Any:  # integers have no shadow
            arrays = (_array(a) if isinstance(a, Tensor) else a for a in args)
            return rule(_array(out), *arrays, **kwargs)

        return of_arrays

    def _given(self, out: Tensor) -> Sum | None:
        return self.rules.exact(_array(out)) if out.is_floating_point() else None

    def _in_parts(self, func: Any, args: Any, kwargs: Any) -> Any:
        """Run an operation on integers, or one that torch decomposes into others."""
        if not any(isinstance(x, Sum) for x in self.of(args)):
            return func(*args, **kwargs)
        from torch._decomp import decomposition_table  # takes half a second; rarely needed

        try:
            with self:
                if func in decomposition_table:
                    return decomposition_table[func](*args, **kwargs)
                out = func.decompose(*args, **kwargs)
        except NotImplementedError:
            out = NotImplemented
        if out is NotImplemented:
            raise NotImplementedError(f"no rounding rule for the operation {func}")
        return out

    def _add_truncation(self, name: str, out: Tensor, args: Any) -> None:
        shadow = self.rules.closed(self.of(out))
        error, words = truncation(name, args)
        if (error > self.rules.unit * abs(shadow.value)).any():
            self.approximate.add(words)
        self.put(out, self.rules.atom(shadow.value, shadow.error + error))

    def _moved(self, func: Any, out: Any, args: Any, kwargs: Any) -> Any:
        sums = [x for a in args for x in (a if isinstance(a, list) else [a]) if isinstance(x, Sum)]
        if not sums:
            return None  # integers
        depth, terms = max(x.depth for x in sums), max(x.terms for x in sums)
        if func is aten.as_strided.default and not _is_whole(args[0], out):
            raise NotImplementedError("no rounding rule for as_strided on a part of a tensor")
        parts = [func(*(_part(a, part) for a in args), **kwargs) for part in ("error", "size")]
        if not isinstance(out, list | tuple):
            return Sum(_array(out), _array(parts[0]), _array(parts[1]), depth, terms)
        each = zip(*map(_array, (out, *parts)), strict=True)
        return [Sum(value, error, size, depth, terms) for value, error, size in each]

    def _scattered(self, func: Any, out: Tensor, args: Any, kwargs: Any) -> Sum:
        moved: Sum = self._moved(func, out, args, kwargs)
        moved.terms *= max(1, *(a.value.size for a in args if isinstance(a, Sum)))
        return moved

    def _converted(self, out: Tensor, x: Any, *_: Any, **__: Any) -> Any:
        if out.is_floating_point() and torch.finfo(out.dtype).eps / 2 > self.rules.unit:
            raise NotImplementedError(f"no rounding rule for a conversion to {out.dtype}")
        if isinstance(x, Sum):
            return x.moved(_array(out), np.copy)
        return self._given(out)

    def _read(self, out: Any, x: Any) -> None:
        if isinstance(x, Sum) and bool(self.rules.bound(x).any()):
            raise NotImplementedError("no rounding rule for reading a computed number (.item())")


def _is_whole(x: Sum, view: Tensor) -> bool:
    """Whether x is the shadow of all the memory that a view of it has."""
    start = view.untyped_storage().data_ptr()
    contiguous = all(part.flags.c_contiguous for part in (x.value, x.error, x.size))
    return contiguous and x.value.ctypes.data == start


def _array(x: Any) -> Any:
    """The results of an operation as arrays on the same memory."""
    if isinstance(x, Tensor):
        return (x.detach() if x.requires_grad else x).numpy()
    return [_array(one) for one in x] if isinstance(x, list | tuple) else x


def _part(x: Any, part: str) -> Any:
    if isinstance(x, Sum):
        return torch.from_numpy(getattr(x, part))
    return [_part(one, part) for one in x] if isinstance(x, list | tuple) else x
