"""The words of a layer's report: digits lost, bounds that explode, half precision; the command."""

import json
from inspect import getsource
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from bptt_check import __main__ as command
from bptt_check import assert_layer_parity, check_layer, layer
from bptt_check.error_bound import explodes, reference, with_floor
from bptt_check.judge.report import Report
from bptt_check.layers import gate, unit_vectors
from bptt_check.networks import drawn
from bptt_check.several import examined
from layers import named, scaled
from profiles import nightly

pytestmark = [pytest.mark.unannotated, pytest.mark.few]


@layer(
    q="batch time K",
    k=unit_vectors("batch time K"),
    v="batch time V",
    beta=gate("batch time"),
    h0="batch K V",
    returns={"o": "batch time V", "ht": "batch K V"},
    sizes={"time": (1, 2, 5), "K": (4, 8), "V": (3,)},
)
def delta_rule(q: Tensor, k: Tensor, v: Tensor, beta: Tensor, h0: Tensor) -> Any:
    S = h0
    for t in range(q.shape[1]):
        u = beta[:, t, None] * (v[:, t] - (k[:, t, None] @ S)[:, 0])
        S = S + k[:, t, :, None] * u[:, None]
        yield (q[:, t, None] @ S)[:, 0]
    return S


def loop(q: Tensor, k: Tensor, v: Tensor, beta: Tensor, h0: Tensor) -> tuple[Tensor, Tensor]:
    S, outputs = h0, []
    for t in range(q.shape[1]):
        u = beta[:, t, None] * (v[:, t] - (k[:, t, None] @ S)[:, 0])
        S = S + k[:, t, :, None] * u[:, None]
        outputs.append((q[:, t, None] @ S)[:, 0])
    return torch.stack(outputs, 1), S


def with_digits_lost(*given: Tensor) -> tuple[Tensor, Tensor]:
    o, ht = loop(*given)
    return o, ht * (1 + 2e-6)


def test_digits_are_lost() -> None:
    report = check_layer(with_digits_lost, delta_rule)
    assert (report.verdict, report.exit_code, report.right) == ("loses digits", 0, True)
    assert "ht" in [each.name for each in report.lost]
    assert all(0 < each.digits < 3 for each in report.lost)
    assert str(report).startswith("RIGHT BUT LOSES DIGITS")
    with pytest.warns(UserWarning, match="RIGHT BUT LOSES DIGITS"):
        assert_layer_parity(with_digits_lost, delta_rule)


def test_a_bound_that_explodes_is_replaced_by_the_floor() -> None:
    sizes = {"batch": 2, "time": 40, "K": 4, "V": 3}
    problem = next(drawn(delta_rule, "float32", sizes))
    derived = reference(delta_rule, problem)
    assert explodes(derived, "float32")
    right = with_floor(delta_rule, problem, derived)
    assert right.measured
    for name, bound in right.bounds.items():
        assert bound.max() < 1e-3 * np.abs(right.gradients[name]).max()


@pytest.mark.parametrize("dtype", [pytest.param("float16", marks=nightly), "bfloat16"])
def test_half_precision(dtype: str) -> None:
    """Right is a pass that computes in float32 inside, and one of which every result is rounded."""
    its = getattr(torch, dtype)

    def inside(*given: Tensor, factor: float = 1.0) -> tuple[Tensor, ...]:
        assert {g.dtype for g in given} == {its}
        o, ht = loop(*(g.float() for g in given))
        return o.to(its), scaled(ht, factor).to(its)

    for right in (inside, loop):
        report = check_layer(right, delta_rule, dtype=dtype)
        assert (report.verdict, report.used < 0.3) == ("agrees", True)
        assert report.measured.endswith("in half precision")
    report = check_layer(lambda *given: inside(*given, factor=0.0), delta_rule, dtype=dtype)
    assert named(report) == ["the upstream gradient dht of S_t is ignored"]
    assert "It behaves to within the noise of half precision like: the upstream" in str(report)
    assert report.where is not None
    assert report.where.claim["finals"] == ("ht",)


@pytest.mark.verdict
def test_a_gradient_that_is_a_tenth_too_large_in_float16() -> None:
    def more(*given: Tensor) -> tuple[Tensor, Tensor]:
        o, ht = loop(*given)
        return scaled(o, 1.1), ht

    assert not check_layer(more, delta_rule, dtype="float16").right


@pytest.mark.few(False)
@pytest.mark.verdict
def test_upstream_gradients_in_bfloat16_keep_their_layout() -> None:
    strides: list[tuple[int, ...]] = []

    def noted(*given: Tensor) -> tuple[Tensor, Tensor]:
        o, ht = loop(*given)
        o.register_hook(lambda grad: strides.append(grad.stride()))
        return o, ht

    assert check_layer(noted, delta_rule, dtype="bfloat16").right
    assert {(0, 0, 0), (1, 2, 10)} <= set(strides)


def without_the_last(*given: Tensor) -> tuple[Tensor, Tensor]:
    o, ht = loop(*given)
    return o, ht.detach()


@pytest.mark.parametrize(
    ("name", "flags", "code", "strictly", "verdict"),
    [
        pytest.param("loop", [], 0, 0, "agrees", marks=nightly),
        ("without_the_last", [], 1, 1, "disagrees"),
        ("with_digits_lost", ["--dtype", "float32"], 0, 1, "loses digits"),
    ],
)
def test_the_command(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    flags: list[str],
    code: int,
    strictly: int,
    verdict: str,
) -> None:
    reports: list[Report] = []

    def once(*given: Any) -> Report:
        if not reports:
            reports.append(examined(*given))
        return reports[0]

    monkeypatch.setattr(command, "examined", once)
    mine = [getsource(function) for function in (loop, with_digits_lost, without_the_last)]
    (tmp_path / "mine.py").write_text(
        "\n".join(["import torch", "from torch import Tensor", *mine])
    )
    of = [f"{tmp_path / 'mine.py'}:{name}", "--network", f"{__file__}:delta_rule"]
    of += ["--timeout", "99"]  # torch is imported
    assert command.main([*of, *flags, "--markdown", "--strict"]) == strictly
    assert capsys.readouterr().out
    assert command.main([*of, "--json", *flags]) == code
    said = json.loads(capsys.readouterr().out)
    assert said["verdict"] == verdict
    if verdict == "disagrees":
        assert said["where"]["claim"]["finals"] == ["ht"]
