"""A function of JAX, such as one with a `custom_vjp`, as a torch callable for `check_layer`."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor


def of_jax(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function on tensors, with its own backward pass; its arguments are passed in order.

    Of complex numbers JAX has the conjugate of torch's gradient: it is returned as torch has it.

    float64 needs `jax.config.update("jax_enable_x64", True)`.
    """

    def call(*tensors: Tensor) -> Any:
        apply: Any = _OfJax.apply
        returned = apply(function, *tensors)
        return returned if len(returned) > 1 else returned[0]

    call.__qualname__ = getattr(function, "__qualname__", type(function).__name__)
    return call


class _OfJax(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, function: Callable[..., Any], *tensors: Tensor) -> tuple[Tensor, ...]:
        import jax

        arrays = [jax.numpy.asarray(t.numpy(force=True)) for t in tensors]
        returned, ctx.vjp = jax.vjp(function, *arrays)
        leaves, ctx.tree = jax.tree.flatten(returned)
        ctx.dtypes = [leaf.dtype for leaf in leaves]
        return tuple(torch.from_numpy(np.array(leaf)) for leaf in leaves)

    @staticmethod
    def backward(ctx: Any, *upstreams: Tensor) -> tuple[Tensor | None, ...]:
        import jax

        arrays = [
            jax.numpy.asarray(np.conj(u.resolve_conj().numpy()), d)
            for u, d in zip(upstreams, ctx.dtypes, strict=True)
        ]
        found = ctx.vjp(jax.tree.unflatten(ctx.tree, arrays))
        is_number = (np.dtype(g.dtype).kind in "fc" for g in found)  # tokens have none
        pairs = zip(found, is_number, strict=True)
        return None, *(torch.from_numpy(np.conj(g)) if ok else None for g, ok in pairs)
