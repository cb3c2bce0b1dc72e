"""Examine a backward pass: verdict, worst entries, where in time, which mistake, votes.

The verdict comes first. Whatever fails after it is reported, and changes nothing in it. Only this
module knows the order of these steps. `AnyNetwork` describes the network.
"""

import traceback
from collections.abc import Iterator, KeysView, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from bptt_check.candidate.escaping import shown
from bptt_check.judge.any_network import AnyNetwork
from bptt_check.judge.asking import Ask, Asked, CannotCheck, Explanation
from bptt_check.judge.comparison import (
    UNTOLD,
    Entry,
    agrees,
    closeness,
    constant_factors,
    lost_digits,
    told,
    undecidable,
    worst_entries,
)
from bptt_check.judge.forward_passes import about_losses, about_outputs, about_states, meanings
from bptt_check.judge.purity import impurities, kept_between_calls
from bptt_check.judge.report import Condition, Report, Unanswered, Verdict, unanswered_at
from bptt_check.mending.lines import Leads, Mend, Mender, lines_that_mend
from bptt_check.naming import Asked as Trial

_FEW = 3  # problems; wrong at no more than these, the mistake depends on a condition
_OF_SIZES = {"shape", "ValueError", "IndexError", "AssertionError"}  # kinds of `CannotCheck`
_OF_FORM = {"", "shape"}

#: Whether a step that fails after the verdict raises. Tests do, since it is a mistake of ours.
raise_failures = False
#: Whether lines are changed to see which are wrong. Most tests do not: it takes seconds.
mends = True


def examine(
    ask: Ask,
    subject: AnyNetwork,
    *,
    dtype: str = "float64",
    seed: int = 0,
    name: str = "backward",
    mender: Mender | None = None,
) -> Report:
    """Decide whether a backward pass is right; if not, find the time step and name the mistake.

    Args:
        ask: the backward pass; `Candidate` or `in_this_process`.
        subject: the network that it must differentiate.
        dtype: dtype of the problems.
        seed: seed of the random problems, which follow the designed ones.
        name: name of the backward pass in the report.
        mender: the same pass, whose lines can be changed to see which of them are wrong.

    Raises:
        CannotCheck: the backward pass answers no problem.
    """
    found = _Answers(subject)
    found.ask_all(ask, dtype, seed)
    ask = found.only_gradients(ask)
    asked, wrong, failed = found.asked, found.wrong, found.failed
    unchecked, impure = found.reasons(), impurities(asked)
    if not wrong and not impure:
        try:
            impure = kept_between_calls(ask, subject, dtype)
        except CannotCheck as error:
            unchecked.append(f"whether it keeps state between calls is not checked: {error}")
    common = _common(found, dtype, name)
    if not wrong and not impure:
        with _attempted("listing what these sizes hide", failed):
            common["blind"] = tuple(subject.blind(asked))
        lost = tuple(lost_digits(asked, subject.network.outputs))
        verdict: Verdict = "loses digits" if lost else "agrees"
        verdict = "cannot tell" if unchecked else verdict
        undecided = tuple(unchecked)
        return Report(verdict, undecided=undecided, lost=lost, failed=tuple(failed), **common)
    finite = [a for a in asked if a.answer.is_finite]
    mistakes, common["not_named"] = _names(subject, finite, wrong, failed)
    factors = constant_factors(finite, [a.problem.sizes for a in finite])
    verdict = "impure"
    if wrong:
        common["close"] = None if mistakes or factors else closeness(asked)
        verdict = "approximate" if common["close"] else "disagrees"
        common |= _details(ask, subject, dtype, wrong, failed)
        few = min(_FEW, len(asked) - 1)
        common["only_at"] = tuple(a.problem.name for a in wrong) if len(wrong) <= few else ()
    if verdict == "disagrees":
        with _attempted("mending it", failed):
            common["mend"], common["leads"] = _lines(
                mender, subject, finite, dtype, seed, common["loss_is_right"]
            )
    common |= {"factors": tuple(factors), "mistakes": mistakes, "failed": tuple(failed)}
    return Report(verdict, impure=impure, **common)


