"""Examine a backward pass: verdict, worst entries, where in time, which mistake, votes."""

from dataclasses import dataclass
from itertools import chain
from typing import Any, Literal

import numpy as np

from rnn_numpy.elman_network.checks import finite
from rnn_numpy.elman_network.mistakes import Mistake
from rnn_numpy.elman_network.params import Params
from rnn_torch.checker.candidate import Answer, Ask, CannotCheck, NotFinite
from rnn_torch.checker.diagnose import Asked, constant_factors, is_approximate, name_mistakes
from rnn_torch.checker.locate import Where, locate
from rnn_torch.checker.parity import Entry, Reference, agrees, fractions, reference, worst_entries
from rnn_torch.checker.problems import Problem, Shapes, designed, in_turn, random
from rnn_torch.checker.votes import Vote, votes

_RANDOM_PROBLEMS = 12
_FEW = 3  # problems: a mistake of one condition
_LARGEST_VOTE = 512  # weights: the oracles' cost grows with their square

Verdict = Literal["agrees", "disagrees", "approximate", "impure"]


@dataclass(frozen=True)
class Report:
    """What was found out about a backward pass."""

    verdict: Verdict
    dtype: str
    window: int | None
    problems: int
    used: float  # the worst entry of all, as a fraction of what rounding allows
    worst: tuple[Entry, ...] = ()  # one for each of dU, dW, dV
    factors: tuple[str, ...] = ()
    only_at: tuple[str, ...] = ()  # the problems at which it is wrong, if they are few
    where: Where | None = None
    mistakes: tuple[tuple[Mistake, ...], ...] | None = ()  # None: the catalogue was not asked
    votes: tuple[Vote, ...] = ()
    impure: tuple[str, ...] = ()
    not_located: str = ""  # why `where` is missing from a report of a wrong pass

    @property
    def right(self) -> bool:
        """Whether it agrees with autograd, in every respect."""
        return self.verdict == "agrees"

    def as_dict(self) -> dict[str, Any]:
        """Everything in it, as JSON can hold it."""
        return {
            "verdict": self.verdict,
            "dtype": self.dtype,
            "window": self.window,
            "problems": self.problems,
            "fraction_of_what_rounding_allows": finite(self.used),
            "worst": [
                {
                    **{key: finite(value) for key, value in entry._asdict().items()},
                    "absolute_error": finite(entry.error),
                    "relative_error": finite(entry.relative),
                }
                for entry in self.worst
            ],
            "factors": list(self.factors),
            "wrong_only_at": list(self.only_at),
            "where": self.where
            and {
                "words": self.where.words(),
                **{
                    part: [[finite(float(v)) for v in row] for row in np.atleast_2d(matrix)]
                    for part, matrix in (
                        ("states", self.where.states),
                        ("dW", self.where.dW),
                        ("dV", self.where.dV),
                    )
                },
            },
            "not_located": self.not_located,
            "mistakes": None
            if self.mistakes is None
            else [
                [{"name": m.name, "equation": m.equation, "remedy": m.remedy} for m in together]
                for together in self.mistakes
            ],
            "votes": [vote._asdict() for vote in self.votes],
            "impure": list(self.impure),
        }


def examine(
    ask: Ask,
    *,
    dtype: str = "float64",
    window: int | None = None,
    shapes: Shapes | None = None,
    seed: int = 0,
) -> Report:
    """Find out whether a backward pass is right; if not, where in time, and which mistake it makes.

    Args:
        ask: the backward pass; `Candidate` or `in_this_process`.
        window: compare with BPTT truncated to this many steps back.
        shapes: the sizes it takes; any if left out.
        seed: of the random problems that come after the designed ones.

    Raises:
        CannotCheck: it gave no answer that could be judged.
    """
    shapes = shapes or Shapes()
    questions = [
        *designed(shapes, dtype, window), *random(shapes, dtype, seed, _RANDOM_PROBLEMS)
    ]  # fmt: skip
    if window is not None and not any(_shows(window, q) for q in questions):
        raise CannotCheck(
            f"no problem tells a window of {window} steps from no window at all"
            + (f": none has more than {shapes.only.time} steps" if shapes.only else f" in {dtype}")
        )
    asked, not_finite = [], None
    for question in questions:
        try:
            asked.append(
                Asked(question, _answer(ask, question, shapes), reference(question, window))
            )
        except NotFinite as error:
            not_finite = not_finite or error
    wrong = [a for a in asked if not agrees(a.answer.gradient, a.right)]
    if not_finite is not None and not wrong:  # a wrong pass may overflow, too, and is wrong
        raise not_finite
    impure = _impurities(asked)
    if not wrong and not impure:
        impure = kept_between_calls(ask, shapes, dtype, window)
    entries = [worst_entries(a.answer, a.right, a.problem) for a in asked]
    worst = tuple(max(column, key=lambda e: e.fraction) for column in zip(*entries, strict=True))
    used = max(entry.fraction for entry in worst)
    common: dict[str, Any] = {
        "dtype": dtype,
        "window": window,
        "problems": len(asked),
        "used": used,
    }
    if not wrong and not impure:
        return Report("agrees", worst=worst, **common)

    mistakes = tuple(name_mistakes(asked))
    verdict: Verdict = "disagrees"
    if not wrong:
        verdict = "impure"
    elif not mistakes and is_approximate(asked):
        verdict = "approximate"
    where, not_located = None, ""
    if wrong:
        try:
            where = locate(ask, shapes, dtype, window)
        except CannotCheck as error:  # it is wrong all the same
            not_located = str(error)
    return Report(
        verdict,
        worst=worst,
        factors=tuple(constant_factors(asked)),
        only_at=tuple(a.problem.name for a in wrong) if len(wrong) <= _FEW else (),
        where=where,
        not_located=not_located,
        mistakes=mistakes,
        votes=tuple(_votes(wrong)) if wrong and window is None else (),
        impure=impure,
        **common,
    )


