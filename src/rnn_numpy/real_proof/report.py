"""The verdict about the network as trained, as text and as JSON."""

from collections.abc import Iterator
from typing import Any

from rnn_numpy.elman_network.params import Params
from rnn_numpy.proof.machine import Example, run_example
from rnn_numpy.real_proof.cover import TooManySets, Uncertain
from rnn_numpy.real_proof.verdict import GaveUp, Proved, RealVerdict, Refuted

EVALUATED = {"float64": "float64", "float32": "float32 or float64"}


def replay(params: Params, refuted: Refuted) -> Example:
    """Run the network on the inputs of a refutation, until it has output every bit."""
    evaluated = Params(*(array.astype(refuted.dtype) for array in params))
    return run_example(evaluated, refuted.target, refuted.inputs)


def headline(params: Params, verdict: RealVerdict) -> str:
    """The verdict in one line."""
    text = verdict.target.text
    match verdict:
        case Proved():
            return (
                f"proved: {text.format('a', 'b')} is right for operands of every length, as "
                f"trained, in {EVALUATED[verdict.dtype]}"
            )
        case Refuted():
            example = replay(params, verdict)
            sum_ = f"{text.format(*example.operands)} = {example.right}"
            return f"refuted, as trained: {sum_}, the network says {example.said}"
        case GaveUp():
            return f"gave up, as trained: {reason_of(verdict)}"


def reason_of(verdict: GaveUp) -> str:
    """Why the search gave up."""
    match verdict.reason:
        case TooManySets(limit=limit):
            return f"more than {limit} sets"
        case Uncertain(sets, source, inputs, factor):
            *before, last = inputs.tolist()
            return (
                f"an output is not certain after inputs {' '.join(map(str, before))} and then "
                f"{last}, which lead on from set {source} of {sets}; this step multiplies errors "
                f"by at most {factor:.2f}"
            )
        case _:
            return "no metric was found: the weights are too large"


def in_words(params: Params, verdict: RealVerdict) -> Iterator[str]:
    """The verdict as lines of text."""
    yield headline(params, verdict)
    if isinstance(verdict, Proved):
        yield (
            f"{len(verdict.cover.q)} sets of states, closed under every input; h V stays "
            f"{verdict.margin:.2g} from 0 in each"
        )
    if isinstance(verdict, Refuted):
        yield "without any one of the steps of this sum no output is wrong"


def as_json(params: Params, verdict: RealVerdict) -> dict[str, Any]:
    """The verdict as values that JSON can represent."""
    result: dict[str, Any] = {"status": verdict.status, "reason": "", "dtype": verdict.dtype}
    result |= {"sets": 0, "margin": 0.0, "target": verdict.target.name, "counterexample": None}
    match verdict:
        case Proved():
            return result | {"sets": len(verdict.cover.q), "margin": verdict.margin}
        case Refuted():
            return result | {"counterexample": replay(params, verdict)._asdict()}
        case GaveUp():
            return result | {"reason": reason_of(verdict), "sets": verdict.reason.sets}
