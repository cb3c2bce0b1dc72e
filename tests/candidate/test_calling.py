"""Every form of call and of return in published code, and the messages of refusals."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from bptt_check.candidate.calling import Form, Question, Refused, call
from bptt_check.candidate.loading import load_function
from forms_of_passes import FORM, assert_right, load, question, right

pytestmark = pytest.mark.unannotated

ERROR = "    e = x @ W + b - y\n"
DEF = f"def backward(x, y, W, b):\n{ERROR}"
EACH = "x.T @ e, e.sum(0)"  # the gradients of W and b
ALL = f"e @ W.T, {EACH}"
LOSS = "(e**2).sum() / 2"


class Returned(NamedTuple):
    """The lines of a pass from its error on; what is found: gradients, a loss, and what is left."""

    lines: str
    names: str = "W b"
    loss: bool = False
    others: str = ""
    weights: str = ""  # of the form
    required: str = ""


WEIGHTS = f"loss = {LOSS}\none, two = {EACH}\n"
RETURNED = [
    Returned(f"return {ALL}", "x W b"),
    Returned(f"dW, db = {EACH}\nreturn dW, db"),
    Returned(f"dW, db = {EACH}\nreturn db, dW"),
    Returned("dW = x.T @ e\nreturn dW", "W"),
    Returned("return {'W': x.T @ e, 'db': e.sum(0)}"),
    Returned(f"dW, J = x.T @ e, {LOSS}\nreturn J, dW, W", "W", True, "W"),
    Returned(f"g = {{'W': x.T @ e}}\nreturn {LOSS}, g", "W", True),
    Returned(f"return {LOSS}, [{ALL}]", "x W b", True),
    Returned(f"W_d, b_d, cost = {EACH}, {LOSS}\ng = W_d, b_d\nreturn cost, g", loss=True),
    Returned(f"g = []\ng += [{ALL}]\nreturn g", "x W b"),
    Returned("if x is None:\n    return 0, 0\ndW = x.T @ e\nreturn dW, e", "W", others="e"),
    # `return dW, h`, where h is the last state, and the initial state is an input h
    Returned("dW, b = x.T @ e, e[0]\nreturn dW, b", "W", others="b"),
    Returned(f"one, other = {EACH}\nreturn one, other", required="W b"),
    # kinds of gradients
    Returned(f"dW, db = {EACH}\ndW = torch.tensor(dW, requires_grad=True)\nreturn dW, db.tolist()"),
    Returned("dW, db = (x.T @ e).tolist(), list(e.sum(0))\nreturn {'W': dW, 'b': db}"),
    Returned("W_grad, b_grad = x.T @ e, torch.tensor(e.sum(0))\nreturn ((b_grad,), [W_grad])"),
    Returned(f"dW, db = {EACH}\nreturn dW.copy(), db / 1.0"),
    Returned("E, dW, db = x.T @ e, None, None\nreturn dict(W=E, b=e.sum(0))"),
    Returned(f"B = __import__('collections').namedtuple('B', 'dW b')\nreturn B({EACH})"),
    # by its place only if all are: another may be a state
    Returned(f"{WEIGHTS}return loss, one, two", loss=True, weights="W b"),
    Returned(f"{WEIGHTS}dW = one\nreturn dW, two", weights="W b"),
    Returned(f"{WEIGHTS}dW = one\nreturn two, dW", "W", others="two", weights="W b"),
    Returned(f"{WEIGHTS}return loss, one, {{'b': two}}", "b", True, "one", weights="W b"),
]  # fmt: skip


@pytest.mark.parametrize("its", RETURNED, ids=range(len(RETURNED)))
def test_what_is_returned(tmp_path: Path, its: Returned) -> None:
    lines = "".join(f"    {line}\n" for line in its.lines.splitlines())
    form = FORM._replace(weights=its.weights.split(), required=its.required.split())
    function = load(tmp_path, f"import torch\n{DEF}{lines}")
    assert_right(function, *its.names.split(), form=form, loss=its.loss, others=its.others.split())


@pytest.mark.parametrize(
    "name",
    ["dW", "dLdW", "dL_dW", "d_W", "D_W", "grad_W", "gradW", "W_grad", "W_d", "W_diff", "delta_W"],
)
def test_what_a_gradient_is_called(tmp_path: Path, name: str) -> None:
    text = f"{DEF}    {name} = x.T @ e\n    return e, {name}\n"
    assert_right(load(tmp_path, text), "W", others="e")


@pytest.mark.parametrize(
    "head",
    [
        "def backward(W, b, y, x):\n",
        "def backward(x, y, *, b, W, clip=None):\n",
        "def backward(x, y, **rest):\n    W, b = rest['W'], rest['b']\n",
        "def backward(a, c, d, f):\n    x, y, W, b = a, c, d, f\n",
        "def backward(*all_of_them):\n    x, y, W, b = all_of_them\n",
        "def backward(x, y, parameters):\n    W, b = parameters['W'], parameters['b']\n",
        "def backward(x, y, params):\n    W, b = params['W'], params['b']\n",
        "W = None\ndef backward(x, y, b):\n",
        "def its(x):\n    return x @ W + b\n"
        "def backward(x, y):\n    assert (its(x) == x @ W + b).all()\n",
        "class Net:\n    def forward(self, x):\n        return x @ W + b\n"
        "def backward(x, y):\n    Net().forward(x)\n",
        "def backward(x, y, W, b):\n    assert (n_in, n_out) == W.shape\n",
        "def backward(x, y, W, b, time):\n    assert time == len(x)\n",
        "import time\ndef backward(x, y, W, b):\n    time.time()\n",
        "def n_in(): return 7\ndef backward(x, y, W, b):\n    assert n_in() == 7\n",
        "n_in = 99\ndef backward(x, y, W, b):\n    assert n_in == len(W)\n",
    ],
)  # fmt: skip
def test_where_an_input_goes(tmp_path: Path, head: str) -> None:
    assert_right(load(tmp_path, f"{head}{ERROR}    return {ALL}\n"), "x", "W", "b")


def test_a_parameter_hides_the_global_of_its_name(tmp_path: Path) -> None:
    text = f"W, b = 'a constant', 2\ndef it():\n    return W\n{DEF}    dW = x.T @ e\n"
    function = load(tmp_path, f"{text}    return dW, it()\n")
    assert assert_right(function, "W", unnamed=["it()"]).set_globals == []
    assert function.__globals__["W"] == "a constant"
    text = f"W, b = 1, 2\ndef backward(x, y, b):\n{ERROR}    dW = x.T @ e\n    return dW\n"
    assert assert_right(load(tmp_path, text), "W").set_globals == ["W"]


NET = (
    "class Net:\n"
    "    def __init__(self, n_in, n_out=7, bptt_truncate=4):\n"
    "        self.shape, self.truncate = (n_in, n_out), bptt_truncate\n"
    "        self.W, self.b = np.zeros((n_in, n_out)), np.zeros(n_out)\n"
)
USES = "        e = x @ self.W + self.b - y\n        assert self.shape == self.W.shape\n"
BACK = "        dW = x.T @ e\n        return e, dW\n"
BROKEN = (
    "class Net:\n    def __init__(self, {}):\n        self.text = open('no such file')\n"
    "    def back(self, x, y):\n        e = x @ self.W + self.b - y\n"
    f"        assert self.n_in == len(self.W)\n{BACK}"
)
ZEROS = "class Net:\n    def __init__(self, n_in, n_out):\n"
ZEROS += "        W, b = np.zeros((n_in, n_out)), np.zeros(n_out)\n        {}\n"
#: A class, the gradients that its `back` returns or keeps, and what else it returns.
OBJECTS = {
    "made of the sizes": (
        f"{NET}    def back(self, x, y):\n{USES}        assert self.truncate == 4\n{BACK}",
        "W", "e",
    ),
    "made of the inputs; the gradient is an attribute": (
        "class Net:\n    def __init__(self, W, b):\n        self.params = [W, b]\n"
        "    def back(self, x, y):\n        W, b = self.params\n"
        "        e = x @ W + b - y\n        self.dW = x.T @ e\n        return e\n", "W", "e",
    ),
    "cannot be made": (BROKEN.format("text, n_in=3, rate=0.1"), "W", "e"),
    "fails when it is made": (BROKEN.format("n_in"), "W", "e"),
    "made of weights by position": (
        "class Net:\n    def __init__(self, A, c):\n        self.kept = [A, c]\n"
        "    def back(self, x, y):\n        A, c = self.kept\n        e = x @ A + c - y\n"
        f"        dA, dc = {EACH}\n        return dc, dA\n", "W b", "",
    ),
}  # fmt: skip


@pytest.mark.parametrize("way", OBJECTS)
def test_a_method_of_an_object(tmp_path: Path, way: str) -> None:
    text, names, others = OBJECTS[way]
    form = FORM._replace(weights=["W", "b"]) if "position" in way else FORM
    assert_right(load(tmp_path, text, "Net.back"), *names.split(), form=form, others=others)


KEPT = {
    "self.params = {'W': W, 'b': b}": "self.params['W'], self.params['b']",
    "self.its = {'cell': {'W': W}}; self.b = b": "self.its['cell']['W'], self.b",
    "self.params = {'W': W, 'b': b}; self.memory = {'W': W.copy()}": "self.params.values()",
    "self.params = {'W': W, 'b': b}; self.A = W": "self.A, self.params['b']",
}


@pytest.mark.parametrize("keep", KEPT)
def test_weights_in_a_mapping_of_an_object(tmp_path: Path, keep: str) -> None:
    text = ZEROS.format(keep) + (
        f"    def back(self, x, y):\n        W, b = {KEPT[keep]}\n        e = x @ W + b - y\n"
        "        assert not getattr(self, 'memory', {'W': np.zeros(1)})['W'].any()\n"
        f"        self.grads = {{'W': x.T @ e, 'b': e.sum(0)}}\n        return {LOSS}\n"
    )
    assert_right(load(tmp_path, text, "Net.back"), "W", "b", loss=True)


def test_weights_that_an_object_never_reads_are_lost(tmp_path: Path) -> None:
    text = ZEROS.format("self.layers = [[W, b]]") + (
        "    def back(self, x, y):\n        W, b = self.layers[0]\n"
        "        dW = x.T @ (x @ W + b - y)\n        return dW\n"
    )
    with pytest.raises(Refused, match="does not use W, b"):
        call(load(tmp_path, text, "Net.back"), FORM, question())


def test_one_after_the_other(tmp_path: Path) -> None:
    text = (
        "def forward(x, W, b):\n    out = x @ W + b\n    cache = x, W\n    return out, cache\n"
        "def backward(out, y, cache):\n    x, W = cache\n    e = out - y\n"
        f"    return {ALL}\n"
    )
    assert_right(load(tmp_path, text, "forward,backward"), "x", "W", "b")
    with pytest.raises(Refused, match=r"takes \(out, y, q\), but the network has no q; the"):
        call(load(tmp_path, text.replace("cache):", "q):"), "forward,backward"), FORM, question())
    methods = (
        f"{NET}    def forward(self, x):\n        self.x = x\n        return x @ self.W + self.b\n"
        "    def backward(self, y):\n        e = self.forward(self.x) - y\n"
        "        self.dW, self.db = self.x.T @ e, e.sum(0)\n"
    )
    assert_right(load(tmp_path, methods, "Net.forward,Net.backward"), "W", "b")
    with pytest.raises(Refused, match="must be functions, or methods of one class"):
        load(tmp_path, f"{methods}def other(x): pass\n", "other,Net.backward")


UPDATES = {
    "argument": f"def backward(x, y, W, b, lr=0.1):\n{ERROR}    W -= lr * (x.T @ e)\n",
    "global": "def backward(x, y):\n    global W\n    e = x @ W + b - y\n"
    "    W = W - learning_rate * (x.T @ e)\n",
    "attribute": f"{NET}    def back(self, x, y, learn_rate=0.1):\n{USES}"
    "        self.W -= learn_rate * (x.T @ e)\n",
    "mapping": "def backward(x, y, parameters, learning_rate):\n"
    "    e = x @ parameters['W'] + parameters['b'] - y\n"
    "    parameters['W'] = parameters['W'] - learning_rate * (x.T @ e)\n",
    "loop": f"def backward(x, y, W, b, lr=0.1):\n{ERROR}"
    "    for p, d in zip([W], [x.T @ e]):\n        p -= lr * d\n",
    "returned": f"{DEF}    W = W - (x.T @ e) / 2\n    return W, b\n",
}


@pytest.mark.parametrize("way", UPDATES)
def test_an_update_with_a_rate(tmp_path: Path, way: str) -> None:
    """An input that it does not update has the gradient 0; the judge requires only the weights'."""
    function = load(tmp_path, UPDATES[way], "Net.back" if way == "attribute" else "backward")
    called = call(function, FORM._replace(gradients=["W", "b"], rate=0.5), question())
    for which in ("first", "second"):
        np.testing.assert_allclose(called.arrays[f"{which}.W"], right(question())["W"], rtol=1e-9)
        assert not called.arrays[f"{which}.b"].any()
    assert called.impure == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def backward(x, y): return x\n", r"takes \(x, y\), but does not use W, b"),
        # as many parameters as inputs: by position
        ("def backward(x, y, W, c): return x\ndef use(): return c\n", "must return"),
        ("def backward(x, q): return x\n", r"not use y, W, b; the network's inputs are x, y, W, b"),
        ("def backward(x, y, W, b, q): return x\n", "but the network has no q"),
        (f"{DEF}    return None\n", r"must return \(dx, dW, db\) or a mapping .*, got NoneType"),
        (f"{DEF}    return x, y\n", "got tuple of 2"),
        (f"{DEF}    return {{'V': x}}\n", "it returned a mapping without dx, dW, db"),
        (f"{DEF}    dW = ['W']\n    return e, dW\n", r"without a meaning: e, dW\[0\]"),
        (f"{DEF}    one, two = {EACH}\n    return one, two, e\n", "without a meaning: one, two, e"),
        (f"{DEF}    dW = W > 0\n    return e, dW\n", "dW must be .*, got bool array"),
        (f"{DEF}    return {{'dW': {{1}}}}\n", "dW must be an array of floating-.*, got set"),
        (f"{DEF}    return {{'dW': W.astype(object)}}\n", "dW must be .*, got object array"),
    ],
)
def test_what_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(Refused, match=message):
        call(load(tmp_path, text), FORM._replace(weights=["W", "b"]), question())


