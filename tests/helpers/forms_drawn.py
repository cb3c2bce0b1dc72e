"""Draw the form of a backward pass: how it gets its inputs, and how it returns its gradients.

Every pass computes with `core`, which is right; one gradient may be made wrong.
"""

import textwrap
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from bptt_check.candidate.loading import load_function
from bptt_check.judge.any_network import AnyNetwork
from bptt_check.judge.asking import Ask, CannotCheck
from bptt_check.judge.candidate import in_this_process
from bptt_check.judge.comparison import agrees
from rnn_torch.networks import Network, network, stock, targets

Choose = Callable[[Sequence[Any]], Any]

RATE = 0.5
CORES = {
    "lstm": """
def core(x, h_0, c_0, U, W, b, y):
    H, h, c, gates = h_0.shape[1], [h_0], [c_0], []
    for x_t in x:
        z = x_t @ U + h[-1] @ W + b
        i, f, o = (1 / (1 + np.exp(-z[:, k * H : k * H + H])) for k in (0, 1, 3))
        g = np.tanh(z[:, 2 * H : 3 * H])
        c.append(f * c[-1] + i * g)
        h.append(o * np.tanh(c[-1]))
        gates.append((i, f, g, o))
    loss = sum((h_t * y_t).sum() for h_t, y_t in zip(h[1:], y))
    d = {n: np.zeros_like(v) for n, v in dict(x=x, U=U, W=W, W_shifted=W, b=b).items()}
    dh, dc = 0, 0
    for t in reversed(range(len(x))):
        i, f, g, o = gates[t]
        dh = dh + y[t]
        dc = dc + dh * o * (1 - np.tanh(c[t + 1]) ** 2)
        dz = [dc * g * i * (1 - i), dc * c[t] * f * (1 - f), dc * i * (1 - g**2)]
        dz = np.concatenate([*dz, dh * np.tanh(c[t + 1]) * o * (1 - o)], 1)
        d["U"] += x[t].T @ dz
        d["W"] += h[t].T @ dz
        d["W_shifted"] += h[t + 1].T @ dz
        d["b"] += dz.sum(0)
        d["x"][t] = dz @ U.T
        dh, dc = dz @ W.T, dc * f
    return loss, {**d, "h_0": dh, "c_0": dc}, h
""",
    "scalar": """
def core(x, u, w, q, y):
    h = [0 * w]
    for x_t in x:
        h.append(np.tanh(u * x_t + w * h[-1]))
    loss = sum((h_t - y_t) ** 2 for h_t, y_t in zip(h[1:], y)).sum() / 2
    d = dict.fromkeys(["u", "w", "w_shifted", "q"], 0 * w)
    d["x"], dh = np.zeros_like(x), 0
    for t in reversed(range(len(x))):
        dz = (h[t + 1] - y[t] + dh) * (1 - h[t + 1] ** 2)
        d["u"] = d["u"] + dz * x[t]
        d["w"] = d["w"] + dz * h[t]
        d["w_shifted"] = d["w_shifted"] + dz * h[t + 1]
        d["x"][t] = (dz * u)[0]
        dh = dz * w
    return loss, d, h
""",
}


@network(x="time", u="1", w="1", q="1", y=targets("time"))
def scalar(x: Any, u: Any, w: Any, q: Any, y: Any) -> Iterator[Any]:
    """It has numbers as weights, of which q has no effect: its gradient may be None."""
    h = torch.zeros(1)
    for x_t, y_t in zip(x, y, strict=True):
        h = torch.tanh(u * x_t + w * h) + 0 * q
        yield 0.5 * ((h - y_t) ** 2).sum()


