"""Complex numbers in layers: the gradient is torch's, and a conjugate that is missing is named."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from bptt_check import __main__ as command
from bptt_check import check_layer, layer
from bptt_check.judge.asking import CannotCheck
from bptt_check.layers import complex_numbers
from layers import changed, named
from profiles import nightly

pytestmark = [pytest.mark.unannotated, pytest.mark.few]
OF_N = complex_numbers("n")
OF_TIME = complex_numbers("time n")


@layer(a=OF_N, x=OF_TIME, h_0=OF_N, returns={"h": OF_TIME, "h_n": OF_N}, sizes={"time": (1, 2, 5)})
def scan(a: Tensor, x: Tensor, h_0: Tensor) -> Any:
    h = h_0
    for x_t in x:
        h = a * h + x_t
        yield h
    return h


class Scan(torch.autograd.Function):
    of_a: Any = torch.conj
    of_h: Any = torch.conj
    strides: tuple[tuple[int, ...], ...] = ()

    @staticmethod
    def forward(ctx: Any, a: Tensor, x: Tensor, h_0: Tensor) -> Any:
        h = [h_0]
        for x_t in x:
            h.append(a * h[-1] + x_t)
        ctx.save_for_backward(a, *h)
        return torch.stack(h[1:]), h[-1].clone()

    @classmethod
    def backward(cls, ctx: Any, dh: Tensor, dh_n: Tensor) -> Any:
        cls.strides += (dh.stride(),)
        a, *h = ctx.saved_tensors
        da, dx, error = torch.zeros_like(a), torch.empty_like(dh), dh_n
        for t in reversed(range(len(dh))):
            error = error + dh[t]
            dx[t], da = error, da + error * cls.of_h(h[t])
            error = cls.of_a(a) * error
        return da, dx, error


def same(z: Tensor) -> Tensor:
    return z


class WithoutOneOfA(Scan):
    of_a = same


class WithoutOneOfH(Scan):
    of_h = same


class WithoutBoth(WithoutOneOfA, WithoutOneOfH):
    pass


@pytest.mark.few(False)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_right_layer_and_the_layouts_of_its_upstream_gradients(dtype: str) -> None:
    Scan.strides = ()
    report = check_layer(Scan.apply, scan, dtype=dtype)
    assert report.name == "Scan.apply"
    assert (report.verdict, report.used < 0.1) == ("agrees", True)
    assert "complex numbers have no rounding rules" in report.measured
    assert (0, 0) in Scan.strides  # expanded
    assert (1, 5) in Scan.strides  # Fortran order of 5 steps


@pytest.mark.parametrize(
    ("candidate", "path"),
    [
        (WithoutOneOfA, "a * h -> h_(t-1)"),
        (WithoutOneOfH, "a * h -> a"),
        (WithoutBoth, "a * h -> a; the same for h_(t-1)"),
    ],
)
def test_a_conjugate_that_is_missing_is_named(candidate: Any, path: str) -> None:
    report = check_layer(candidate, scan)
    assert named(report) == [f"the conjugate is missing on the path {path}"]
    assert report.where is not None
    assert report.where.claim["kind"] == ("sums only" if candidate.of_a is torch.conj else "k back")


def test_the_upstream_gradient_of_a_complex_state_is_ignored() -> None:
    def ignoring(a: Tensor, x: Tensor, h_0: Tensor) -> Any:
        h, h_n = scan_of(a, x, h_0)
        return h, h_n.detach()

    words = ["the upstream gradient dh_n of h_t is ignored"]
    assert named(check_layer(ignoring, scan)) == words


scan_of: Any = Scan.apply


def decays(z: Any) -> Any:
    return np.stack([-np.logaddexp(0, z[..., 0]), z[..., 1]], -1)


@layer(
    x="batch time",
    log_a=complex_numbers("n", of_normal=decays),
    B=complex_numbers("n"),
    C=complex_numbers("n"),
    returns={"y": "batch time"},
    sizes={"time": (1, 2, 9)},
)
def diagonal(x: Tensor, log_a: Tensor, B: Tensor, C: Tensor) -> Any:
    h = torch.zeros_like(B)
    for x_t in x.unbind(1):
        h = log_a.exp() * h + B * x_t[:, None]
        yield (C * h).real.sum(1)


@nightly
def test_a_state_space_layer_with_real_outputs_as_a_convolution() -> None:
    def convolution(x: Tensor, log_a: Tensor, B: Tensor, C: Tensor, *, of_c: Any = same) -> Tensor:
        steps = torch.arange(x.shape[1])
        kernel = (of_c(C) * B * (log_a * steps[:, None]).exp()).sum(1).real
        lags = steps[:, None] - steps
        return x @ torch.where(lags >= 0, kernel[lags.abs()], 0).T

    for dtype in ("float32", "float64"):
        assert check_layer(convolution, diagonal, dtype=dtype).verdict == "agrees"
    report = check_layer(lambda *given: convolution(*given, of_c=unconjugated), diagonal)
    assert named(report) == ["the conjugate is missing on the path C * h -> C"]


def unconjugated(z: Tensor) -> Tensor:
    return changed(z, torch.conj)


def test_a_real_output_for_a_complex_one() -> None:
    with pytest.raises(CannotCheck, match=r"h must be complex, got torch\.float32"):
        check_layer(lambda *given: (scan_of(*given)[0].real, given[0]), scan)


def test_complex_numbers_of_half_precision() -> None:
    with pytest.raises(ValueError, match="dtype must be float32 or float64 for complex numbers"):
        check_layer(Scan, scan, dtype="bfloat16")


@pytest.mark.verdict
def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.py").write_text(
        "import torch\n"
        "def scan(a, x, h_0):\n"
        "    h = [h_0]\n"
        "    for x_t in x:\n"
        "        h.append(a * h[-1] + x_t)\n"
        "    return torch.stack(h[1:]), h[-1]\n"
    )
    target = [f"{tmp_path / 'mine.py'}:scan", "--network", f"{__file__}:scan", "--timeout", "99"]
    assert command.main(target) == 0
    assert capsys.readouterr().out.startswith("RIGHT")
