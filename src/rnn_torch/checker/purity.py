"""Whether a backward pass is a pure function: the same answer whatever it was asked before."""

from collections.abc import Sequence
from itertools import chain
from typing import NamedTuple

import numpy as np

from rnn_torch.checker.comparison import agrees
from rnn_torch.checker.subject import Answer, Ask, Asked, CannotCheck, Gradients, Subject


class Expected(NamedTuple):
    """An answer that another must equal, to within rounding."""

    gradients: Gradients
    bounds: Gradients


def answered(ask: Ask, problem: object, subject: Subject) -> Answer:
    """The answer to a problem.

    Raises:
        CannotCheck: as `Ask`; the message says which problem, and what may help.
    """
    try:
        return ask(problem)
    except CannotCheck as error:
        sizes = ", ".join(f"{name}={size}" for name, size in subject.sizes(problem).items())
        asked = f"asked the problem {getattr(problem, 'name', '')!r} ({sizes})"
        raise type(error)(f"{error}; {asked}{subject.advice()}") from None


def impurities(asked: Sequence[Asked]) -> tuple[str, ...]:
    """What was seen of the calls themselves, each once."""
    parts: dict[str, dict[str, None]] = {}  # what was seen, and of which arrays in any problem
    for text in chain.from_iterable(a.answer.impure for a in asked):
        what, _, arrays = text.partition(": ")
        parts.setdefault(what, {}).update(dict.fromkeys(arrays.split(", ")))
    found = [": ".join(filter(None, (what, ", ".join(names)))) for what, names in parts.items()]
    if all(_same(a.answer.gradients, a.answer.second) for a in asked):
        return tuple(found)
    doubled = all(
        agrees(
            {n: s - a.answer.gradients[n] for n, s in a.answer.second.items()},
            Expected(a.answer.gradients, {n: 2 * b for n, b in a.right.bounds.items()}),
        )
        for a in asked
    )
    why = "something is kept from call to call, or drawn at random"
    if doubled:
        why = "twice the first: the gradients are added to those of the call before"
    return (*found, f"the second call with the same inputs gives another gradient, {why}")


def kept_between_calls(ask: Ask, subject: Subject, dtype: str) -> tuple[str, ...]:
    """A sentence if an answer depends on what the same process was asked before, else nothing.

    Raises:
        CannotCheck: it does not answer when it is asked alone.
    """
    for *before, problem in subject.in_turn(dtype):
        alone = answered(ask, problem, subject)
        expected = Expected(alone.gradients, subject.reference(problem).bounds)
        try:
            after = ask(problem, *before)
        except CannotCheck as error:
            what = str(error)
        else:
            if agrees(after.gradients, expected) and agrees(after.second, expected):
                continue
            what = "the last answer is not the one that it gives alone"
        names = ", ".join(one.name for one in (*before, problem))
        return (f"state is kept between calls: asked {names} in one process, {what}",)
    return ()


def _same(one: Gradients, other: Gradients) -> bool:
    return all(np.array_equal(array, other[name]) for name, array in one.items())
