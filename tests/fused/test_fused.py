"""The layer as one operation: within the bound at any size, in any layout and dtype."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from agreement import assert_gradients, assert_within, numpy_array
from layers import tensors
from problems import Array, Problem, problem, problems
from profiles import NIGHTLY
from rnn_numpy import Params, bounds, bptt, forward, vjp
from rnn_torch import ElmanRNN, FusedElmanRNN, autograd_gradient, elman, squared_error
from rnn_torch.fused import recurrence

WAYS = ("kernel", "whole kernel", "blas")


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each implementation of the loop, at any size."""
    never, always = 0, 1 << 60
    limits = {
        "whole kernel": {"SMALL": always, "SMALL_MATRIX": always},
        "kernel": {"SMALL": never, "ROWS": 5},
        "blas": {"LARGE_STEP": never, "ROWS": 20},
    }[request.param]
    if "kernel" in request.param:
        limits |= dict.fromkeys(("LARGE_STEP", "LARGE_MATRIX"), always)
    for name, limit in limits.items():
        monkeypatch.setattr(recurrence, name, limit)
    return str(request.param)


@settings(suppress_health_check=list(settings.get_profile("dev").suppress_health_check))
@given(problems)
def test_it_agrees_with_numpy_whatever_its_size(problem: Problem) -> None:
    assert_layer(problem)
    params, x, targets, _ = problem  # without h_0, which is zero then
    gradient = autograd_gradient(FusedElmanRNN.from_params(params), x, targets)
    expected = bptt(params, forward(params, x)[1], targets)
    assert_gradients(gradient, expected, bounds(params, x, targets).params)


