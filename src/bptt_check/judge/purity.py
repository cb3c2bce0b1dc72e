"""Whether a backward pass is a pure function: its answer does not depend on earlier calls."""

from collections.abc import Sequence
from itertools import chain

import numpy as np

from bptt_check.judge.any_network import AnyNetwork
from bptt_check.judge.asking import Ask, Asked, CannotCheck, Expected, Gradients
from bptt_check.judge.comparison import agrees


def impurities(asked: Sequence[Asked]) -> tuple[str, ...]:
    """The side effects observed in the calls, without repetitions."""
    found = dict.fromkeys(chain.from_iterable(a.answer.impure for a in asked))
    if all(_same(a.answer.gradients, a.answer.second) for a in asked):
        return tuple(found)
    doubled = all(
        agrees(
            {n: s - a.answer.gradients[n] for n, s in a.answer.second.items()},
            Expected(a.answer.gradients, {n: 2 * b for n, b in a.right.bounds.items()}),
        )
        for a in asked
    )
    cause = "so it keeps state between calls or draws random numbers"
    if doubled:
        cause = "twice the first: gradients are accumulated from call to call"
    return (*found, f"a second call with the same inputs returns a different gradient, {cause}")


def kept_between_calls(ask: Ask, subject: AnyNetwork, dtype: str) -> tuple[str, ...]:
    """A sentence if an answer depends on earlier calls in the same process, else an empty tuple.

    Raises:
        CannotCheck: a problem asked alone gets no answer.
    """
    for *earlier, problem in subject.in_turn(dtype):
        separate = ask(problem)
        expected = Expected(separate.gradients, subject.reference(problem).bounds)
        try:
            answer = ask(problem, *earlier)
        except CannotCheck as error:
            outcome = str(error)
        else:
            in_place = agrees(answer.gradients, expected)
            if in_place and agrees(answer.second, expected):
                continue
            where = ", in the arrays of the call before, changed in place," * in_place
            outcome = f"the last answer{where} differs from the answer to that problem alone"
        names = ", ".join(p.name for p in (*earlier, problem))
        return (f"state is kept between calls: asked {names} in one process, {outcome}",)
    return ()


def _same(first: Gradients, second: Gradients) -> bool:
    return all(np.array_equal(array, second[name], equal_nan=True) for name, array in first.items())
