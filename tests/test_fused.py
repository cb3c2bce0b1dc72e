"""The layer as one operation: right by the bound, and everything that autograd can do with it."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.func import grad, hessian, jacfwd, jacrev, vmap

from agreement import assert_gradients, assert_within, numpy_array
from problems import Array, Problem, generated, problem, problems
from rnn_numpy import Params, bounds, bptt, forward, vjp
from rnn_torch import (
    ElmanRNN,
    FusedElmanRNN,
    autograd_gradient,
    elman,
    fused,
    recurrence,
    squared_error,
)
from test_torch_model import needs_compiler, uses_torch_script

Layer = Callable[..., Tensor]
WAYS = ("kernel", "whole kernel", "blas", "onednn")


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each way of running the loop, whatever the size."""
    never, always = 0, 1 << 60
    limits = {
        "whole kernel": {"SMALL": always, "SMALL_MATRIX": always, "FEW_ROWS": never},
        "kernel": {"SMALL": never, "ROWS": 5},
        "blas": {"LARGE_STEP": never, "ONEDNN": always, "ROWS": 20},
        "onednn": {"LARGE_STEP": never, "ONEDNN": never, "ONEDNN_LEAST_ROWS": 1, "ROWS": 3},
    }[request.param]
    if "kernel" in request.param:
        limits |= {"LARGE_STEP": always, "LARGE_MATRIX": always}
    for name, limit in limits.items():
        monkeypatch.setattr(recurrence, name, limit)
    return str(request.param)


def step_by_step(x: Tensor, U: Tensor, W: Tensor, h_0: Tensor | None = None) -> Tensor:
    h, states = torch.zeros_like(x[0, :, :1] @ W[:1]) if h_0 is None else h_0, []
    for x_t in x:
        h = torch.sigmoid(x_t @ U + h @ W)
        states.append(h)
    return torch.stack(states)


def tensors(
    time: int, batch: int, n_in: int, hidden: int, dtype: torch.dtype = torch.float64
) -> list[Tensor]:
    generator = torch.Generator().manual_seed(time + 10 * batch + 100 * hidden)
    shapes = ((time, batch, n_in), (n_in, hidden), (hidden, hidden), (batch, hidden))
    return [torch.randn(shape, dtype=dtype, generator=generator) for shape in shapes]


@settings(suppress_health_check=list(settings.get_profile("dev").suppress_health_check))
@given(problems)
def test_it_agrees_with_numpy_whatever_its_size(problem: Problem) -> None:
    assert_layer(problem)


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


@given(generated)
def test_without_h_0_it_is_zero(problem: Problem) -> None:
    params, x, targets, _ = problem
    gradient = autograd_gradient(FusedElmanRNN.from_params(params), x, targets)
    expected = bptt(params, forward(params, x)[1], targets)
    assert_gradients(gradient, expected, bounds(params, x, targets).params)


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


@uses_torch_script
@pytest.mark.parametrize("shape", [(4, 2, 2, 3), (1, 1, 1, 1), (3, 1, 2, 2)])
def test_gradcheck_forwards_backwards_and_twice(shape: tuple[int, int, int, int]) -> None:
    leaves = [t.requires_grad_() for t in tensors(*shape)]
    modes = {"check_forward_ad": True, "check_batched_grad": True}
    assert torch.autograd.gradcheck(elman, leaves, check_batched_forward_grad=True, **modes)
    assert torch.autograd.gradgradcheck(
        elman, leaves, check_fwd_over_rev=True, check_rev_over_rev=True, check_batched_grad=True
    )


def test_three_derivatives() -> None:
    _, _, W, _ = leaves = tensors(3, 2, 2, 2)
    third = []
    for layer in (elman, step_by_step):
        W_leaf = W.clone().requires_grad_()
        value = (layer(leaves[0], leaves[1], W_leaf, leaves[3]) ** 3).sum()
        for _ in range(3):
            (slope,) = torch.autograd.grad(value, W_leaf, create_graph=True)
            value = (slope * torch.arange(4.0, dtype=torch.float64).reshape(2, 2)).sum()
        third.append(slope)
    torch.testing.assert_close(third[0], third[1], rtol=1e-11, atol=1e-12)


def cubes(layer: Layer) -> Callable[..., Tensor]:
    return lambda *arguments: (layer(*arguments) ** 3).sum()


EVERY = (0, 1, 2, 3)


