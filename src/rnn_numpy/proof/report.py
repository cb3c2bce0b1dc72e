"""The verdict of a proof, as text and as JSON."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from bptt_check.commands.numbers import finite
from rnn_numpy.proof.machine import Example, GaveUp, Proved, Refuted, Verdict, minimise
from rnn_numpy.tasks.targets import Target


def headline(verdict: Verdict) -> str:
    """The verdict in one line."""
    scope = f"with a state of {verdict.state_bits} bits"
    match verdict:
        case Proved():
            return proved(verdict.target, scope)
        case Refuted():
            return refuted(verdict.target, scope, verdict.example)
        case GaveUp():
            return f"gave up, {scope}: {reason_of(verdict)}"


def proved(target: Target, scope: str) -> str:
    """What is proved."""
    text = target.text.format("a", "b")
    return f"proved: {text} is right for operands of every length, {scope}"


def refuted(target: Target, scope: str, example: Example) -> str:
    """The example that refutes it."""
    text = f"{target.text.format(*example.operands)} = {example.right}"
    return f"refuted, {scope}: {text}, the network says {example.said}"


def reason_of(verdict: GaveUp) -> str:
    """Why the search gave up."""
    words = {
        "rounding": "rounding errors are larger than the steps of the state: fewer state bits?",
        "limit": f"more than {verdict.limit} states",
        "tie": "whether a bit is right depends on how a rounding tie falls",
    }
    reasons = [words[reason] for reason in verdict.reasons]
    if verdict.reasons == ("limit",):
        reasons.append(f"all inputs of {verdict.depth} steps are right")
    return "; ".join(reasons)


def in_words(verdict: Verdict) -> Iterator[str]:
    """The verdict for a reader."""
    yield headline(verdict)
    yield f"{verdict.states} states, the last of them found after {verdict.depth} steps"
    if isinstance(verdict, Refuted):
        yield (
            "a shortest counterexample: no shorter operands go wrong in every floating-point "
            "evaluation"
        )
    yield (
        f"outputs stay {verdict.margin:.2g} from 1/2 (rounding can move them "
        f"{verdict.margin_error:.1g}), states {verdict.tie_distance:.1e} from a rounding tie "
        f"({verdict.tie_error:.1g})"
    )
    if ties := len(verdict.machine.branches):
        yield (
            f"{ties} extra transition{'s' * (ties > 1)}: a value lay within its rounding error of "
            "a tie, so both neighbours were followed"
        )
    if isinstance(verdict, Proved):
        minimal = minimise(verdict.machine)
        yield f"minimised, {len(minimal.next)} state{'s' * (len(minimal.next) > 1)}:"
        inputs = verdict.target.bits(np.arange(2**verdict.target.operands)).tolist()
        names = [",".join(map(str, bits)) for bits in inputs]
        yield "  state   " + "".join(f"{name:>10}" for name in names)
        for state, (following, said) in enumerate(zip(minimal.next, minimal.output, strict=True)):
            cells = (f"{bit}, to {to}" for bit, to in zip(said, following, strict=True))
            yield f"{state:7}   " + "".join(f"{cell:>10}" for cell in cells)


def as_json(verdict: Verdict) -> dict[str, Any]:
    """The verdict for a program."""
    names = ("status", "state_bits", "states", "depth", "margin", "margin_error",
             "tie_distance", "tie_error")  # fmt: skip
    result = {name: finite(getattr(verdict, name)) for name in names}
    result["reason"] = reason_of(verdict) if isinstance(verdict, GaveUp) else ""
    result["target"] = verdict.target.name
    result["ties"] = len(verdict.machine.branches)
    result["counterexample"] = result["minimal"] = None
    if isinstance(verdict, Refuted):
        result["counterexample"] = verdict.example._asdict()
    if isinstance(verdict, Proved):
        minimal = minimise(verdict.machine)
        result["minimal"] = {"next": minimal.next.tolist(), "output": minimal.output.tolist()}
    return result