@dataclass
class _Answers:
    """The answers to all problems of a subject, and the problems without one.

    What is cached is asked for after `ask_all`.
    """

    subject: AnyNetwork
    asked: list[Asked] = field(default_factory=list)
    unanswered: list[Unanswered] = field(default_factory=list)
    untold: list[tuple[str, str]] = field(default_factory=list)  # a problem, why it cannot tell
    posed: int = 0
    failed: list[str] = field(default_factory=list)  # the steps that failed

    def ask_all(self, ask: Ask, dtype: str, seed: int) -> None:
        """Ask every problem.

        Raises:
            CannotCheck: there is no answer, or none of the right form to the first problem; the
                message names the problem and a remedy.
            ValueError: the network fails at every problem.
        """
        first: Exception | None = None
        for question in self.subject.problems(dtype, seed):
            self.posed += 1
            sizes = dict(question.sizes)
            try:
                answer = ask(question)
                if self.asked and answer.gradients.keys() != self.names:
                    its, others = (
                        ", ".join(f"d{n}" for n in each) for each in (answer.gradients, self.names)
                    )
                    raise CannotCheck(f"it returns {its}, elsewhere {others}")
                right = self.subject.judged(question, answer)
            except CannotCheck as error:
                first = first or self._refused(error, question.name, sizes)
                if self.posed == 1 and error.kind in _OF_FORM:
                    raise first from None  # at other sizes it may fit by accident
                self.unanswered.append(Unanswered(question.name, sizes, str(error), error.kind))
                if error.ended:
                    break
            except (ValueError, NotImplementedError) as error:  # of the network
                first = first or error
                self.untold.append((question.name, f"the network fails: {error}"))
            else:
                self.asked.append(Asked(question, answer, right))
                if not told(right, answer.gradients):
                    self.untold.append((question.name, UNTOLD))
        if not self.asked:
            assert first is not None
            raise first
        self._set_states_apart()

    def _set_states_apart(self) -> None:
        """What stands in a gradient's place and has a state's value is one: `return *g, h`."""
        placed = []
        for a in self.asked:
            others = {n: a.answer.gradients[n] for n in a.answer.placed}
            placed.append(a._replace(answer=a.answer._replace(others=others)))
        states = self._told(placed) if all(a.answer.placed for a in self.asked) else {}
        names = [n for n in self.names if n not in states]
        for number, a in enumerate(self.asked if states else ()):
            others = {f"what stands for d{n}": a.answer.gradients[n] for n in states}
            answer = a.answer.only(names)._replace(others={**a.answer.others, **others})
            self.asked[number] = a._replace(answer=answer)

    def only_gradients(self, ask: Ask) -> Ask:
        """The same, without what has turned out to be no gradient."""
        return lambda *problems: ask(*problems).only(self.names)

    def _refused(self, error: CannotCheck, name: str, sizes: dict[str, int]) -> Exception:
        """The error to raise if no problem has an answer: the candidate's own, if it has one."""
        if error.__cause__ is not None:
            return error.__cause__ if isinstance(error.__cause__, Exception) else error
        at = ", ".join(f"{axis}={size}" for axis, size in sizes.items())
        advice = self.subject.advice() if error.kind in _OF_SIZES else ""
        return CannotCheck(f"{error}; asked the problem {name!r} ({at}){advice}")

    @property
    def names(self) -> KeysView[str]:
        """The inputs whose gradients it returns."""
        return self.asked[0].answer.gradients.keys()

    @cached_property
    def wrong(self) -> list[Asked]:
        """The answers that are not right to within rounding."""
        return [a for a in self.asked if not agrees(a.answer.compared, a.right)]

    @cached_property
    def conditions(self) -> tuple[Condition, ...]:
        """Sizes that explain all problems without an answer: no problem with one is answered."""
        answered = [a.problem.sizes for a in self.asked]
        if not all(each.kind for each in self.unanswered):
            return ()  # it gives no answer for another reason
        left, found = [each.sizes for each in self.unanswered], []
        while left:
            never = {
                (axis, size): sum(sizes[axis] == size for sizes in left)
                for each in left
                for axis, size in each.items()
                if all(sizes[axis] != size for sizes in answered)
            }
            if not never:
                return ()
            axis, size = max(never, key=lambda key: (never[key], -key[1]))
            found.append(Condition(axis, size, answered[0][axis]))
            left = [sizes for sizes in left if sizes[axis] != size]
        return tuple(found)

    @cached_property
    def unidentified(self) -> tuple[str, ...]:
        """The labels of what it returns that is neither a gradient nor the loss, nor known."""
        labels = dict.fromkeys(n for a in self.asked for n in (*a.answer.others, *a.answer.unnamed))
        return tuple(shown(label) for label in labels if label not in self.meanings)

    def reasons(self) -> list[str]:
        """Why the verdict cannot be "agrees", even if every answer is right."""
        found = []
        if labels := self.unidentified:
            remedy = "name it after the input whose gradient it is, or do not return it"
            found.append(f"it also returns {', '.join(labels)}, which is not identified: {remedy}")
        if self.unanswered:
            first, sizes = self.unanswered[0], self.conditions
            remedy = self.subject.advice() if first.kind in _OF_SIZES else ""
            if 0 < len(sizes) <= _FEW:
                shapes = ",".join(f"{each.axis}={each.answered}" for each in sizes)
                remedy = f"; --shapes {shapes} asks only what it answers"
            found.append(f"at {unanswered_at(self.unanswered, sizes)}: {first.why}{remedy}")
        names = self.names
        every = {n for a in self.asked for n in told(a.right, names)}
        if lost := [f"d{n}" for n in names if n not in every]:
            found.append(undecidable(lost))
        return found

    @cached_property
    def meanings(self) -> dict[str, str]:
        """What the returned arrays that are no gradients are, as far as their values show it."""
        return self._told(self.asked) if self.asked[0].answer.others else {}

    def _told(self, asked: list[Asked]) -> dict[str, str]:
        """The meanings of `Answer.others`; none if telling them fails."""
        with _attempted("telling what else it returns", self.failed):
            return meanings(self.subject.network, asked)
        return {}