NETWORKS: dict[str, Network] = {
    "lstm": stock("lstm", loss="upstream"),
    "scalar": scalar,
}
WEIGHTS = {
    "lstm": {"U": "(n_in, 4 * hidden)", "W": "(hidden, 4 * hidden)", "b": "4 * hidden"},
    "scalar": {"u": "1", "w": "1", "q": "1"},
}
THEIRS = {  # what strangers call the inputs
    "x": ["X", "inputs", "xs", "x"],
    "h_0": ["h0", "h_init", "hprev", "h"],
    "c_0": ["c0", "c_init", "cprev", "c"],
    "U": ["W_x", "Wxh", "Wx", "kernel", "W_ih"],
    "W": ["W_h", "Whh", "Wh", "recurrent_kernel", "W_hh"],
    "b": ["bias", "bh", "b_h"],
    "u": ["w_x", "win", "a"],
    "w": ["w_h", "wrec", "r"],
    "q": ["extra", "w_q"],
    "y": ["dy", "grad_out", "dout", "targets"],
}
GRADIENTS = ["d{}", "dLd{}", "dL_d{}", "d_{}", "grad_{}", "{}_grad", "g{}", "delta_{}", "d{} "]
LOSSES = ["loss", "cost", "total_loss", "J", "L", "E", "total"]
WAYS = [
    "names", "names", "keyword-only", "**rest", "parameters", "theirs", "theirs", "theirs",
    "*all", "globals", "attributes", "params", "nested params", "weights", "init theirs",
    "forward,backward", "methods", "update argument", "update attribute", "update params",
    "update global", "update returned",
]  # fmt: skip
SHAPES = [
    "tuple", "tuple", "tuple", "list", "mapping", "mapping", "variable", "appended", "inner tuple",
    "inner mapping", "two mappings", "named tuple", "dx and mapping", "dx and tuple",
]  # fmt: skip
EXTRAS = [*[""] * 27, "states[-1]", "states", "'done'"]


KEYED = {"mapping", "inner mapping", "two mappings", "named tuple", "dx and mapping", "grads"}
KEYED |= {"grad attributes"}
AT_OBJECTS = ("attributes", "params", "nested params", "weights", "init theirs", "methods")
METHODS = (*AT_OBJECTS, "update attribute", "update params")
#: Where the weights are kept: of an object its attribute, of a function a mapping.
KEPT = {
    "**rest": "rest[{n!r}]",
    "parameters": "parameters[{n!r}]",
    "params": "self.params[{n!r}]",
    "update params": "self.params[{n!r}]",
    "weights": "self.weights[{n!r}]",
    "nested params": "self.layers['cell'][{n!r}]",
    **dict.fromkeys(("attributes", "methods", "update attribute"), "self.{n}"),
}
#: What is added to the arguments, and what is done with a weight.
UPDATES = {
    "update argument": (", lr=0.1", "{n} -= lr * d[{n!r}]"),
    "update attribute": (", learning_rate=0.1", "self.{n} = self.{n} - learning_rate * d[{n!r}]"),
    "update params": (", eta", "self.params[{n!r}] -= eta * d[{n!r}]"),
    "update global": ("", "{n} = {n} - learning_rate * d[{n!r}]"),
    "update returned": (", lr", "{n} = {n} - lr * d[{n!r}]"),
}


class Drawn(NamedTuple):
    """A form: the file's text, with a right pass and with a wrong gradient; what to call."""

    network: str
    right: str
    wrong: str
    target: str
    update: bool


