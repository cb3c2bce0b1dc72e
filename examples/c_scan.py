"""A kernel in C, called through ctypes, and its check; it needs a C compiler.

python examples/c_scan.py
"""

import ctypes
import subprocess
import tempfile
from pathlib import Path

import torch

from bptt_check import check_layer, layer

LIBRARY = Path(tempfile.mkdtemp()) / "c_scan.so"
SOURCE = Path(__file__).with_suffix(".c")
subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", LIBRARY, SOURCE], check=True)
KERNELS = ctypes.CDLL(str(LIBRARY))


def run(kernel, *tensors):
    steps, n = tensors[-1].shape if kernel == "forward" else tensors[3].shape
    pointers = [ctypes.c_void_p(t.data_ptr()) for t in tensors]
    KERNELS[kernel](ctypes.c_long(steps), ctypes.c_long(n), *pointers)


class Scan(torch.autograd.Function):
    @staticmethod
    def forward(ctx, a, x, h_0):
        h = torch.empty_like(x)
        run("forward", a, x, h_0, h)
        ctx.save_for_backward(a, h_0, h)
        return h

    @staticmethod
    def backward(ctx, dh):
        a, h_0, h = ctx.saved_tensors
        da, dx, dh_0 = torch.empty_like(a), torch.empty_like(h), torch.empty_like(h_0)
        run("backward", a, h_0, h, dh.contiguous(), da, dx, dh_0)
        return da, dx, dh_0


@layer(a="n", x="time n", h_0="n", returns={"h": "time n"})
def scan(a, x, h_0):
    h = h_0
    for x_t in x:
        h = a * h + x_t
        yield h


if __name__ == "__main__":
    print(check_layer(Scan, scan, dtype="float64"))
