"""Layers: a recurrence in torch, with upstream gradients for its outputs and its final state.

@layer(x="time n", returns={"y": "time n"})    declares one; `check_layer` judges by it

layer         the decorator; marks of gates and the like; the sizes of an axis
of_jax        a function of JAX as a torch callable
triton_cpu    Triton kernels without a GPU
"""

from bptt_check.layers.layer import (
    as_layer,
    chunks,
    complex_numbers,
    gate,
    layer,
    log_gate,
    multiples_of,
    positive,
    power_of_two,
    unit_vectors,
)
from bptt_check.layers.of_jax import of_jax
from bptt_check.networks import floats, tokens

__all__ = [
    "as_layer",
    "chunks",
    "complex_numbers",
    "floats",
    "gate",
    "layer",
    "log_gate",
    "multiples_of",
    "of_jax",
    "positive",
    "power_of_two",
    "tokens",
    "unit_vectors",
]
