"""`check_layer`: torch callables judged by a recurrence, outputs first."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from bptt_check import assert_layer_parity, check_layer, layer
from bptt_check.judge.asking import CannotCheck
from bptt_check.layers import chunks, log_gate, power_of_two
from examples.torch_layers import PAIRS
from layers import changed, named
from profiles import NIGHTLY, nightly

pytestmark = [pytest.mark.unannotated, pytest.mark.few]


@layer(
    q="batch time K",
    k="batch time K",
    v="batch time V",
    g=log_gate("batch time"),
    h0="batch K V",
    returns={"o": "batch time V", "ht": "batch K V"},
    sizes={"time": chunks(4), "K": power_of_two(2)},
)
def gated(q: Tensor, k: Tensor, v: Tensor, g: Tensor, h0: Tensor) -> Any:
    S = h0
    for t in range(q.shape[1]):
        S = g[:, t, None, None].exp() * S + k[:, t, :, None] * v[:, t, None, :]
        yield (q[:, t, None] @ S)[:, 0]
    return S


IGNORED = "the upstream gradient dht of S_t is ignored"
Step = Callable[[int, Tensor], Tensor]


def same(_: int, S: Tensor) -> Tensor:
    return S


def loop(
    q: Tensor, k: Tensor, v: Tensor, g: Tensor, h0: Tensor, *, carry: Step = same
) -> tuple[Tensor, Tensor]:
    S, outputs = h0, []
    for t in range(q.shape[1]):
        S = g[:, t, None, None].exp() * carry(t, S) + k[:, t, :, None] * v[:, t, None, :]
        outputs.append((q[:, t, None] @ S)[:, 0])
    return torch.stack(outputs, 1), S


def upstream(of_outputs: Callable[[Tensor], Tensor], of_state: Callable[[Tensor], Tensor]) -> Any:
    """The layer, whose backward pass changes the upstream gradients."""

    def wrong(*given: Tensor) -> Any:
        o, ht = loop(*given)
        return changed(o, of_outputs), changed(ht, of_state)

    return wrong


def same_gradient(grad: Tensor) -> Tensor:
    return grad


@pytest.mark.few(False)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_right_layer_and_the_sizes_that_are_asked_across_a_chunk(dtype: str) -> None:
    asked: list[tuple[int, int]] = []

    def noted(q: Tensor, k: Tensor, v: Tensor, g: Tensor, h0: Tensor) -> Any:
        asked.append((q.shape[1], q.shape[2]))
        return loop(q, k, v, g, h0)

    report = check_layer(noted, gated, dtype=dtype)
    assert (report.verdict, report.exit_code, report.lost) == ("agrees", 0, ())
    assert report.returned == ("o", "ht", "dq", "dk", "dv", "dg", "dh0")
    assert {1, 2, 3, 4, 5, 8, 9} <= {time for time, _ in asked}
    assert {K for _, K in asked} <= {2, 4, 8, 16}


@pytest.mark.verdict
def test_a_wrong_forward_pass_is_said_first_from_its_step_on() -> None:
    def other(*given: Tensor) -> Any:
        return loop(*given, carry=lambda t, S: S * 1.5 if t >= 4 else S)

    report = check_layer(other, gated)
    assert report.verdict == "disagrees"
    assert report.forward.startswith("Your forward pass differs from the layer's: o from step 5 on")
    assert {e.name for e in report.worst if not e.right} >= {"o", "ht"}


def test_right_outputs_and_gradients_cut_at_a_multiple_of_the_chunk() -> None:
    def cut(*given: Tensor) -> Any:
        return loop(*given, carry=lambda t, S: S if t % 4 else S.detach())

    report = check_layer(cut, gated)
    assert (report.verdict, report.forward) == ("disagrees", "")
    assert report.where is not None
    assert report.where.claim["state"] in (1, 4)
    assert named(report) == ["the error passed back through S is dropped every 4 steps"]
    assert "zero there, no error is passed further back" in report.where.words


@pytest.mark.parametrize(
    ("later", "words"),
    [
        (0, "is doubled every 4 steps"),
        (1, "is every 4 steps that of 1 step later"),
        pytest.param(4, "is every 4 steps that of 4 steps later", marks=nightly),
    ],
)
def test_gradients_doubled_or_shifted_at_a_multiple_of_the_chunk(later: int, words: str) -> None:
    def wrong(*given: Tensor) -> Any:
        errors: dict[int, Tensor] = {}  # passed back from step t

        def backward(t: int, grad: Tensor) -> Tensor:
            errors[t] = grad
            if t % 4:
                return grad
            return errors.get(t + later, 0 * grad) if later else 2 * grad

        return loop(*given, carry=lambda t, S: changed(S, lambda grad: backward(t, grad)))

    assert named(check_layer(wrong, gated)) == [f"the error passed back through S {words}"]


def test_the_upstream_gradient_of_the_final_state_is_ignored() -> None:
    report = check_layer(upstream(same_gradient, torch.zeros_like), gated)
    assert report.where is not None
    assert report.where.claim["kind"] == "final state"
    assert report.where.claim["finals"] == ("ht",)
    assert named(report) == [IGNORED]
    assert "\nht " in str(report)
    cells = report._repr_html_().partition("&gt;ht&lt;/th&gt;")[2].partition("&lt;/tr&gt;")[0]
    assert cells.count("&lt;td ") == report.where.steps + len(report.where.sums)


def test_two_mistakes_of_the_states_as_in_a_published_kernel() -> None:
    both = upstream(same_gradient, torch.zeros_like)
    report = check_layer(lambda q, k, v, g, h0: both(q, k, v, g, h0.detach()), gated)
    assert report.where is not None
    assert (report.where.claim["kind"], report.where.claim["labels"]) == ("sums only", ("dh0",))
    assert report.where.claim["finals"] == ("ht",)
    assert named(report) == [f"{IGNORED} + dh0 is zero"]


@pytest.mark.few(False)
@pytest.mark.verdict
def test_an_expanded_upstream_gradient_is_changed_in_place() -> None:
    """A layout that is ignored: test_other_languages.py."""
    report = check_layer(upstream(lambda grad: grad.mul_(1), same_gradient), gated)
    assert "upstream expanded" in [each.problem for each in report.unanswered]


@pytest.mark.few(False)
@pytest.mark.verdict
def test_a_layer_that_is_wrong_below_the_size_of_a_window() -> None:
    def windowed(*given: Tensor) -> Any:
        short = given[0].shape[1] < 3
        return loop(*given, carry=lambda t, S: S.detach() if short and t == 1 else S)

    report = check_layer(windowed, gated)
    assert report.only_at
    assert all("time 2" in name or name.startswith("random") for name in report.only_at)


@pytest.mark.parametrize(("candidate", "reference"), PAIRS)
def test_the_layers_of_torch_and_our_own(candidate: Any, reference: Any) -> None:
    for dtype in ("float32", "float64") if NIGHTLY else ("float64",):
        assert check_layer(candidate, reference, dtype=dtype).verdict == "agrees"


@pytest.mark.verdict
def test_parity_is_asserted() -> None:
    assert_layer_parity(loop, gated)
    with pytest.raises(AssertionError, match="WRONG"):
        assert_layer_parity(upstream(same_gradient, torch.zeros_like), gated)


@pytest.mark.parametrize(
    ("candidate", "words"),
    [
        (lambda *given: loop(*given)[0], r"must return the 2 tensors o, ht, got 1: Tensor"),
        (lambda *given: loop(*given)[::-1], r"o must have the shape \(3, 6, \d\), got"),
        (lambda q, k: q, "takes 2 positional arguments but 5 were given"),
    ],
)
def test_what_cannot_be_checked(candidate: Any, words: str) -> None:
    with pytest.raises((CannotCheck, TypeError), match=words):
        check_layer(candidate, gated)


def test_a_declaration_that_is_wrong() -> None:
    with pytest.raises(ValueError, match="returns must name the outputs"):
        layer(x="time n", returns={"hT": "n"})
    with pytest.raises(ValueError, match="sizes must be of axes among time, n, got m"):
        layer(x="time n", returns={"y": "time n"}, sizes={"m": 3})(doubled)
    with pytest.raises(ValueError, match=r"must give y \(8,\), as its returns say, got \(4,\)"):
        check_layer(lambda x: x, layer(x="time n", returns={"y": "time 2*n"})(doubled))
    with pytest.raises(ValueError, match="dtype must be"):
        check_layer(loop, gated, dtype="int8")


def doubled(x: Tensor) -> Iterator[Tensor]:
    yield from (2 * x_t for x_t in x)