@uses_torch_script
@pytest.mark.parametrize(
    "transform",
    [
        lambda layer: grad(cubes(layer), argnums=EVERY),
        lambda layer: hessian(cubes(layer), argnums=(1, 2)),
        lambda layer: jacfwd(layer, argnums=EVERY),
        lambda layer: jacrev(layer, argnums=EVERY),
        lambda layer: jacrev(jacfwd(cubes(layer), argnums=2), argnums=3),
        lambda layer: jacfwd(jacfwd(cubes(layer), argnums=0), argnums=1),
    ],
    ids=["grad", "hessian", "jacfwd", "jacrev", "reverse over forward", "forward over forward"],
)
def test_torch_func(transform: Callable[[Layer], Any]) -> None:
    arguments = tensors(3, 2, 2, 3)
    got, right = (transform(layer)(*arguments) for layer in (elman, step_by_step))
    torch.testing.assert_close(got, right, rtol=1e-11, atol=1e-12)


# Which axis of x, U, W, h_0 is mapped.
MAPPED = [
    (0, None, None, None),
    (2, None, None, 1),
    (None, 0, None, None),
    (None, None, 0, None),
    (None, 0, 0, None),
    (1, 2, 1, 0),
    (0, 0, 0, 0),
    (None, None, None, 0),
]


def mapped_arguments(dims: tuple[int | None, ...], size: int = 5) -> list[Tensor]:
    result = []
    for tensor, dim in zip(tensors(3, 2, 2, 4), dims, strict=True):
        if dim is None:
            result.append(tensor)
            continue
        copies = [tensor * (1 + 0.1 * i) for i in range(size)]
        result.append(torch.stack(copies, dim=dim))
    return result


@pytest.mark.parametrize("dims", MAPPED, ids=str)
def test_vmap_of_outputs_and_gradients(dims: tuple[int | None, ...]) -> None:
    """Examples, networks, or both: ensembles, and a gradient for each sample."""
    arguments = mapped_arguments(dims)
    for of in (lambda layer: layer, lambda layer: grad(cubes(layer), argnums=EVERY)):
        got, right = (vmap(of(layer), dims)(*arguments) for layer in (elman, step_by_step))
        torch.testing.assert_close(got, right, rtol=1e-11, atol=1e-12)


def test_vmap_in_vmap() -> None:
    x, U, W, h_0 = tensors(3, 2, 2, 4)
    several_x, several_U, several_W = (torch.stack([t, 2 * t, -t]) for t in (x, U, W))
    got, right = (
        vmap(vmap(grad(cubes(layer), argnums=EVERY), (0, None, None, None)), (None, 0, 0, None))(
            several_x, several_U, several_W, h_0
        )
        for layer in (elman, step_by_step)
    )
    torch.testing.assert_close(got, right, rtol=1e-11, atol=1e-12)


@pytest.mark.unannotated
@uses_torch_script
@pytest.mark.parametrize("backend", ["aot_eager", pytest.param("inductor", marks=needs_compiler)])
def test_compile_whatever_the_number_of_steps(backend: str) -> None:
    operations = []
    for time in (2, 40):
        torch._dynamo.reset()
        params, x, targets, _ = problem(time, time, 2, 2, 4, 1)
        model = FusedElmanRNN.from_params(params)
        explained = torch._dynamo.explain(model)(torch.tensor(x))
        assert explained.graph_break_count == 0
        operations.append(explained.op_count)
        outputs, _ = torch.compile(model, backend=backend, fullgraph=True)(torch.tensor(x))
        squared_error(outputs, torch.tensor(targets)).backward()
        gradient = Params(*(numpy_array(p.grad) for p in (model.U, model.W, model.V)))
        by_hand = bptt(params, forward(params, x)[1], targets)
        assert_gradients(gradient, by_hand, bounds(params, x, targets).params)
    assert operations[0] == operations[1]


@pytest.mark.unannotated
@uses_torch_script
def test_compile_per_sample_gradients() -> None:
    dims = (0, None, None, None)
    arguments = mapped_arguments(dims)
    per_sample = vmap(grad(cubes(elman), argnums=(1, 2)), dims)
    right = vmap(grad(cubes(step_by_step), argnums=(1, 2)), dims)(*arguments)
    got = torch.compile(per_sample, backend="aot_eager", fullgraph=True)(*arguments)
    torch.testing.assert_close(got, right, rtol=1e-11, atol=1e-12)


