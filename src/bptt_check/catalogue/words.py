"""A mistake in words: a text for each named change of each kind of part.

In a text, `{p}` is the part, `{path}` the path from its result to its operand, `{d}` the gradient
that it leads to, or the path; `{0}` is the first parameter of the change.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from bptt_check.tracing.mistakes import OWN, Mistake, Part, Quantity


def sentence(*mistakes: Mistake) -> str:
    """The mistakes in words."""
    return "; and ".join(map(_sentence, mistakes))


def _sentence(mistake: Mistake) -> str:
    part, step, texts = mistake.part, mistake.step, WORDS[mistake.part.kind]
    words = texts.get(f"{mistake.change}, {step}") or texts[mistake.change]
    if callable(words):
        text = words(part, *mistake.by)
    else:
        by = (quantity(b) if isinstance(b, Quantity) else b for b in mistake.by)
        text = words.format(*by, p=part, path=_path(part), d=_subject(part))
    if part.kind == "path" and part.names and mistake.change != "cut":
        return f"{text}; the same for {', '.join(part.names)}"
    return f"at the first step {text}" if step == "first" and part.kind == "path" else text


def quantity(q: Quantity) -> str:
    """A quantity in words, such as `1 - f` or `h of the last step at every step`."""
    name = q.form.replace("v", q.name)
    if q.shift.startswith("_"):
        return f"{name}{q.shift}, the initial state at index -1"
    return f"{name} {q.shift}" if q.shift else name


def _path(p: Part) -> str:
    return f"the path {p.label} -> {p.operand}"


def _subject(p: Part) -> str:
    return f"d{p.operand}" if p.leaf else _path(p)


def _cut(p: Part) -> str:
    if p.names:
        return f"{p.label} is taken as a constant (detached)"
    return f"{_upstream(p)} is ignored" if p.op == "upstream" else f"{_path(p)} is cut"


def _without_derivative(p: Part) -> str:
    if p.op == "upstream":
        return f"{_upstream(p)} is taken as 1"
    return f"the derivative of {p.label} with respect to {p.operand} is left out"


def _upstream(p: Part) -> str:
    return f"the upstream gradient {p.factor} of {p.operand}"


def _operand(p: Part, q: Quantity) -> str:
    takes = (
        f"{_path(p)} is multiplied by" if p.op in ("mul", "upstream") else f"{_subject(p)} takes"
    )
    if q.shift == "last at the first step":
        return f"{takes} the last state, not {p.factor}, at the first step (index -1)"
    is_own = q.site == OWN and q.form == "v"
    return f"{takes} {quantity(q)}" if is_own else f"{takes} {quantity(q)}, not {p.factor}"


def _derivative(p: Part, form: str, q: Quantity, letter: str = "v") -> str:
    function = "" if p.op in p.label else f" = {p.op}(...)"
    return f"the derivative of {p.label}{function} is taken as {form}, with {letter} {quantity(q)}"


def _from_gradient(p: Part, q: Quantity) -> str:
    if not q.shift:
        return f"{_path(p)} takes the gradient of {q.name}, not of {p.label}"
    everywhere = " at every step" if q.shift in ("first", "last") else ""
    return f"{_path(p)} takes the {q.shift} step's gradient of {q.name}{everywhere}"


def _for_gradient(p: Part, q: Quantity) -> str:
    last = " of the last step" if q.shift else ""
    return f"{_subject(p)} takes {q.name}{last} for the gradient of {p.label}"


def _sources(s: Part) -> str:
    through = f" through {s.operand}" if s.operand else ""
    return f"the gradient of {s.label}{' from the next step' if s.leaf else ''}{through}"


def _cut_uses(p: Part, *kept: str) -> str:
    if not kept:
        return f"{p.label} has only one of its uses"
    paths = " and ".join(f"{name} -> {p.label}" for name in kept)
    verb = f"path {paths} remains" if len(kept) == 1 else f"paths {paths} remain"
    return f"only the {verb} (= for +=)"


def _placed(p: Part, order: tuple[int, ...], *parts: Quantity) -> str:
    names = [part.name for part in parts]
    wrong = [names[order.index(i)] for i in range(len(order))]
    return f"the gates are concatenated as {', '.join(wrong)}, not {', '.join(names)}"


def _ordered(p: Part, order: tuple[int, ...], gates: tuple[str, ...]) -> str:
    wrong = ", ".join(gates[k] for k in order)
    one = f" in {p.names[0]}" if len(p.names) == 1 else ""
    return f"the gates are in the order {wrong}{one}, not {', '.join(gates)}"


def _scaled(verb: str, p: Part, *axes: str) -> str:
    names = {"time": "the number of steps T", "batch": "the batch size B"}
    if axes == ("time", "batch"):
        return f"{p.label} is {verb} by T and by B"
    return f"{p.label} is {verb} by {' and by '.join(names.get(axis, axis) for axis in axes)}"


def _first_state(p: Part, q: Quantity, _: Any) -> str:
    if q.name == p.label:
        return f"the gradient of {q.name}_1 is returned for that of the initial state"
    returned = f"the gradient of {q.name} at the first step is returned"
    return f"{returned} for that of {p.label}'s initial state"


def _modes(texts: dict[str, str]) -> dict[str, Callable[..., str]]:
    notes = {"right backward": " (the backward pass is the right network's)"}
    notes |= {"consistent": "", "right values": ", but not in the backward pass"}
    return {
        change: lambda p, mode, *by, text=text: (
            f"in the forward pass {text.format(*map(_named, by), p=p)}{notes[mode]}"
        )
        for change, text in texts.items()
    }


def _named(by: Any) -> Any:
    return by.name if isinstance(by, Quantity) else by


_FACTORS = {-1: "has the wrong sign", 2: "is doubled", 0.5: "is halved"}
_ERROR = "the error passed back through {p.label}"

WORDS: dict[str, dict[str, Any]] = {
    "path": {
        "cut": _cut,
        "factor": lambda p, f: (
            f"{_upstream(p) if p.op == 'upstream' else _path(p)} "
            f"{'is counted twice' if f == 2 else _FACTORS[f]}"
        ),
        "without its derivative": _without_derivative,
        "factor divided": "{path} is divided, not multiplied",
        "not conjugated": "the conjugate is missing on {path}",
        "factor added": "{p.factor} is added to {path}, not multiplied",
        "derivative": _derivative,
        "v of the derivative": lambda p, v: _derivative(p, "v (1 - w)", v),
        "w of the derivative": lambda p, w: _derivative(p, "v (1 - w)", w, "w"),
        "operand": _operand,
        "operand transposed": "{p.factor} is not transposed on {path}",
        "operand reshaped": "{p.factor} is reshaped, not transposed, on {path}",
        "operand reversed": "d{p.operand} takes {p.factor} with its features reversed",
        "operand's gradient": lambda p, _, start: (
            f"{_path(p)} takes d{p.factor} as summed {'before' if start else 'up to'} this step, "
            f"not {p.factor}"
        ),
        "last of equal indices": (
            "d{p.operand} gets only the last of equal indices in a step (d[i] += for np.add.at)"
        ),
        "index": lambda p, q: f"d{p.operand} takes the index {q.shift}",
        "target": lambda p, q: f"the target {q.shift}",
        "sign for value": "the sign of {p.operand} replaces {p.operand} (L1)",
        "factor 2 left out": "the factor 2 of {p.label} is left out",
        "no target": "the softmax's error lacks the -1 at the target",
        "no probabilities": "the softmax's error lacks the probabilities",
        "target added": "1 is added at the softmax's target, not subtracted",
        "target assigned": "1 is assigned, not subtracted, at the softmax's target",
        "targets everywhere": (
            "1 is subtracted from every entry of the softmax, not only at the target"
        ),
        "targets shared": "1 is subtracted at the targets of all examples in every example",
        "slope": "the softmax's error is multiplied by p (1 - p)",
        "diagonal": "the softmax's derivative is taken as p (1 - p), without its other entries",
        "over another": "the softmax is divided by its {1}, not by its sum",
        "wrong maximum": (
            "the softmax is of logits from which their maximum over axis {1} is subtracted"
        ),
        "wrong sum": lambda p, _, axis, less: (
            "the softmax of the error is normalised over "
            f"{'all axes' if axis is None else f'axis {axis}'}"
        ),
        "probabilities": lambda p, _, q: f"the softmax's error takes the probabilities {q.shift}",
        "gradient of": _from_gradient,
        "gradient from next": "{path} takes only the gradient from the next step through {0}",
        "value for gradient": _for_gradient,
        "lacks": lambda p, s: f"{_path(p)} lacks {_sources(s)}",
        "only": lambda p, s: f"{_path(p)} has only {_sources(s)}",
        "bare": lambda p, s: f"{_sources(s)} reaches {p.operand} without the derivative",
        "next for own": (
            "{path} has the gradient of {0.label} from the next step in place of that from its "
            "own step"
        ),
        "summed over its axis": "d{p.operand} is also summed over its own axis",
        "first example": "d{p.operand} has only the first example",
        "maximum over batch": "d{p.operand} is the maximum over the batch, not the sum",
        "mean over batch": "d{p.operand} is the mean over the batch, not the sum",
        "lacks part": "{path} lacks {0}'s part",
        "part for part": "{path} has {1}'s part in {0}'s place",
        "before derivatives": "{path} takes the gates' gradients before their derivatives",
    },
    "uses": {
        "cut, not first": "{p.label} is overwritten, not accumulated: only the first step remains",
        "cut, not last": "{p.label} has only the last step",
        "cut, first": "{p.label} lacks the first step",
        "cut, last": "{p.label} lacks the last step",
        "cut": _cut_uses,
        "own loss alone": "{p.label} takes the error of the loss at its own step only",
        "own factors": (
            "both paths of {p.label} are multiplied by their own factor, not by the other"
        ),
        "gates in order": _placed,
        "gradient of first state": _first_state,
        "stops early": "the backward loop stops before the first step",
    },
    "carry": {
        "accumulated": f"{_ERROR} is never reset (+= for =)",
        "cut": "no error is passed back through {p.label} to the step before",
        "cut, not last": f"{_ERROR} replaces that of the loss (= for +=), except at the last step",
        "dropped": _ERROR + " is dropped every {0} steps",
        "doubled": _ERROR + " is doubled every {0} steps",
        "shifted": lambda p, k, by: (
            f"the error passed back through {p.label} is every {k} steps that of {by} "
            f"step{'s' * (by > 1)} later"
        ),
        "clipped": _ERROR + " is clipped to [-{0}, {0}]",
        "factor": lambda p, f: f"the error passed back through {p.label} {_FACTORS[f]}",
        "swapped": "the errors of the two states are swapped",
        "forward in time": "the loop of the backward pass runs forward in time",
        "starts from 1": f"{_ERROR} starts from 1, not 0, at the last step",
    },
    "loss": {
        "cut, not last": "only the last step's loss is used",
        "cut, not first": "only the first step's loss is used",
        "cut, last": "the last step's loss is left out",
        "cut, first": "the first step's loss is left out",
    },
    "window": {
        "window": lambda p, k: (
            f"truncated: no error travels more than {k} step{'s' * (k > 1)} back"
        ),
    },
    "answer": {
        "cut": "{p.label} is zero",
        "factor": lambda p, f: f"{p.label} {_FACTORS[f]}",
        "divided": partial(_scaled, "divided"),
        "multiplied": partial(_scaled, "multiplied"),
        "mean squared": "{p.label} is scaled as for a mean squared error (2 / N)",
        "starts from 1": "{p.label} starts from 1, not 0",
        "rounded": "{p.label} is rounded through float32",
        "clipped": "{p.label} is clipped to [-{0:g}, {0:g}]",
        "norm clipped": "{p.label} is clipped to norm {0:g}",
        "summed over later steps": "{p.label} at a step is the sum over it and all later steps",
        "of another step": lambda p, _, by: (
            f"{p.label} at a step is that of the step {'before' if by > 0 else 'after'}, wrapping"
        ),
        "itself": "{p.label} is {p.names[0]} itself",
        "transposed": "{p.label} is transposed",
        "reshaped": "{p.label} is transposed and reshaped",
        "rows reversed": "{p.label} has its rows reversed",
        "another's": "{p.label} is d{0}",
        "swapped": "{p.label} are swapped",
    },
    "operation": _modes(
        {
            "missing": "{1} is missing in {p.label}",
            "subtracted": "{0} is subtracted, not added, in {p.label}",
            "added": "{0} is added, not subtracted, in {p.label}",
            "factors added": "the factors of {p.label} are added, not multiplied",
            "factors divided": "the factors of {p.label} are divided, not multiplied",
            "function missing": "{p.op} is missing in {p.label}",
            "constant": "{0:g} is added to the {2} of {p.label} = {p.op}(...)",
            "another function": "{0} replaces {p.op} in {p.label}",
            "negated": "{p.label} has the wrong sign",
            "transposed": "{1} is transposed in {p.label}",
            "complement": "1 - {p.label} replaces {p.label}",
            "softmax's axis": "the softmax is over axis {0}",
            "takes": "{1} replaces {2} in {p.label}",
        }
    ),
    "taken": {
        "another function": "the backward pass recomputes {p.label} with {0}, not {p.op}",
        "function missing": "the backward pass takes the argument of {p.label} for {p.label}",
        "takes": "the backward pass takes {p.label} of {1}",
    },
    "source": {"replaced": "`{p.label}` -> `{0}`"},
    "arguments": {
        "of another step": lambda p, by: (
            f"the forward pass takes {p.names[0]} of the {'previous' if by > 0 else 'next'} step, "
            "wrapping around"
        ),
        "reversed in time": "{p.label} is reversed in time",
        "ignored": "the initial state {p.label} is ignored: zero",
        "another's": "the initial state {p.label} is {0}",
        "gates in order": _ordered,
        "gates interleaved": "the gates are interleaved unit by unit, not concatenated",
    },
}