def _answer(ask: Ask, problem: Problem, shapes: Shapes) -> Answer:
    try:
        return ask(problem)
    except CannotCheck as error:
        sizes = ", ".join(f"{name}={size}" for name, size in problem.sizes._asdict().items())
        message = f"{error}; asked the problem {problem.name!r} ({sizes})"
        if shapes.only is None:
            message += (
                ". If it knows one size only, give that: --shapes recipe (x (8, 2), y (8, 1), no "
                "batch axis, 16 hidden units) or --shapes time,batch,n_in,hidden,n_out"
            )
        raise type(error)(message) from None


def _impurities(asked: list[Asked]) -> tuple[str, ...]:
    """What was seen of the calls themselves, each once."""
    parts: dict[str, dict[str, None]] = {}  # what was seen, and of which arrays in any problem
    for text in chain.from_iterable(a.answer.impure for a in asked):
        what, _, arrays = text.partition(": ")
        parts.setdefault(what, {}).update(dict.fromkeys(arrays.split(", ")))
    found = [": ".join(filter(None, (what, ", ".join(names)))) for what, names in parts.items()]
    if all(_same(a.answer.gradient, a.answer.second) for a in asked):
        return tuple(found)
    doubled = all(
        agrees(
            Params(*(s - f for f, s in zip(a.answer.gradient, a.answer.second, strict=True))), right
        )
        for a in asked
        for right in [Reference(a.answer.gradient, Params(*(2 * b for b in a.right.bound)))]
    )
    why = "something is kept from call to call, or drawn at random"
    if doubled:
        why = "twice the first: the gradients are added to those of the call before"
    return (*found, f"the second call with the same inputs gives another gradient, {why}")


def kept_between_calls(ask: Ask, shapes: Shapes, dtype: str, window: int | None) -> tuple[str, ...]:
    """A sentence if an answer depends on what the same process was asked before, else nothing.

    Raises:
        CannotCheck: it does not answer when it is asked alone.
    """
    for *before, problem in in_turn(shapes, dtype):
        alone, bound = _answer(ask, problem, shapes), reference(problem, window).bound
        expected = Reference(alone.gradient, bound)
        try:
            after = ask(problem, *before)
        except CannotCheck as error:
            what = str(error)
        else:
            if agrees(after.gradient, expected) and agrees(after.second, expected):
                continue
            what = "the last answer is not the one that it gives alone"
        names = ", ".join(one.name for one in (*before, problem))
        return (f"state is kept between calls: asked {names} in one process, {what}",)
    return ()


def _shows(window: int, problem: Problem) -> bool:
    """Whether the problem tells truncation to this window from the full gradient."""
    return len(problem.x) > window + 1 and not agrees(
        reference(problem).gradient, reference(problem, window)
    )


def _same(one: Params, other: Params) -> bool:
    return all(map(np.array_equal, one, other))


def _votes(wrong: list[Asked]) -> list[Vote]:
    """On the problem where it is furthest off, of those that are small enough for the oracles."""
    small = [a for a in wrong if sum(p.size for p in a.problem.params) <= _LARGEST_VOTE]
    if not small:
        return []
    worst = max(
        small, key=lambda a: max(float(f.max()) for f in fractions(a.answer.gradient, a.right))
    )
    return votes(worst.problem, worst.answer.gradient, worst.right)