def test_the_operators_are_well_behaved() -> None:
    from rnn_torch import operators

    leaves = [t.requires_grad_() for t in tensors(3, 2, 2, 4)]
    torch.library.opcheck(operators.elman, tuple(leaves))
    states = elman(*leaves).detach()
    plain = [t.detach() for t in leaves]
    torch.library.opcheck(operators.elman_backward, (*plain, states, states.clone()))


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
    """Rounded to the dtype, as float32."""
    return torch.tensor(array).to(dtype).float().numpy()


def test_any_device() -> None:
    """The meta device knows shapes alone, so any tensor made on another device would be found."""
    leaves = [t.to("meta").requires_grad_() for t in tensors(3, 2, 2, 4)]
    states = elman(*leaves)
    gradients = torch.autograd.grad(states.sum(), leaves)
    assert {t.device.type for t in (states, *gradients)} == {"meta"}
    assert [g.shape for g in gradients] == [t.shape for t in leaves]


@pytest.mark.parametrize("size", [(8, 1, 16), (20, 33, 64), (6, 64, 256)])
def test_bitwise_the_same_every_time(size: tuple[int, int, int]) -> None:
    time, batch, hidden = size
    leaves = [t.requires_grad_() for t in tensors(time, batch, hidden, hidden, torch.float32)]
    first: list[Tensor] | None = None
    for _ in range(5):
        states = elman(*leaves)
        found = [states, *torch.autograd.grad(states.sum(), leaves)]
        if first is None:
            first = found
        assert all(torch.equal(one, other) for one, other in zip(found, first, strict=True))


@given(
    problem=generated,
    every=st.integers(1, 12),
    checkpoints=st.booleans(),
    from_zero=st.booleans(),
)
def test_outputs_in_segments(
    problem: Problem, every: int, checkpoints: bool, from_zero: bool
) -> None:
    params, x, targets, h_0 = problem
    start = None if from_zero else h_0
    model = FusedElmanRNN.from_params(params)
    state = None if start is None else torch.tensor(start)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fused, "SEGMENT", every)
        outputs, last = model.outputs(
            torch.tensor(x), state, checkpoint_every=every if checkpoints else None
        )
    torch.autograd.backward(squared_error(outputs, torch.tensor(targets)))
    expected, trace = forward(params, x, start)
    allowed = bounds(params, x, targets, h_0=start)
    gradient = Params(*(numpy_array(p.grad) for p in (model.U, model.W, model.V)))
    assert_gradients(gradient, bptt(params, trace, targets), allowed.params)
    got = {"outputs": numpy_array(outputs), "last": numpy_array(last)}
    bound = {"outputs": allowed.outputs, "last": allowed.states[-1]}
    assert_within(got, {"outputs": expected, "last": trace.states[-1]}, bound)


def test_ten_thousand_steps_with_checkpoints() -> None:
    drawn = problem(0, 10_000, 1, 2, 8, 1, scale=0.5)
    model = FusedElmanRNN.from_params(drawn.params)
    outputs, _ = model.outputs(torch.tensor(drawn.x), checkpoint_every=100)
    squared_error(outputs, torch.tensor(drawn.targets)).backward()
    gradient = Params(*(numpy_array(p.grad) for p in (model.U, model.W, model.V)))
    plain = autograd_gradient(ElmanRNN.from_params(drawn.params), drawn.x, drawn.targets)
    allowed = bounds(drawn.params, drawn.x, drawn.targets).params
    assert_gradients(gradient, plain, allowed)
    for bound, entry in zip(allowed, plain, strict=True):
        assert (bound < 1e-9 * np.abs(entry).max()).all()


def test_checkpoints_twice_differentiated() -> None:
    params, x, _, _ = problem(0, 5, 2, 2, 3, 1)
    seconds = []
    for model in (FusedElmanRNN.from_params(params), ElmanRNN.from_params(params)):
        x_leaf = torch.tensor(x, requires_grad=True)
        if isinstance(model, FusedElmanRNN):
            outputs, _ = model.outputs(x_leaf, checkpoint_every=2)
        else:
            outputs, _ = model(x_leaf)
        (slope,) = torch.autograd.grad((outputs**2).sum(), x_leaf, create_graph=True)
        seconds.append(torch.autograd.grad((slope**2).sum(), [x_leaf, model.W, model.V]))
    torch.testing.assert_close(seconds[0], seconds[1], rtol=1e-11, atol=1e-12)


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
    with pytest.raises(ValueError, match="checkpoint_every must be at least 1, got 0"):
        model.outputs(x, checkpoint_every=0)
    with pytest.raises(TypeError, match=r"checkpoint_every must be an integer, got 2\.5"):
        model.outputs(x, checkpoint_every=2.5)  # type: ignore[arg-type]
