"""What other gradient checkers say of the planted mistakes: caught, located, named.

Each mistake of tests/passes/planted.py is put to each tool as a user would, at one set of sizes in
float64 (ours chooses its own problems):

- `torch.autograd.gradcheck` at its defaults: eps 1e-6, atol 1e-5, rtol 1e-3, every entry;
- the test of a vjp by one random direction, as `jax.test_util.check_vjp` makes it: a central
  difference with eps 1e-4, rtol and atol 1e-5, JAX's default in float64;
- the same with rtol 1e-2 and atol 1e-4, as in many hand-written tests.

A mistake is located if what the tool blames is where the mistake lies: gradcheck blames one
argument; ours a gate or an argument, or, for what lies in no single one of them (a path through a
state, the loss, the forward pass), the first loss and state step. It is named if the tool says
which mistake it is, which the other tools do not try; ours also by "approximate" and "not pure".

    python -m benchmarks.trust.judge_others [--ours]
"""

import argparse
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.autograd.gradcheck import GradcheckError

from benchmarks.harness import keep
from bptt_check.judge.any_network import AnyNetwork
from bptt_check.judge.candidate import in_this_process
from bptt_check.judge.examine import examine
from rnn_torch.networks import designed, stock
from tests.passes import textbook
from tests.passes.planted import KNOWN, PAIRS, PLANTED, STRANGE, Planted, made
from tests.passes.stock_problems import answer

SIZES = {"time": 4, "batch": 2, "n_in": 3, "hidden": 5, "n_out": 4}
EPS = 1e-4
#: Where a mistake lies that is in no single gate or argument: the step is what can be said.
STEPS = ("h", "c", "gates", "loss", "time", "forward", "all")
Arrays = dict[str, np.ndarray]
Backward = Callable[..., Mapping[str, Any]]


class Verdict(NamedTuple):
    """`blamed` is where the tool says that it is, `names` the mistakes that it names."""

    caught: bool
    blamed: str = ""
    names: tuple[str, ...] = ()


class Forward:
    """A network at a problem that a user would take; its losses are kept: all passes share them."""

    def __init__(self, name: str) -> None:
        self.network = stock(name)
        self.problem = designed(self.network, fixed=SIZES)[0]
        self.point = {n: self.problem.values[n] for n in self.network.differentiated}
        self.known: dict[bytes, float] = {}
        self.subject = AnyNetwork(self.network)

    def loss(self, point: Arrays) -> float:
        """The sum of the losses of all steps, where the float arguments are these."""
        key = b"".join(value.tobytes() for value in point.values())
        if key not in self.known:
            with torch.no_grad():
                given = self.network.tensors({**self.problem.values, **point})
                self.known[key] = float(torch.stack(list(self.network.losses(given))).sum())
        return self.known[key]

    def arrays(self, tensors: Sequence[torch.Tensor]) -> Arrays:
        """The float arguments by name."""
        return {n: t.numpy(force=True) for n, t in zip(self.point, tensors, strict=True)}

    def gradients(self, backward: Backward, point: Arrays) -> Arrays:
        """What a backward pass gives there."""
        return answer(backward, self.problem._replace(values={**self.problem.values, **point}))


Ask = Callable[[Backward, Forward], Verdict]


