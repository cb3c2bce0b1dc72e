"""What a layer's report says of where it is wrong, where saying it is harder; and -exp(A)."""

from typing import Any

import pytest
import torch
from torch import Tensor

from bptt_check import check_layer, layer
from layers import changed, named, scaled

pytestmark = [pytest.mark.unannotated, pytest.mark.few]


@layer(w="n", x="time n", h0="n", returns={"h": "time n"}, sizes={"time": (1, 2, 5)})
def decays(w: Tensor, x: Tensor, h0: Tensor) -> Any:
    h, decay = h0, -w.exp()
    for x_t in x:
        h = decay.exp() * h + x_t
        yield h


def as_if_linear(w: Tensor, value: Tensor) -> Tensor:
    """The value, whose gradient with respect to w is left out."""
    return value.detach() + (w - w.detach())


def decaying(decay: Tensor, x: Tensor, h: Tensor) -> Tensor:
    states = []
    for x_t in x:
        h = decay.exp() * h + x_t
        states.append(h)
    return torch.stack(states)


def test_the_gradient_of_minus_exp_is_returned() -> None:
    report = check_layer(lambda w, x, h0: decaying(as_if_linear(w, -w.exp()), x, h0), decays)
    assert named(report) == ["the derivative of decay with respect to w is left out"]


@pytest.mark.few(False)
def test_nothing_is_said_of_the_steps_of_nan() -> None:
    """Of two answers with NaN no difference shows what one loss contributes."""

    def wrong(w: Tensor, x: Tensor, h0: Tensor) -> Tensor:
        large = x.abs() > 10
        h = decaying(-w.exp(), x, h0)
        return changed(h, lambda grad: grad.masked_fill(large, torch.nan))

    report = check_layer(wrong, decays, dtype="float64")
    assert report.not_finite
    assert report.where is None
    assert "; dx at state t=" in report.not_located
    assert (report.mistakes, report.not_named) == (None, "every finite answer is right")


@layer(
    w="time n", k="time n", h0="n", returns={"y": "time n", "ht": "n"}, sizes={"time": (1, 2, 5)}
)
def gated_after(w: Tensor, k: Tensor, h0: Tensor) -> Any:
    h = h0
    for t in range(len(k)):
        yield h + k[t]
        h = w[t].exp() * h + k[t]
    return h


def gated_loop(exp: Any, carry: Any, w: Tensor, k: Tensor, h0: Tensor) -> tuple[Tensor, Tensor]:
    h, outputs = h0, []
    for t in range(len(k)):
        outputs.append(h + k[t])
        h = exp(w[t]) * carry(h) + k[t]
    return torch.stack(outputs), h


def test_one_line_that_runs_after_an_output_is_one_mistake() -> None:
    """Its last run is traced on its own, with the last output."""

    def exp(w: Tensor) -> Tensor:
        return as_if_linear(w, w.exp())

    report = check_layer(lambda *given: gated_loop(exp, lambda h: h, *given), gated_after)
    names = [m.name for e in report.mistakes or () for m in e.mistakes]
    assert len(names) == 1
    assert names[0].startswith("the derivative of exp")


@pytest.mark.few(False)
def test_only_errors_from_the_outputs_are_right_where_those_of_the_final_state_are_not() -> None:
    report = check_layer(
        lambda *given: gated_loop(torch.exp, lambda h: h.detach(), *given), gated_after
    )
    assert report.where is not None
    assert report.where.claim["kind"] == "sums only"
    assert (report.where.finals["ht"]["dk"] > 1).any()
    assert "every error passed back from the outputs that" in report.where.words
    names = [m.name for e in report.mistakes or () for m in e.mistakes]
    assert "the final h is taken as a constant (detached)" not in names


@pytest.mark.parametrize(("factor", "said"), [(2, "is counted twice"), (0.5, "is halved")])
def test_a_scaled_upstream_gradient_is_called_that(factor: float, said: str) -> None:
    def wrong(*given: Tensor) -> tuple[Tensor, Tensor]:
        y, ht = gated_loop(torch.exp, lambda h: h, *given)
        return y, scaled(ht, factor)

    words = f"the upstream gradient dht of the final h {said}"
    assert named(check_layer(wrong, gated_after)) == [words]


def test_the_final_state_detached_is_not_each_step_s_state_detached() -> None:
    """Both are `h` in the source; k is used again after the output, at its own step."""

    def ignored(*given: Tensor) -> tuple[Tensor, Tensor]:
        y, ht = gated_loop(torch.exp, lambda h: h, *given)
        return y, ht.detach()

    report = check_layer(ignored, gated_after)
    assert named(report) == ["the upstream gradient dht of the final h is ignored"]
    also = (report.mistakes or ())[0].also
    assert "the final h is taken as a constant (detached)" in also
    assert not [words for words in also if "step's gradient" in words]
    where = report.where
    assert where is not None
    steps = where.cells["dk"].shape[0]
    assert (where.claim["kind"], where.claim["state"]) == ("final state", steps)
    assert (where.finals["ht"]["dk"] > 1).tolist() == [True] * steps
    assert where.sums.keys() == {"dh0"}


@layer(
    x="time n",
    h0="n",
    c0="n",
    returns={"h": "time n", "hT": "n", "cT": "n"},
    sizes={"time": (1, 2, 5)},
)
def two_states(x: Tensor, h0: Tensor, c0: Tensor) -> Any:
    h, c = h0, c0
    for x_t in x:
        c = 0.5 * c + x_t
        h = torch.tanh(c) + 0.25 * h
        yield h
    return h, c


def test_both_final_states_are_ignored() -> None:
    def wrong(x: Tensor, h0: Tensor, c0: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        h, c, outputs = h0, c0, []
        for x_t in x:
            c = 0.5 * c + x_t
            h = torch.tanh(c) + 0.25 * h
            outputs.append(h)
        return torch.stack(outputs), h.detach(), c.detach()

    report = check_layer(wrong, two_states)
    assert [m.name for e in report.mistakes or () for m in e.mistakes] == [
        "the upstream gradient dhT of h_t is ignored",
        "the upstream gradient dcT of c_t is ignored",
    ]


def test_what_is_wrong_by_little_more_than_the_noise_may_change_with_the_targets() -> None:
    def wrong(*given: Tensor) -> tuple[Tensor, Tensor]:
        return gated_loop(torch.exp, lambda h: scaled(h, 0.9), *given)

    report = check_layer(wrong, gated_after, dtype="bfloat16")
    assert report.verdict == "disagrees"
    assert "no loss alone is wrong by more than the measured noise" in report.not_located
