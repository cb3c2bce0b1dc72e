"""What other gradient checkers see of the catalogued mistakes, at their own default tolerances.

Each planted mistake becomes the backward of a custom function for `torch.autograd.gradcheck`, and
the vjp of a function for `jax.test_util.check_vjp`, where JAX is installed. All of them are asked
one problem at a time, which is how they are used; `rnn_torch.check` asks its own.
"""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from benchmarks.harness import keep
from bptt_check.judge.candidate import in_this_process
from bptt_check.judge.comparison import agrees
from bptt_check.networks import Problem
from bptt_check.subjects import subject_for
from rnn_numpy.elman_network.textbook import Backward, textbook
from tests.helpers.problems import drawn
from tests.passes.elman_mistakes import CATALOGUE, planted

RECIPE = (8, 1, 2, 16, 1)  # time, batch, n_in, hidden, n_out
PROBLEMS = {
    "the recipe's sizes, weights of 1": drawn(0, RECIPE),
    "the same, weights of 0.1": drawn(0, RECIPE, scale=0.1),
    "the same in float32": drawn(0, RECIPE, dtype="float32"),
    "sixty steps, weights of 0.1": drawn(0, (60, 1, 2, 4, 1), scale=0.1),
    "three steps, four units": drawn(0, (3, 1, 2, 4, 1)),
    "one step": drawn(0, (1, 1, 2, 4, 1)),
}
Sees = Callable[[Backward, Problem], bool]


def main() -> None:
    """Ask them all; keep how many mistakes each one sees, and whether it accepts what is right."""
    checkers: dict[str, Sees] = {"this project": by_bound, "torch gradcheck": by_gradcheck}
    if by_jax is not None:
        checkers["jax check_vjp"] = by_jax
    rows: dict[str, Any] = {}
    for name, asked in PROBLEMS.items():
        rows[name] = {}
        for checker, sees in checkers.items():
            seen = sum(sees(planted(mistake), asked) for mistake in CATALOGUE)
            rows[name][checker] = {"seen": seen, "accepts right": not sees(textbook, asked)}
        print(name, rows[name], flush=True)
    keep("others", {"mistakes": len(CATALOGUE), "problems": rows})


def by_bound(backward: Backward, asked: Problem) -> bool:
    """Whether this project rejects this backward pass, on this problem alone."""
    with np.errstate(all="ignore"):
        answer = in_this_process(backward, subject_for())(asked)
    right = subject_for().reference(asked)
    return not (agrees(answer.gradients, right) and agrees(answer.second, right))


def weights_of(asked: Problem) -> tuple[Any, ...]:
    """U, W, V."""
    return tuple(asked.values[name] for name in "UWV")


def loss(asked: Problem, weights: Any, library: Any, sigmoid: Any) -> Any:
    """(1)-(4), in torch or JAX."""
    U, W, V = weights
    h = library.zeros((asked.sizes["batch"], asked.sizes["hidden"]), dtype=U.dtype)
    total = 0.0
    for x_t, y_t in zip(asked.values["x"], asked.values["y"], strict=True):
        h = sigmoid(library.asarray(x_t) @ U + h @ W)
        total = total + ((sigmoid(h @ V) - library.asarray(y_t)) ** 2).sum() / 2
    return total


def by_gradcheck(backward: Backward, asked: Problem) -> bool:
    """Whether `torch.autograd.gradcheck` rejects this backward pass."""

    class Loss(torch.autograd.Function):
        @staticmethod
        def forward(context: Any, *weights: torch.Tensor) -> torch.Tensor:
            context.save_for_backward(*weights)
            return loss(asked, weights, torch, torch.sigmoid)

        @staticmethod
        def backward(context: Any, upstream: torch.Tensor) -> Any:
            weights = [w.numpy() for w in context.saved_tensors]
            gradients = backward(asked.values["x"], asked.values["y"], *weights)
            return tuple(upstream * torch.as_tensor(np.array(g)) for g in gradients)

    weights = [torch.tensor(w, requires_grad=True) for w in weights_of(asked)]
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that float32 is too narrow for it, which is the point
        return not torch.autograd.gradcheck(Loss.apply, weights, raise_exception=False)


def by_jax_vjp(backward: Backward, asked: Problem) -> bool:
    """Whether `jax.test_util.check_vjp` rejects it, at the tolerance that `check_grads` takes."""
    import jax
    from jax.test_util import check_vjp

    jax.config.update("jax_enable_x64", True)

    def value(*weights: Any) -> Any:
        return loss(asked, weights, jax.numpy, jax.nn.sigmoid)

    def value_and_vjp(*weights: Any) -> Any:
        arrays = [np.array(w) for w in weights]
        gradients = [np.array(g) for g in backward(asked.values["x"], asked.values["y"], *arrays)]
        return value(*weights), lambda upstream: tuple(upstream * g for g in gradients)

    try:
        with np.errstate(all="ignore"):
            check_vjp(value, value_and_vjp, weights_of(asked))
    except AssertionError:
        return True
    return False


try:
    with warnings.catch_warnings():
        import jax  # noqa: F401
except ModuleNotFoundError:
    by_jax: Sees | None = None
else:
    by_jax = by_jax_vjp

if __name__ == "__main__":
    main()
