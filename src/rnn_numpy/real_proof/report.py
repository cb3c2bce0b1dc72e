"""The verdict about the network as trained, as text and as JSON."""

from collections.abc import Iterator
from typing import Any

from rnn_numpy.elman_network.params import Params
from rnn_numpy.proof.machine import Example, run_example
from rnn_numpy.real_proof.verdict import RealVerdict

EVALUATED = {"float64": "float64", "float32": "float32 or float64"}


def replay_real(params: Params, verdict: RealVerdict) -> Example:
    """Run the network on the counterexample of a refutation, until it has output every bit.

    Raises:
        ValueError: the verdict is not a refutation.
    """
    if verdict.counterexample is None:
        raise ValueError(f"verdict must be refuted for a counterexample, it is: {verdict.status}")
    evaluated = Params(*(array.astype(verdict.dtype) for array in params))
    return run_example(evaluated, verdict.target, verdict.counterexample)


def headline(params: Params, verdict: RealVerdict) -> str:
    """The verdict in one line."""
    target = verdict.target
    if verdict.status == "proved":
        return (
            f"proved: {target.text.format('a', 'b')} is right for operands of every length, as "
            f"trained, in {EVALUATED[verdict.dtype]}"
        )
    if verdict.status == "gave up":
        return f"gave up, as trained: {verdict.reason}"
    example = replay_real(params, verdict)
    sum_ = target.text.format(*example.operands)
    return f"refuted, as trained: {sum_} = {example.right}, the network says {example.said}"


def in_words(params: Params, verdict: RealVerdict) -> Iterator[str]:
    """The verdict as lines of text."""
    yield headline(params, verdict)
    if verdict.status == "proved":
        yield (
            f"{verdict.sets} sets of states, closed under every input; h V stays "
            f"{verdict.margin:.2g} from 0 in each"
        )
    if verdict.status == "refuted":
        yield "this is the shortest sum found; without any one of its steps no output is wrong"


def as_json(params: Params, verdict: RealVerdict) -> dict[str, Any]:
    """The verdict as values that JSON can represent."""
    names = ("status", "reason", "dtype", "sets", "margin")
    result = {name: getattr(verdict, name) for name in names}
    result["target"] = verdict.target.name
    result["counterexample"] = None
    if verdict.status == "refuted":
        result["counterexample"] = replay_real(params, verdict)._asdict()
    return result
