"""The verdict about the network as trained, as text and as JSON."""

from collections.abc import Iterator
from typing import Any

from rnn_numpy.proof.report import proved, refuted
from rnn_numpy.real_proof.verdict import GaveUp, Proved, RealVerdict, Refuted

EVALUATED = {"float64": "float64", "float32": "float32 or float64"}


def headline(verdict: RealVerdict) -> str:
    """The verdict in one line."""
    match verdict:
        case Proved():
            return proved(verdict.target, f"as trained, in {EVALUATED[verdict.dtype]}")
        case Refuted():
            return refuted(verdict.target, "as trained", verdict.example)
        case GaveUp():
            return f"gave up, as trained: {verdict.reason}"


def in_words(verdict: RealVerdict) -> Iterator[str]:
    """The verdict as lines of text."""
    yield headline(verdict)
    if isinstance(verdict, Proved):
        yield (
            f"{len(verdict.cover.q)} sets of states, closed under every input; h V stays "
            f"{verdict.margin:.2g} from 0 in each"
        )
    if isinstance(verdict, Refuted):
        yield "without any one of the steps of this sum no output is wrong"


def as_json(verdict: RealVerdict) -> dict[str, Any]:
    """The verdict as values that JSON can represent."""
    result: dict[str, Any] = {"status": verdict.status, "reason": "", "dtype": verdict.dtype}
    result |= {"sets": 0, "margin": 0.0, "target": verdict.target.name, "counterexample": None}
    match verdict:
        case Proved():
            return result | {"sets": len(verdict.cover.q), "margin": verdict.margin}
        case Refuted():
            return result | {"counterexample": verdict.example._asdict()}
        case GaveUp():
            return result | {"reason": str(verdict.reason), "sets": verdict.reason.sets}