def main() -> None:
    """Ask them all, print and keep a row for each group of mistakes and tool."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--ours", action="store_true", help="ask rnn_torch.check, too")
    tools: dict[str, Ask] = {
        "torch gradcheck": by_gradcheck,
        "numerical vjp, 1e-5": numerical_vjp(rtol=1e-5, atol=1e-5),
        "numerical vjp, 1e-2": numerical_vjp(rtol=1e-2, atol=1e-4),
    }
    if parser.parse_args().ours:
        tools["rnn_torch.check"] = ours
    groups: dict[str, list[tuple[Planted, ...]]] = {
        "one mistake": [(one,) for one in PLANTED if one not in KNOWN],
        "two at once": PAIRS,
        "in no catalogue": [(one,) for one in STRANGE],
    }
    found: dict[str, Any] = {tool: {} for tool in tools}
    for name in ("tanh", "gru", "lstm"):
        forward = Forward(name)
        for tool, ask in tools.items():
            refused = int(ask(getattr(textbook, name), forward).caught)
            rows = {
                group: asked(ask, forward, [k for k in mistakes if k[0].network == name])
                for group, mistakes in groups.items()
            }
            found[tool][name] = {"right passes refused": refused, **rows}
            print(f"{name}, {tool}: {found[tool][name]}", flush=True)
    keep("judge_others", {"sizes": SIZES, "tools": found})


def asked(ask: Ask, forward: Forward, mistakes: Sequence[tuple[Planted, ...]]) -> dict[str, int]:
    """How many of them are caught, located and named."""
    said = [(planted, ask(made(*planted), forward)) for planted in mistakes]
    return {
        "asked": len(said),
        "caught": sum(verdict.caught for _, verdict in said),
        "located": sum(is_located(planted, verdict.blamed) for planted, verdict in said),
        "named": sum(bool(verdict.names) for _, verdict in said),
    }


def is_located(planted: Sequence[Planted], blamed: str) -> bool:
    """Whether one of the places where it lies is a word of what is blamed."""
    return not {one.where for one in planted}.isdisjoint(re.findall(r"\w+", blamed))


def by_gradcheck(backward: Backward, forward: Forward) -> Verdict:
    """What `torch.autograd.gradcheck` says, the pass being a custom function's backward."""

    class Loss(torch.autograd.Function):
        @staticmethod
        def forward(context: Any, *given: torch.Tensor) -> torch.Tensor:
            context.save_for_backward(*given)
            return given[0].new_tensor(forward.loss(forward.arrays(given)))

        @staticmethod
        def backward(context: Any, upstream: torch.Tensor) -> Any:
            gradients = forward.gradients(backward, forward.arrays(context.saved_tensors))
            return tuple(upstream * torch.as_tensor(gradients[name]) for name in forward.point)

    given = [torch.tensor(value, requires_grad=True) for value in forward.point.values()]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.autograd.gradcheck(Loss.apply, given)
    except GradcheckError as error:
        blamed = re.search(r"with respect to input (\d+)", str(error))
        return Verdict(True, f"d{[*forward.point][int(blamed[1])]}" if blamed else "")
    return Verdict(False)


def numerical_vjp(rtol: float, atol: float) -> Ask:
    """One random direction: its product with the gradient against a central difference."""

    def ask(backward: Backward, forward: Forward) -> Verdict:
        point, rng = forward.point, np.random.RandomState(0)
        tangent = {name: rng.randn(*value.shape) for name, value in point.items()}
        above, below = (
            forward.loss({name: point[name] + step * tangent[name] for name in point})
            for step in (EPS, -EPS)
        )
        cotangent = rng.randn()
        expected = cotangent * (above - below) / (2 * EPS)
        gradients = forward.gradients(backward, point)
        got = cotangent * sum(float(np.vdot(gradients[n], tangent[n])) for n in point)
        return Verdict(not abs(got - expected) <= atol + rtol * abs(expected))

    return ask


def ours(backward: Backward, forward: Forward) -> Verdict:
    """What `rnn_torch.check` says; it poses its own problems."""
    with np.errstate(all="ignore"):
        ask = in_this_process(backward, forward.subject)
        report = examine(ask, forward.subject)
    blamed = ""
    if report.where is not None and report.where.wrong:
        blamed = f"{report.where.words} {report.where.wrong} {' '.join(STEPS)}"
    names = [*report.impure, *(mistake.name for mistake in report.mistakes or ())]
    if report.verdict == "approximate":
        names.append("only approximate")
    return Verdict(not report.right, blamed, tuple(names))


if __name__ == "__main__":
    main()