def test_what_must_be_returned(tmp_path: Path) -> None:
    function = load(tmp_path, f"{DEF}    return {{'dW': x.T @ e}}\n")
    with pytest.raises(Refused, match="it returned a mapping without db"):
        call(function, FORM._replace(required=["W", "b"]), question())


def test_side_effects_are_noted(tmp_path: Path) -> None:
    def impure(body: str, result: str = "e, dW") -> list[str]:
        lines = "".join(f"    {line}\n" for line in body.splitlines())
        text = f"kept = np.zeros((3, 2))\n{DEF}{lines}    return {result}\n"
        return call(load(tmp_path, text), FORM, question()).impure

    assert impure("dW = x.T @ e") == []
    assert impure("dW = x.T @ e\nW *= 2") == ["W is changed in place"]
    assert impure("dW = W.view()") == ["dW shares its memory with W"]
    assert impure("dW = x.T @ e\ndb = dW[0]", "db, dW") == ["db shares its memory with dW"]
    assert impure("dW = kept\ndW += 1") == [
        "a second call overwrites dW, which the first has returned"
    ]


def test_earlier_questions_are_asked_first(tmp_path: Path) -> None:
    text = f"asked = []\n{DEF}    asked.append(len(x))\n    dW = x.T @ e\n    return asked, dW\n"
    function: Any = load(tmp_path, text)
    call(function, FORM, question(5), question(7), question(2))
    assert function.__globals__["asked"] == [7, 2, 5, 5]