def drawn(choose: Choose) -> Drawn:
    """One form, by a function that chooses one of several."""
    net, way = choose(list(NETWORKS)), choose(WAYS)
    names, weights = list(NETWORKS[net].arguments), list(WEIGHTS[net])
    theirs = {"theirs": names, "init theirs": weights}.get(way, [])
    own = {n: choose(THEIRS[n]) if n in theirs else n for n in names}
    every = [n for n in names if n != "y"]
    returned = list(choose([every, weights, weights, [choose(every)], [choose(weights)]]))
    update = way in UPDATES
    shape = "none" if update else choose(SHAPES)
    if shape.startswith("dx"):
        returned = ["x", *weights]
    if way in AT_OBJECTS and choose([False, False, True]):
        shape, returned = choose(["grads", "grad attributes", "grad list"]), weights
    kind = "array" if update else choose([*["array"] * 6, "tensor", "list", "float", "None"])
    # Else the variables' names say nothing.
    by_name = choose([True, True, False]) or shape in KEYED
    by_name |= len(returned) not in (len(every), len(weights))
    of_own = choose([True, False])
    if shape in ("appended", "grad list"):  # the variables' names are not seen
        returned = every if len(returned) > len(weights) else weights
    elif by_name and choose([False, True]):
        returned = returned[::-1]
    form = choose(GRADIENTS)
    called = {n: own[n] if of_own or n not in weights else n for n in returned}
    labels = {
        n: _labelled(form, called[n]) if by_name else f"result_{i}" for i, n in enumerate(returned)
    }
    keys = called if shape in KEYED and choose([True, False]) else labels
    mistaken = choose([n for n in (weights if update else returned) if n != "q"] or ["q"])
    mistakes = [f'd["{mistaken}"] = {k} * d["{mistaken}"]' for k in (7, 0, -1)]
    if mistaken in "Ww":
        mistakes.append(f'd["{mistaken}"] = d["{mistaken}_shifted"]')
    if mistaken == "q":
        mistakes, kind = ['d["q"] = 1 + d["q"]'], "array"
    loss, extra, front = choose(["", *LOSSES]), choose(EXTRAS), choose([True, False])
    lines = [f"{labels[n]} = {_value(n, kind, net)}" for n in returned]
    lines += [f"{loss} = its_loss"] if loss else []
    lines += _returned(shape, labels, keys, loss, extra, front)
    if update:
        lines = [UPDATES[way][1].format(n=n) for n in weights]
        lines += [f"return {', '.join(weights)}"] if way == "update returned" else []
    right, wrong = (_text(way, net, own, [change, *lines]) for change in ("", choose(mistakes)))
    backward = "Net.backward" if way in METHODS else "backward"
    forward = {"methods": "Net.forward,", "forward,backward": "forward,"}.get(way, "")
    return Drawn(net, right, wrong, forward + backward, update)


def _labelled(form: str, of: str) -> str:
    """A gradient's name; the last form leaves the underscores out."""
    label: str = form.strip().format(of.replace("_", "") if form.endswith(" ") else of)
    return label


def _value(name: str, kind: str, net: str) -> str:
    """A gradient in the form of a tensor, a list, a float or None, where it can have it."""
    value = f'd["{name}"]'
    if kind == "tensor":
        return f"torch.tensor({value}, requires_grad=True)"
    if kind == "list":
        return f"{value}.tolist()"
    if kind == "float" and net == "scalar" and name != "x":
        return f"float({value}[0])"
    return "None" if kind == "None" and name == "q" else value


def _returned(
    shape: str, labels: dict[str, str], keys: dict[str, str], loss: str, extra: str, front: bool
) -> list[str]:
    """The statements that return the gradients, or set them as attributes."""
    variables = list(labels.values())
    display = f"({', '.join(variables)},)"
    items = [f"{key!r}: {labels[n]}" for n, key in keys.items()]
    mapping = f"{{{', '.join(items)}}}"
    of_weights = ", ".join(f"{keys[n]!r}: {labels[n]}" for n in keys if n != "x")
    rest = [part for part in (loss, extra) if part]
    if shape == "mapping":
        items += [f"'loss': {loss}"] if loss else []
        items += [f"'h': {extra}"] if extra else []
        return [f"return {{{', '.join(items)}}}"]
    before, parts = {
        "variable": ([f"grads = {display}"], ["grads"]),
        "appended": (["grads = []", *(f"grads.append({v})" for v in variables)], ["grads"]),
        "inner tuple": ([], [display]),
        "inner mapping": ([], [mapping]),
        "two mappings": ([], [f"{{'all': {mapping}}}"]),
        "named tuple": (
            [f"Result = __import__('collections').namedtuple('Result', {[*keys.values()]!r})"],
            [f"Result{display}"],
        ),
        "dx and mapping": ([], [labels.get("x", ""), f"{{{of_weights}}}"]),
        "dx and tuple": (
            [],
            [labels.get("x", ""), f"({', '.join(labels[n] for n in labels if n != 'x')},)"],
        ),
        "grads": ([f"self.grads = {mapping}"], []),
        "grad list": ([f"self.grads = [{', '.join(variables)}]"], []),
        "grad attributes": ([f"self.{v} = {v}" for v in variables], []),
    }.get(shape, ([], variables))
    every = ", ".join([*rest, *parts] if front else [*parts, *rest])
    if not every:
        return before
    return [*before, f"return [{every}]" if shape == "list" else f"return {every}"]


