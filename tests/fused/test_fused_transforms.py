"""The layer as one operation under autograd, torch.func and torch.compile."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.func import grad, hessian, jacfwd, jacrev, vmap

from agreement import assert_gradients, numpy_array
from layers import Layer, step_by_step, tensors
from problems import problem
from profiles import NIGHTLY
from rnn_numpy import Params, bounds, bptt, forward
from rnn_torch import FusedElmanRNN, elman, squared_error
from torch_needs import needs_compiler, uses_torch_script

# inductor compiles C++ for 20 s; test_torch_model.py has it by day.
BACKENDS = ["aot_eager", *([pytest.param("inductor", marks=needs_compiler)] * NIGHTLY)]


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
@pytest.mark.parametrize("backend", BACKENDS)
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


# torch 2.14's own opcheck reads .grad of a tensor that is no leaf.
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
def test_the_operators_are_well_behaved() -> None:
    from rnn_torch.fused import custom_ops

    leaves = [t.requires_grad_() for t in tensors(3, 2, 2, 4)]
    torch.library.opcheck(custom_ops.elman, tuple(leaves))
    states = elman(*leaves).detach()
    plain = [t.detach() for t in leaves]
    torch.library.opcheck(custom_ops.elman_backward, (*plain, states, states.clone()))