def _shows(e: Entry) -> tuple[bool, float]:
    """Sorts by what shows more: of NaN the report says apart where it is."""
    return e.fraction > 1 and bool(np.isfinite(e.got)), e.fraction


def _common(found: _Answers, dtype: str, name: str) -> dict[str, Any]:
    """The fields of a report for any verdict."""
    asked, subject = found.asked, found.subject
    outputs = subject.network.outputs
    entries = [
        worst_entries(a.answer.compared, a.right, a.problem.name, dtype, outputs) for a in asked
    ]
    worst = tuple(max(column, key=_shows) for column in zip(*entries, strict=True))
    loss, loss_is_right, forward = "", None, ""
    with _attempted("comparing the losses", found.failed):
        loss, loss_is_right = about_losses(asked)
    with _attempted("comparing the states", found.failed):
        forward = (about_outputs if outputs else about_states)(subject.network, asked)
    return {
        "dtype": dtype,
        "window": subject.window,
        "cites_equations": subject.cites_equations,
        "problems": found.posed,
        "telling": len(asked) - sum(name in dict(found.untold) for name in _problems(asked)),
        "used": max(entry.fraction for entry in worst),
        "worst": worst,
        "by_problem": {each[0].problem: {e.name: e.fraction for e in each} for each in entries},
        "name": name,
        "missing": tuple(
            f"d{n}" for n in subject.form.gradients if f"d{n}" not in {e.name for e in worst}
        ),
        "also": tuple(f"{shown(label)} is {what}" for label, what in found.meanings.items()),
        "unidentified": found.unidentified,
        "set_globals": asked[0].answer.set_globals,
        "unanswered": tuple(found.unanswered),
        "conditions": found.conditions,
        "untold": tuple(found.untold),
        "not_finite": tuple(_problems(a for a in found.wrong if not a.answer.is_finite)),
        "loss": loss,
        "loss_is_right": loss_is_right,
        "forward": forward,
        "measured": next((m for a in asked if (m := getattr(a.right, "measured", ""))), ""),
        "approximate": next((m for a in asked if (m := getattr(a.right, "approximate", ""))), ""),
    }


def _names(
    subject: AnyNetwork, finite: Sequence[Asked], wrong: Sequence[Asked], failed: list[str]
) -> tuple[tuple[Explanation, ...] | None, str]:
    """The mistakes that explain the finite answers; if that is not determined, None, and why."""
    if wrong and all(agrees(a.answer.gradients, a.right) for a in finite):
        right = all(agrees(a.answer.gradients, a.right) for a in wrong)
        return None, "the gradients are right" if right else "every finite answer is right"
    with _attempted("naming the mistake", failed):
        found = subject.names(finite)
        windowed = "with a window, only other windows are tried: none gives these gradients"
        why = windowed if subject.window is not None else "this network cannot be traced"
        return (None, why) if found is None else (tuple(found), "")
    return None, "naming it failed"


def _details(
    ask: Ask, subject: AnyNetwork, dtype: str, wrong: Sequence[Asked], failed: list[str]
) -> dict[str, Any]:
    """Where in time a wrong pass is wrong, and what other methods say."""
    found: dict[str, Any] = {}
    with _attempted("finding the time step", failed):
        try:
            found["where"] = subject.locate(ask, dtype, wrong)
        except CannotCheck as error:
            found["not_located"] = str(error)
    finite = [a for a in wrong if a.answer.is_finite]
    with _attempted("asking other methods", failed):
        if finite and subject.window is None:
            found["votes"] = tuple(subject.votes(finite))
    return found


def _lines(
    mender: Mender | None,
    subject: AnyNetwork,
    finite: Sequence[Asked],
    dtype: str,
    seed: int,
    loss_is_right: bool | None,
) -> tuple[Mend | None, Leads | None]:
    """The lines to change, proved by this check of the pass with them; those that lead to it.

    Args:
        loss_is_right: whether the pass's own loss is right: one that is must stay so.
    """

    def is_right(ask: Ask) -> bool:
        found = examine(ask, subject, dtype=dtype, seed=seed)
        return found.right and bool(found.loss_is_right or not loss_is_right)

    if mender is None or not (finite and mends):
        return None, None
    trials = [Trial(a.problem, a.answer.gradients, a.right) for a in finite]
    truncated = subject.window is not None
    return lines_that_mend(mender, subject.catalogue, trials, is_right, truncated=truncated)


@contextmanager
def _attempted(step: str, failed: list[str]) -> Iterator[None]:
    """Add to `failed` that a step raises; the verdict is known, and stands."""
    try:
        yield
    except Exception as error:
        if raise_failures:
            raise
        place = traceback.extract_tb(error.__traceback__)[-1]
        at = f"{Path(place.filename).name}, line {place.lineno}"
        failed.append(shown(f"{step} failed: {type(error).__name__}: {error} ({at})"))


def _problems(asked: Any) -> list[str]:
    return [a.problem.name for a in asked]
