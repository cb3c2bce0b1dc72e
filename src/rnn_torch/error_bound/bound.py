"""How far correct evaluations of a network's gradient may differ, derived by machine.

A dispatch mode sees every ATen operation of the loss and of autograd's reverse pass, and carries a
`Sum` of error_rules.py beside each tensor: its value in float64, and how far any correct evaluation
in the problem's own dtype may be off. Nobody picks a tolerance, and none is measured. For the
project's own network `rnn_numpy.elman_network.rounding` has the same, derived by hand: see
docs/parity.md.
"""

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from rnn_torch.error_bound.error_rules import Rule, Rules, Sum
from rnn_torch.error_bound.noise_floor import noise_floor
from rnn_torch.networks.network import Array, Network
from rnn_torch.networks.problems import Problem


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


#: Entries only change places: the same operation on each part of the shadow, aliasing included.
_MOVES = _names(
    "view _unsafe_view reshape t transpose permute select slice unsqueeze squeeze expand alias "
    "clone split unsafe_split split_with_sizes unbind narrow flip roll repeat cat stack index "
    "index_select gather embedding constant_pad_nd diagonal tril triu detach lift_fresh as_strided"
)
#: Linear with factors 0 and 1; some terms meet.
_SCATTERS = _names(
    "embedding_dense_backward slice_backward select_backward scatter_add index_add index_put "
    "_index_put_impl"
)
#: Given numbers: the result is exact in every evaluation.
_GIVEN = _names(
    "zeros ones full empty zeros_like ones_like full_like empty_like new_zeros new_ones new_full "
    "new_empty new_empty_strided empty_strided arange scalar_tensor zero fill eye one_hot"
)
aten = torch.ops.aten
_OWN_ROUNDING = 1 + 2.0**-20  # the bound itself is computed in float64


class Reference(NamedTuple):
    """What is right, and how far one correct evaluation may be from the exact value of it.

    Two correct evaluations differ by at most twice `bounds`. `measured` says that an operation has
    no rule and the bounds are a measured noise floor instead; empty, they are derived.
    """

    losses: Array
    loss_bounds: Array
    gradients: dict[str, Array]
    bounds: dict[str, Array]
    measured: str = ""


def reference(network: Network, problem: Problem, *, measure: bool = False) -> Reference:
    """Losses and gradients at a problem, in float64, with a bound for the problem's own dtype.

    Args:
        network, problem: what is differentiated, and where.
        measure: where an operation has no rule, measure a noise floor instead, and say so.

    Raises:
        NotImplementedError: an operation without a rule; the message names it.
        ValueError: as `Network.evaluate`.
    """
    try:
        return _derived(network, problem)
    except NotImplementedError as error:
        if not measure:
            raise
        right, floor = noise_floor(network, problem)
        why = f"a measured noise floor, not a bound: {error}"
        return Reference(right.losses, floor.losses, right.gradients, floor.gradients, why)


def _derived(network: Network, problem: Problem) -> Reference:
    given = network.tensors(problem.values, "float64")
    rules = Rules(getattr(torch, problem.dtype))
    with torch.backends.mkldnn.flags(False, None, None, None), _Shadow(rules) as shadow:
        losses = list(network.losses(given))
        gradients = network.gradients(torch.stack(losses), given)
    bounds = {n: rules.bound(shadow.of(g)).numpy() * _OWN_ROUNDING for n, g in gradients.items()}
    loss_bounds = [float(rules.bound(shadow.of(loss))) * _OWN_ROUNDING for loss in losses]
    return Reference(
        np.array([float(loss.detach()) for loss in losses]),
        np.array(loss_bounds),
        {name: gradient.numpy() for name, gradient in gradients.items()},
        bounds,
    )