def test_dtypes(tmp_path: Path) -> None:
    """float32 is noted; None and integers are gradients."""
    asked = question()
    narrow = Question({n: a.astype(np.float32) for n, a in asked.inputs.items()}, asked.sizes)
    called = call(load(tmp_path, f"{DEF}    dW = x.T @ e\n    return e, dW\n"), FORM, narrow)
    assert called.bits == 32
    assert called.arrays["first.W"].dtype == np.float64
    text = f"{DEF}    dW, db = None, np.zeros(len(b), int)\n    return dW, db\n"
    arrays = call(load(tmp_path, text), FORM, question()).arrays
    assert arrays["first.W"].shape == (3, 2)
    assert not arrays["first.W"].any()
    assert not arrays["first.b"].any()


def test_the_pass_s_own_names_of_what_it_gets_by_position(tmp_path: Path) -> None:
    """Its W is our b, which only its own names can tell."""
    text = (
        "def backward(inputs, targets, W_x, W):\n    e = inputs @ W_x + W - targets\n"
        "    dWx, dW = inputs.T @ e, e.sum(0)\n    return dW, dWx\n"
    )
    assert_right(load(tmp_path, text), "W", "b")


def test_a_mapping_s_key_is_no_loss_and_a_state_is_no_gradient(tmp_path: Path) -> None:
    form = Form(["x", "y", "E", "h"], ["x", "E", "h"], weights=["E"])
    asked = question()
    x, y, W, b = asked.inputs.values()
    renamed = Question({"x": x, "y": y, "E": W, "h": b})
    text = (
        "def backward(x, y, E, h):\n    e = x @ E + h - y\n"
        f"    return {{'E': x.T @ e, 'h': e[-1], 'J': {LOSS}}}\n"
    )
    called = call(load(tmp_path, text), form, renamed)
    np.testing.assert_allclose(called.arrays["first.E"], right(asked)["W"], rtol=1e-12)
    assert (called.loss, list(called.others)) == (right(asked)["loss"], ["h"])


def test_two_inputs_of_the_same_axes_at_each_other_s_place(tmp_path: Path) -> None:
    form = Form(["W_i", "W_f", "y"], ["W_i", "W_f"], axes=["n", "n", "n"])
    asked = Question({n: np.ones(3) for n in form.inputs})
    with pytest.raises(Refused, match="its W_f is W_i"):
        call(load(tmp_path, "def backward(W_f, W_i, dy): return W_f, W_i\n"), form, asked)


def test_an_overflow_is_no_warning_and_the_file_s_path_is_absolute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "its.py").write_text(
        f"import numpy as np\n{DEF}    assert __file__ == {str(tmp_path / 'its.py')!r}\n"
        "    dW = x.T @ e + 1 / (1 + np.exp(np.full(1, 1e3)))\n    return dW\n"
    )
    monkeypatch.chdir(tmp_path)
    assert_right(load_function("its.py", "backward"), "W")
