"""The verdict of a proof, as text and as JSON."""

from collections.abc import Iterator
from typing import Any

from bptt_check.commands.numbers import finite
from rnn_numpy.elman_network.params import Params
from rnn_numpy.proof.drawing import input_names
from rnn_numpy.proof.machine import Minimal, Verdict, replay


def headline(params: Params, verdict: Verdict) -> str:
    """The verdict in one line."""
    bits, target = verdict.state_bits, verdict.target
    if verdict.status == "proved":
        return (
            f"proved: {target.text.format('a', 'b')} is right for operands of every length, "
            f"with a state of {bits} bits"
        )
    if verdict.status == "gave up":
        return f"gave up, with a state of {bits} bits: {verdict.reason}"
    example = replay(params, verdict)
    sum_ = target.text.format(*example.operands)
    return (
        f"refuted, with a state of {bits} bits: {sum_} = {example.right}, "
        f"the network says {example.said}"
    )


def in_words(params: Params, verdict: Verdict, minimal: Minimal | None) -> Iterator[str]:
    """The verdict for a reader."""
    yield headline(params, verdict)
    yield f"{verdict.states} states, the last of them found after {verdict.depth} steps"
    if verdict.status == "refuted":
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
    if minimal is not None:
        yield f"minimised, {len(minimal.next)} state{'s' * (len(minimal.next) > 1)}:"
        names = input_names(verdict.target, ",")
        yield "  state   " + "".join(f"{name:>10}" for name in names)
        for state, (following, said) in enumerate(zip(minimal.next, minimal.output, strict=True)):
            cells = (f"{bit}, to {to}" for bit, to in zip(said, following, strict=True))
            yield f"{state:7}   " + "".join(f"{cell:>10}" for cell in cells)


def as_json(params: Params, verdict: Verdict, minimal: Minimal | None) -> dict[str, Any]:
    """The verdict for a program."""
    names = ("status", "reason", "state_bits", "states", "depth", "margin", "margin_error",
             "tie_distance", "tie_error")  # fmt: skip
    result = {name: finite(getattr(verdict, name)) for name in names}
    result["target"] = verdict.target.name
    result["ties"] = len(verdict.machine.branches)
    result["counterexample"] = result["minimal"] = None
    if verdict.status == "refuted":
        result["counterexample"] = replay(params, verdict)._asdict()
    if minimal is not None:
        result["minimal"] = {"next": minimal.next.tolist(), "output": minimal.output.tolist()}
    return result