class _Shadow(TorchDispatchMode):
    """Carries a `Sum` beside every tensor that is computed while it is on."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # nothing here is compiled: do not import the compiler for it

    def __init__(self, rules: Rules) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.rules = rules
        self.table: dict[Any, Sum] = {}
        self.kept: list[Any] = []  # storages: kept alive, no address comes back
        self.rule_of: dict[Any, Rule | None] = {}

    def of(self, x: Any) -> Any:
        """The shadow of a tensor, by the memory it is in: autograd's saved tensors are copies."""
        if isinstance(x, Tensor):
            found = self.table.get(self._key(x))
            if found is None and x.is_floating_point():
                found = self.put(x, self.rules.exact(x.detach()))
            return x if found is None else found
        return [self.of(one) for one in x] if type(x) in (list, tuple) else x

    def _key(self, x: Tensor) -> Any:
        return x.data_ptr(), x.shape, x.stride()

    def put(self, out: Any, shadow: Any) -> Any:
        if isinstance(shadow, Sum):
            self.kept.append(out.untyped_storage())
            self.table[self._key(out)] = shadow
        elif isinstance(shadow, list | tuple):
            for one, its in zip(out, shadow, strict=True):
                self.put(one, its)
        return shadow

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func not in self.rule_of:
            self.rule_of[func] = self._rule(func)
        rule = self.rule_of[func]
        if rule is None:
            return self._in_parts(func, args, kwargs)
        shadows = self.of(args)
        in_place = func._schema.name.endswith("_") and isinstance(shadows[0], Sum)
        if in_place:
            old = shadows[0]
            shadows[0] = Sum(old.value.clone(), old.error, old.size, old.depth, old.terms)
        out = func(*args, **kwargs)
        shadow = rule(out, *shadows, **{n: self.of(a) for n, a in kwargs.items()})
        self.put(out, self._written(old, shadow) if in_place else shadow)
        return out

    def _written(self, old: Sum, new: Sum) -> Sum:
        """What is in a tensor is replaced: in all its views, too."""
        if old.depth + old.terms > 1:
            return new  # the result of an operation, which autograd adds to: nothing else sees it
        new = self.rules.closed(new)
        old.error.copy_(new.error)
        old.size.copy_(new.size)
        return old

    def _rule(self, func: Any) -> Rule | None:
        name = func._schema.name.split("::")[1].rstrip("_")
        name = f"_{name}" if name == "index_put_impl" else name
        if name in _GIVEN:
            return lambda out, *_, **__: self.rules.exact(out) if out.is_floating_point() else None
        if name in _MOVES:
            return lambda out, *a, **k: self._moved(func, out, a, k)
        if name in _SCATTERS:
            return lambda out, *a, **k: self._scattered(func, out, a, k)
        if name in ("_to_copy", "convert_element_type"):
            return self._converted
        if name == "copy":
            return lambda out, old, new, *_: self._moved(
                torch.ops.aten.expand, out, (new, out.shape), {}
            )
        if name == "_local_scalar_dense":
            return self._read
        rule: Rule | None = getattr(self.rules, name, None)
        return rule

    def _in_parts(self, func: Any, args: Any, kwargs: Any) -> Any:
        """An operation that is made of others, if torch knows how; or one of integers."""
        if not any(isinstance(x, Sum) for x in self.of(args)):
            return func(*args, **kwargs)
        from torch._decomp import decomposition_table  # half a second, and seldom needed

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

    def _moved(self, func: Any, out: Any, args: Any, kwargs: Any) -> Any:
        sums = [x for a in args for x in (a if isinstance(a, list) else [a]) if isinstance(x, Sum)]
        if not sums:
            return None  # integers
        depth, terms = max(x.depth for x in sums), max(x.terms for x in sums)
        if func is aten.as_strided.default and not all(map(_whole, (args[0].value, args[0].error))):
            raise NotImplementedError("no rounding rule for as_strided of a part of a tensor")
        parts = []
        for part in ("error", "size"):
            its = func(*(_part(a, part) for a in args), **kwargs)
            parts.append(its if isinstance(its, list | tuple) else [its])
        outs = out if isinstance(out, list | tuple) else [out]
        found = [Sum(o, e, s, depth, terms) for o, e, s in zip(outs, *parts, strict=True)]
        return found if isinstance(out, list | tuple) else found[0]

    def _scattered(self, func: Any, out: Tensor, args: Any, kwargs: Any) -> Sum:
        moved = self._moved(func, out, args, kwargs)
        met = max(x.value.numel() for a in args if isinstance(a, Sum) for x in [a])
        if func._schema.name.split("::")[1] in ("slice_backward", "select_backward"):
            return moved
        return Sum(out, moved.error, moved.size, moved.depth, moved.terms * max(1, met))

    def _converted(self, out: Tensor, x: Any, *_: Any, **__: Any) -> Any:
        if out.is_floating_point() and torch.finfo(out.dtype).eps / 2 > self.rules.unit:
            raise NotImplementedError(f"no rounding rule for a lower precision inside: {out.dtype}")
        if isinstance(x, Sum):
            return Sum(out, x.error.clone(), x.size.clone(), x.depth, x.terms)
        return self.rules.exact(out) if out.is_floating_point() else None

    def _read(self, out: Any, x: Any) -> None:
        if isinstance(x, Sum) and bool(self.rules.bound(x).any()):
            raise NotImplementedError("no rounding rule where a computed number is read (.item())")


def _whole(x: Tensor) -> bool:
    return x.is_contiguous() and x.storage_offset() == 0


def _part(x: Any, part: str) -> Any:
    if isinstance(x, Sum):
        return getattr(x, part)
    return [_part(one, part) for one in x] if isinstance(x, list | tuple) else x
