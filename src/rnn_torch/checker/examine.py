"""Examine a backward pass: verdict, worst entries, where in time, which mistake, votes.

Only this module knows the order of these steps. The `Subject` describes the network.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from rnn_torch.checker.comparison import (
    Entry,
    agrees,
    constant_factors,
    is_approximate,
    worst_entries,
)
from rnn_torch.checker.own_lines import OwnLines, Source, own_lines
from rnn_torch.checker.purity import answered, impurities, kept_between_calls
from rnn_torch.checker.report import Report, Verdict
from rnn_torch.checker.subject import Ask, Asked, CannotCheck, Explanation, NotFinite, Subject

_FEW = 3  # problems; wrong at no more than these, the mistake depends on a condition


def examine(
    ask: Ask,
    subject: Subject,
    *,
    dtype: str = "float64",
    seed: int = 0,
    name: str = "backward",
    source: Source | None = None,
) -> Report:
    """Decide whether a backward pass is right; if not, find the time step and name the mistake.

    Args:
        ask: the backward pass; `Candidate` or `in_this_process`.
        subject: the network that it must differentiate.
        dtype: dtype of the problems.
        seed: seed of the random problems, which follow the designed ones.
        name: name of the backward pass in the report.
        source: its source, if there is one.

    Raises:
        CannotCheck: the backward pass gives no answer that can be judged.
    """
    asked: list[Asked] = []
    not_finite = None
    for question in subject.problems(dtype, seed):
        try:
            answer = answered(ask, question, subject)
        except NotFinite as error:
            not_finite = not_finite or error
        else:
            asked.append(Asked(question, answer, subject.reference(question)))
            if answer.gradients.keys() != asked[0].answer.gradients.keys():
                first, here = (sorted(a.answer.gradients) for a in (asked[0], asked[-1]))
                raise CannotCheck(
                    f"it must return the same gradients for every problem, got {', '.join(first)} "
                    f"at {asked[0].problem.name!r} and {', '.join(here)} at {question.name!r}"
                )
    wrong = [a for a in asked if not agrees(a.answer.gradients, a.right)]
    if not_finite is not None and not wrong:  # a pass that is wrong elsewhere may also overflow
        raise not_finite
    impure = impurities(asked)
    if not wrong and not impure:
        impure = kept_between_calls(ask, subject, dtype)
    entries = [worst_entries(a.answer.gradients, a.right, a.problem.name) for a in asked]
    worst = tuple(max(column, key=lambda e: e.fraction) for column in zip(*entries, strict=True))
    common: dict[str, Any] = {
        "dtype": dtype,
        "window": subject.window,
        "problems": len(asked),
        "used": max(entry.fraction for entry in worst),
        "worst": worst,
        "by_problem": tuple(map(tuple, entries)),
        "name": name,
        "missing": tuple(f"d{n}" for n in subject.form.gradients if f"d{n}" not in _names(worst)),
        "loss": subject.losses(asked),
        "measured": next((m for a in asked if (m := getattr(a.right, "measured", ""))), ""),
    }
    if not wrong and not impure:
        return Report("agrees", blind=tuple(subject.blind(asked)), **common)

    few = min(_FEW, len(asked) - 1)
    named = subject.names(asked)
    mistakes = None if named is None else tuple(named)
    factors = tuple(constant_factors(asked, [subject.sizes(a.problem) for a in asked]))
    verdict: Verdict = "disagrees"
    if not wrong:
        verdict = "impure"
    elif not mistakes and not factors and is_approximate(asked):
        verdict = "approximate"
    where, not_located = None, ""
    if wrong:
        try:
            where = subject.locate(ask, dtype)
        except CannotCheck as error:  # the verdict stands; only the location is missing
            not_located = str(error)
    return Report(
        verdict,
        factors=factors,
        only_at=tuple(a.problem.name for a in wrong) if len(wrong) <= few else (),
        where=where,
        not_located=not_located,
        mistakes=mistakes,
        lines=tuple(_lines(source, subject, worst, mistakes or ()))
        if verdict == "disagrees"
        else (),
        votes=tuple(subject.votes(wrong)) if wrong and subject.window is None else (),
        impure=impure,
        **common,
    )


def _lines(
    source: Source | None, subject: Subject, worst: Sequence[Entry], named: Sequence[Explanation]
) -> Iterator[OwnLines]:
    """The lines that lead to the wrong gradients; of two mistakes, to those that each changes."""
    wrong = {entry.name for entry in worst if not entry.right}
    pair = named[0].mistakes if named and len(named[0].mistakes) > 1 else ()
    for changed in [wrong.intersection(mistake.gradients) for mistake in pair] or [wrong]:
        ours = [n for n in subject.form.gradients if f"d{n}" in changed]
        others = [n for n in subject.form.gradients if f"d{n}" in _names(worst) - changed]
        if source is not None and (found := own_lines(source, subject.form, ours, others)):
            yield found


def _names(entries: Sequence[Entry]) -> set[str]:
    return {entry.name for entry in entries}
