"""h_t = a_t h_(t-1) + x_t in Triton, forward and backward: run by test_triton_cpu.py."""

import json
import sys
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from bptt_check import check_layer, layer
from bptt_check.layers import gate
from bptt_check.testing import triton_on_cpu

triton_on_cpu()
import triton  # noqa: E402
import triton.language as tl  # noqa: E402

filled: list[str] = []
load = tl.load  # a builtin under a name of its own


def fill(given: dict[str, Any]) -> None:
    given["h"].zero_()
    filled.append("h")


CONFIGS = [triton.Config({"C": 2}, pre_hook=fill), triton.Config({"C": 4})]


@triton.autotune(CONFIGS, key=["channels"])  # type: ignore[untyped-decorator]
@triton.jit  # type: ignore[untyped-decorator]
def forward(a, x, h, steps, channels, C: tl.constexpr):  # type: ignore[no-untyped-def]
    channel = tl.program_id(0) * C + tl.arange(0, C)
    inside = channel < channels
    state = tl.zeros([C], tl.float32)
    for t in range(steps):
        at = t.to(tl.int32) * channels + channel  # type: ignore[attr-defined]
        state = tl.load(a + at, inside) * state + tl.load(x + at, inside)
        tl.store(h + at, state, inside)


@triton.jit  # type: ignore[untyped-decorator]
def backward(a, h, dh, da, dx, steps, channels, wrong, C: tl.constexpr):  # type: ignore[no-untyped-def]
    channel = tl.program_id(0) * C + tl.arange(0, C)
    inside = channel < channels
    error = tl.zeros([C], tl.float32)
    for back in range(steps):
        t = steps - 1 - back
        at = t * channels + channel
        error += tl.load(dh + at, inside)
        before = load(h + at - channels, inside & (t > 0), 0.0)
        tl.store(dx + at, error, inside)
        tl.store(da + at, error * before, inside)
        error *= tl.load(a + at + wrong * channels, inside & (t + wrong < steps), 0.0)


class Scan(torch.autograd.Function):
    wrong = 0

    @staticmethod
    def forward(ctx: Any, a: Tensor, x: Tensor) -> Tensor:
        h = torch.empty_like(x)
        forward[lambda its: (triton.cdiv(a.shape[1], its["C"]),)](a, x, h, *a.shape)
        ctx.save_for_backward(a, h)
        return h

    @classmethod
    def backward(cls, ctx: Any, dh: Tensor) -> tuple[Tensor, Tensor]:
        a, h = ctx.saved_tensors
        assert torch.cuda.get_device_properties(a.device).multi_processor_count > 0
        da, dx = torch.empty_like(a), torch.empty_like(a)
        grid = (triton.cdiv(a.shape[1], 4),)
        backward[grid](a, h, dh.contiguous(), da, dx, *a.shape, Scan.wrong, C=4)
        return da, dx


@layer(a=gate("time n"), x="time n", returns={"h": "time n"}, sizes={"time": (1, 2, 5, 9)})
def scan(a: Tensor, x: Tensor) -> Iterator[Tensor]:
    h = torch.zeros_like(x[0])
    for a_t, x_t in zip(a, x, strict=True):
        h = a_t * h + x_t
        yield h


if __name__ == "__main__":
    Scan.wrong = int(sys.argv[1])
    report = check_layer(Scan, scan)
    said = {"verdict": report.verdict, "named": [e.name for e in report.mistakes or ()]}
    print(json.dumps({**said, "hooks": sorted({*filled})}))
