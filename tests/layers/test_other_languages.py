"""Layers of JAX and of C by the same call."""

import shutil
from importlib.util import find_spec
from typing import Any

import pytest
import torch
from torch import Tensor

from bptt_check import check_layer, layer
from bptt_check.layers import gate, of_jax
from layers import named
from tests.layers.test_complex import scan as complex_scan

pytestmark = [pytest.mark.unannotated, pytest.mark.few]
needs_jax = pytest.mark.skipif(find_spec("jax") is None, reason="needs the extra bench: jax")


@pytest.mark.few(False)
@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
def test_a_kernel_in_c() -> None:
    from examples.c_scan import Scan, run, scan

    backward: Any = run

    class WithoutTheCopy(Scan):  # type: ignore[misc]  # as a user writes it: Any
        @staticmethod
        def backward(ctx: Any, dh: Tensor) -> Any:
            a, h_0, h = ctx.saved_tensors
            found = torch.empty_like(a), torch.empty_like(h), torch.empty_like(h_0)
            backward("backward", a, h_0, h, dh if any(dh.stride()) else dh.contiguous(), *found)
            return found

    assert check_layer(Scan, scan, dtype="float64").verdict == "agrees"
    report = check_layer(WithoutTheCopy, scan, dtype="float64")
    assert report.only_at == ("upstream in Fortran order",)


@layer(
    a=gate("time n"),
    x="time n",
    h_0="n",
    returns={"h": "time n", "h_n": "n"},
    sizes={"time": (1, 2, 3), "n": (3,)},
)
def scan(a: Tensor, x: Tensor, h_0: Tensor) -> Any:
    h = h_0
    for a_t, x_t in zip(a, x, strict=True):
        h = a_t * h + x_t
        yield h
    return h


@needs_jax
@pytest.mark.parametrize("factor", [1.0, 0.0])
def test_a_custom_vjp_of_jax(factor: float) -> None:
    import jax
    from jax import numpy as jnp

    def forward(a: Any, x: Any, h_0: Any) -> Any:
        def step(h: Any, now: Any) -> Any:
            h = now[0] * h + now[1]
            return h, h

        h_n, h = jax.lax.scan(step, h_0, (a, x))
        return (h, h_n), (a, h, h_0)

    def backward(kept: Any, upstream: Any) -> Any:
        (a, h, h_0), (dh, dh_n) = kept, upstream

        def step(error: Any, now: Any) -> Any:
            a_t, dh_t, before = now
            error = error + dh_t
            return a_t * error, (error * before, error)

        before = jnp.concatenate([h_0[None], h[:-1]])
        dh_0, (da, dx) = jax.lax.scan(step, factor * dh_n, (a, dh, before), reverse=True)
        return da, dx, dh_0

    layer_of_jax = jax.custom_vjp(lambda *given: forward(*given)[0])
    layer_of_jax.defvjp(forward, backward)
    report = check_layer(of_jax(layer_of_jax), scan)
    words = "the upstream gradient dh_n of h_t is ignored"
    assert named(report) == ([] if factor else [words])
    assert report.right == bool(factor)


@needs_jax
def test_complex_numbers_of_jax() -> None:
    import jax

    def forward(a: Any, x: Any, h_0: Any) -> Any:
        def step(h: Any, now: Any) -> Any:
            h = a * h + now
            return h, h

        return jax.lax.scan(step, h_0, x)[::-1]

    assert check_layer(of_jax(forward), complex_scan).verdict == "agrees"