def _text(way: str, net: str, own: dict[str, str], lines: list[str]) -> str:
    """The file: `core`, and a pass that gets its inputs in this way."""
    sizes = WEIGHTS[net]
    weights, every = list(sizes), ", ".join(own.values())
    data = [name for n, name in own.items() if n not in sizes]
    inputs = ", ".join(n for n in (data if way == "methods" else own) if n != "y")
    rest, before, setup = ", ".join(data), list[str](), list[str]()
    arguments = {
        "keyword-only": f"{rest}, *, {', '.join(reversed(weights))}, clip=None",
        "**rest": f"{rest}, **rest",
        "parameters": f"{rest}, parameters",
        "*all": "*all",
        "forward,backward": "y, cache",
        "methods": "y",
    }.get(way, rest if way in METHODS or "global" in way else every)
    arguments += UPDATES.get(way, ("", ""))[0]
    if way in KEPT:
        setup = [f"{n} = {KEPT[way].format(n=n)}" for n in weights]
    if way == "*all":
        setup = [f"{every} = all"]
    if "global" in way:
        before = [f"{n} = None" for n in weights]
        setup = [f"global {', '.join(weights)}"] if way == "update global" else []
    if way == "forward,backward":
        before = [f"def forward({inputs}):", f"    out, cache = 0, ({inputs},)"]
        before += ["    return out, cache"]
        setup = [f"{inputs}, = cache"]
    if way in METHODS:
        init = {"lstm": "n_in, hidden", "scalar": "start=0"}[net]
        zeros = f"{{{', '.join(f'{n!r}: np.zeros({size})' for n, size in sizes.items())}}}"
        made = [f"self.{n} = np.zeros({size})" for n, size in sizes.items()]
        if "[" in KEPT.get(way, ""):
            attribute, _, of_layer = KEPT[way].removesuffix("[{n!r}]").partition("[")
            made = [f"{attribute} = {{'cell': {zeros}}}" if of_layer else f"{attribute} = {zeros}"]
        if way == "init theirs":
            init = ", ".join(own[n] for n in weights)
            made, setup = [f"self.params = [{init}]"], [f"{init} = self.params"]
        before = [f"def __init__(self, {init}):", *(f"    {line}" for line in made)]
        if way == "methods":
            before += [f"def forward(self, {inputs}):", f"    self.kept = ({inputs},)"]
            setup += [f"{inputs}, = self.kept"]
        arguments = f"self, {arguments}"
    call = f"its_loss, d, states = core({', '.join(f'{n}={name}' for n, name in own.items())})"
    body = [f"    {line}" for line in [*setup, call, *lines] if line]
    text = "\n".join([*before, f"def backward({arguments}):", *body])
    if way in METHODS:
        text = "class Net:\n" + textwrap.indent(text, "    ")
    return f"import numpy as np\nimport torch\n{CORES[net]}\n{text}\n"


class Judge:
    """The check of passes of these networks, at some of its problems."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.count = folder, 0
        self.subjects = {
            (name, update): AnyNetwork(net, rate=RATE if update else None)
            for name, net in NETWORKS.items()
            for update in (False, True)
        }

    def verdict(self, form: Drawn, text: str) -> tuple[str, str]:
        """`right`, `wrong`, or `refused` and why."""
        subject = self.subjects[form.network, form.update]
        self.count += 1
        file = self.folder / f"form_{self.count}.py"
        file.write_text(text)
        try:
            function: Any = load_function(str(file), form.target)
            return self._of_answers(in_this_process(function, subject), subject)
        except CannotCheck as error:
            return "refused", str(error)
        finally:
            file.unlink()

    def _of_answers(self, ask: Ask, subject: AnyNetwork) -> tuple[str, str]:
        """The verdict of the check: what is returned without a meaning leaves right undecided."""
        left: set[str] = set()
        returned: set[str] = set()
        wrong = False
        problems = subject.problems("float64", 0)
        for problem in (*problems[:6], *problems[-2:]):
            answer = ask(problem)
            if returned not in (set(), set(answer.gradients)):
                return "refused", "other gradients at another problem"
            returned = set(answer.gradients)
            left |= {*answer.others, *answer.unnamed}
            wrong |= not agrees(answer.gradients, subject.reference(problem))
        if wrong:
            return "wrong", ""
        return ("refused", f"left over: {', '.join(sorted(left))}") if left else ("right", "")