@pytest.mark.parametrize("seed", range(12))
def test_every_way_agrees_with_numpy(way: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    sizes = [int(rng.choice([1, 2, 3, 4, 5, 8, 9, 17, 40])) for _ in range(5)]
    dtype = ("float32", "float64")[seed % 2]
    assert_layer(problem(seed, *sizes, dtype=dtype, scale=(0.5, 2.0)[seed // 2 % 2]))


def assert_layer(
    problem: Problem, laid_out: Callable[[Tensor], Tensor] = lambda tensor: tensor
) -> None:
    """Outputs, states and every gradient, from h_0 and any upstream gradient, by the bound."""
    params, x, upstream, h_0 = problem
    model = FusedElmanRNN.from_params(params)
    for parameter in model.parameters():
        parameter.data = laid_out(parameter.data)
    x_tensor, h_tensor = (laid_out(torch.tensor(t)).requires_grad_() for t in (x, h_0))
    outputs, states = model(x_tensor, h_tensor)
    outputs.backward(laid_out(torch.tensor(upstream)))
    expected, trace = forward(params, x, h_0)
    right = vjp(params, trace, upstream)
    allowed = bounds(params, x, upstream=upstream, h_0=h_0)
    got = {name: p.grad for name, p in model.named_parameters()}
    got |= {"x": x_tensor.grad, "h_0": h_tensor.grad, "outputs": outputs, "states": states}
    wanted = {**right.params._asdict(), "x": right.x, "h_0": right.h_0}
    wanted |= {"outputs": expected, "states": trace.states[1:]}
    bound = {**allowed.params._asdict(), "x": allowed.x, "h_0": allowed.h_0}
    bound |= {"outputs": allowed.outputs, "states": allowed.states}
    assert_within({name: numpy_array(tensor) for name, tensor in got.items()}, wanted, bound)


def transposed(tensor: Tensor) -> Tensor:
    return tensor.mT.contiguous().mT


def sliced(tensor: Tensor) -> Tensor:
    return torch.stack([tensor, tensor], dim=-1)[..., 0]


@pytest.mark.parametrize("laid_out", [transposed, sliced])
@pytest.mark.parametrize("seed", range(4))
def test_any_memory_layout(way: str, laid_out: Callable[[Tensor], Tensor], seed: int) -> None:
    drawn = problem(seed, 4, 3, 5, 9, 2, dtype=("float32", "float64")[seed % 2])
    assert_layer(drawn, laid_out)
    # A sum's gradient is one number in memory, expanded.
    ones = np.ones_like(drawn.targets)
    assert_layer(drawn._replace(targets=ones), lambda t: t[:1, :1].expand(t.shape) if
                 torch.equal(t, torch.ones_like(t)) else t)  # fmt: skip


@pytest.mark.parametrize("wanted", [(0,), (1,), (2,), (3,), (1, 3)])
def test_only_the_gradients_asked_for(wanted: tuple[int, ...]) -> None:
    every = [t.requires_grad_() for t in tensors(3, 2, 2, 4)]
    right = torch.autograd.grad(elman(*every).sum(), every)
    leaves = [t.requires_grad_(i in wanted) for i, t in enumerate(tensors(3, 2, 2, 4))]
    got = torch.autograd.grad(elman(*leaves).sum(), [leaves[index] for index in wanted])
    for one, index in zip(got, wanted, strict=True):
        assert torch.equal(one, right[index])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision(dtype: torch.dtype) -> None:
    """The bound grows with the unit roundoff, as long as its square does not matter."""
    drawn = problem(0, 6, 3, 2, 5, 1, dtype="float32")
    params = Params(*(as_dtype(array, dtype) for array in drawn.params))
    x, upstream = as_dtype(drawn.x, dtype), as_dtype(drawn.targets, dtype)
    model = FusedElmanRNN.from_params(params, dtype=dtype)
    outputs, states = model(torch.tensor(x, dtype=dtype))
    outputs.backward(torch.tensor(upstream, dtype=dtype))
    slopes = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    got = {**slopes, "outputs": outputs}
    assert {tensor.dtype for tensor in (*got.values(), states)} == {dtype}
    expected, trace = forward(params, x)
    right = vjp(params, trace, upstream).params
    allowed = bounds(params, x, upstream=upstream)
    times = torch.finfo(dtype).eps / torch.finfo(torch.float32).eps
    bound = {**allowed.params._asdict(), "outputs": allowed.outputs}
    assert_within(
        {name: numpy_array(tensor.float()) for name, tensor in got.items()},
        {**right._asdict(), "outputs": expected},
        {name: times * array for name, array in bound.items()},
    )


def as_dtype(array: Array, dtype: torch.dtype) -> Array:
    """The array rounded to this dtype, as float32."""
    return torch.tensor(array).to(dtype).float().numpy()


def test_any_device() -> None:
    """The meta device knows shapes alone, so any tensor made on another device would be found."""
    leaves = [t.to("meta").requires_grad_() for t in tensors(3, 2, 2, 4)]
    states = elman(*leaves)
    gradients = torch.autograd.grad(states.sum(), leaves)
    assert {t.device.type for t in (states, *gradients)} == {"meta"}
    assert [g.shape for g in gradients] == [t.shape for t in leaves]


def test_thousands_of_steps_with_checkpoints() -> None:
    """With only one state in a hundred stored: as docs/python.md has it."""
    drawn = problem(0, 10_000 if NIGHTLY else 2_000, 1, 2, 8, 1, scale=0.5)
    model = FusedElmanRNN.from_params(drawn.params)

    def segment(x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        outputs, states = model(x, h)
        return outputs, states[-1].clone()

    h, parts = torch.zeros(1, 8, dtype=torch.float64), []
    for part in torch.tensor(drawn.x).split(100):
        outputs, h = checkpoint(segment, part, h, use_reentrant=False)
        parts.append(outputs)
    squared_error(torch.cat(parts), torch.tensor(drawn.targets)).backward()
    gradient = Params(*(numpy_array(p.grad) for p in (model.U, model.W, model.V)))
    plain = autograd_gradient(ElmanRNN.from_params(drawn.params), drawn.x, drawn.targets)
    allowed = bounds(drawn.params, drawn.x, drawn.targets).params
    assert_gradients(gradient, plain, allowed)
    for bound, entry in zip(allowed, plain, strict=True):
        assert (bound < 1e-9 * np.abs(entry).max()).all()


@pytest.mark.unannotated
def test_bad_input() -> None:
    x, U, W, h_0 = tensors(3, 2, 2, 4)
    for bad, message in (
        ((x[0], U, W, h_0), r"x must be \(time, batch, n_in\), got \(2, 2\)"),
        ((x[:0], U, W, h_0), "every axis needs at least one entry"),
        ((x, U.T, W, h_0), r"U must be \(n_in=2, hidden\), got \(4, 2\): pass U.T\?"),
        ((x, U, W[:3], h_0), r"W must be \(hidden=4, hidden =4\), got \(3, 4\)"),
        ((x, U, W, h_0.T), r"h_0 must be \(batch=2, hidden=4\), got \(4, 2\): pass h_0.T\?"),
    ):
        with pytest.raises(ValueError, match=message):
            elman(*bad)
    with pytest.raises(TypeError, match=r"one dtype and one device, got .*32, .*64"):
        elman(x.float(), U, W, h_0)
    with pytest.raises(TypeError, match="on cpu, meta"):
        elman(x, U, W.to("meta"), h_0)
    model = FusedElmanRNN(2, 4, 1, dtype=torch.float64)
    with pytest.raises(ValueError, match="n_in=2"):
        model(torch.zeros(3, 2, 5, dtype=torch.float64))
