"""Every form of call and of return in published code, and the messages of refusals."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bptt_check.candidate.calling import Form, Question, Refused, call
from bptt_check.candidate.loading import load_function
from forms_of_passes import FORM, assert_right, load, question, right

pytestmark = pytest.mark.unannotated

ERROR = "    e = x @ W + b - y\n"
DEF = f"def backward(x, y, W, b):\n{ERROR}"
ALL = ("x", "W", "b")


def indented(body: str, by: str = "    ") -> str:
    return "".join(f"{by}{line}\n" for line in body.splitlines())


@pytest.mark.parametrize(
    ("text", "names", "loss", "others"),
    [
        (f"{DEF}    return e @ W.T, x.T @ e, e.sum(0)\n", ALL, False, []),
        (f"{DEF}    dW, db = x.T @ e, e.sum(0)\n    return dW, db\n", ("W", "b"), False, []),
        (f"{DEF}    dW, db = x.T @ e, e.sum(0)\n    return db, dW\n", ("W", "b"), False, []),
        (f"{DEF}    dW = x.T @ e\n    return dW\n", ("W",), False, []),
        (f"{DEF}    return {{'W': x.T @ e, 'db': e.sum(0)}}\n", ("W", "b"), False, []),
        (f"{DEF}    dW, J = x.T @ e, (e**2).sum() / 2\n    return J, dW, W\n", ("W",), True, "W"),
        (f"{DEF}    g = {{'W': x.T @ e}}\n    return (e**2).sum() / 2, g\n", ("W",), True, []),
        (f"{DEF}    return (e**2).sum() / 2, [e @ W.T, x.T @ e, e.sum(0)]\n", ALL, True, []),
        (
            f"{DEF}    W_d, b_d, total_cost = x.T @ e, e.sum(0), (e**2).sum() / 2\n"
            "    grads = W_d, b_d\n    return total_cost, grads\n",
            ("W", "b"),
            True,
            [],
        ),
        (f"{DEF}    g = []\n    g += [e @ W.T, x.T @ e, e.sum(0)]\n    return g\n", ALL, False, []),
        (
            f"{DEF}    if x is None:\n        return 0, 0\n    dW = x.T @ e\n    return dW, e\n",
            ("W",),
            False,
            ["e"],
        ),
    ],
)  # fmt: skip
def test_what_is_returned(
    tmp_path: Path, text: str, names: Sequence[str], loss: bool, others: Sequence[str]
) -> None:
    assert_right(load(tmp_path, text), *names, loss=loss, others=others)


@pytest.mark.parametrize(
    "name",
    ["dW", "dLdW", "dL_dW", "d_W", "D_W", "grad_W", "gradW", "W_grad", "W_d", "W_diff", "delta_W"],
)
def test_what_a_gradient_is_called(tmp_path: Path, name: str) -> None:
    assert_right(
        load(tmp_path, f"{DEF}    {name} = x.T @ e\n    return e, {name}\n"), "W", others="e"
    )


def test_a_variable_with_an_inputs_name_is_no_gradient(tmp_path: Path) -> None:
    """`return dW, h`, where h is the last state, and the initial state is an input h."""
    assert_right(
        load(tmp_path, f"{DEF}    dW, b = x.T @ e, e[0]\n    return dW, b\n"), "W", others="b"
    )


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
    text = f"{head}{ERROR}    return e @ W.T, x.T @ e, e.sum(0)\n"
    assert_right(load(tmp_path, text), *ALL)


def test_a_parameter_hides_the_global_of_its_name(tmp_path: Path) -> None:
    text = (
        f"W = 'a constant'\ndef it():\n    return W\n{DEF}    dW = x.T @ e\n    return dW, it()\n"
    )
    function = load(tmp_path, text)
    assert_right(function, "W", unnamed=["it()"])
    assert function.__globals__["W"] == "a constant"


NET = (
    "class Net:\n"
    "    def __init__(self, n_in, n_out=7, bptt_truncate=4):\n"
    "        self.shape, self.truncate = (n_in, n_out), bptt_truncate\n"
    "        self.W, self.b = np.zeros((n_in, n_out)), np.zeros(n_out)\n"
)
USES = "        e = x @ self.W + self.b - y\n        assert self.shape == self.W.shape\n"


def test_an_object_is_made_of_the_sizes(tmp_path: Path) -> None:
    text = f"{NET}    def back(self, x, y):\n{USES}        assert self.truncate == 4\n"
    text += "        dW = x.T @ e\n        return e, dW\n"
    assert_right(load(tmp_path, text, "Net.back"), "W", others="e")


def test_an_object_is_made_of_the_inputs(tmp_path: Path) -> None:
    text = (
        "class Layer:\n    def __init__(self, W, b):\n        self.params = [W, b]\n"
        "    def back(self, x, y):\n        W, b = self.params\n"
        "        e = x @ W + b - y\n        self.dW = x.T @ e\n        return e\n"
    )
    assert_right(
        load(tmp_path, text, "Layer.back"), "W", others="e"
    )  # the gradient is an attribute


@pytest.mark.parametrize("init", ["text, n_in=3, rate=0.1", "n_in"])
def test_an_object_that_cannot_be_made_has_attributes(tmp_path: Path, init: str) -> None:
    text = (
        f"class Net:\n    def __init__(self, {init}):\n        self.text = open('no such file')\n"
        "    def back(self, x, y):\n        e = x @ self.W + self.b - y\n"
        "        assert self.n_in == len(self.W)\n        dW = x.T @ e\n        return e, dW\n"
    )
    assert_right(load(tmp_path, text, "Net.back"), "W", others="e")


def test_one_function_after_the_other(tmp_path: Path) -> None:
    text = (
        "def forward(x, W, b):\n    out = x @ W + b\n    cache = x, W\n    return out, cache\n"
        "def backward(out, y, cache):\n    x, W = cache\n    e = out - y\n"
        "    return e @ W.T, x.T @ e, e.sum(0)\n"
    )
    assert_right(load(tmp_path, text, "forward,backward"), *ALL)
    with pytest.raises(Refused, match=r"takes \(out, y, q\), but the network has no q; the"):
        call(load(tmp_path, text.replace("cache):", "q):"), "forward,backward"), FORM, question())


def test_one_method_after_the_other(tmp_path: Path) -> None:
    text = (
        f"{NET}    def forward(self, x):\n        self.x = x\n        return x @ self.W + self.b\n"
        "    def backward(self, y):\n        e = self.forward(self.x) - y\n"
        "        self.dW, self.db = self.x.T @ e, e.sum(0)\n"
    )
    assert_right(load(tmp_path, text, "Net.forward,Net.backward"), "W", "b")
    with pytest.raises(Refused, match="must be functions, or methods of one class"):
        load(tmp_path, f"{text}def other(x): pass\n", "other,Net.backward")


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
}


@pytest.mark.parametrize("way", UPDATES)
def test_an_update_with_a_rate(tmp_path: Path, way: str) -> None:
    """An input that it does not update has the gradient 0; the judge requires only the weights'."""
    function = load(tmp_path, UPDATES[way], "Net.back" if way == "attribute" else "backward")
    asked = question()
    called = call(function, FORM._replace(gradients=["W", "b"], rate=0.5), asked)
    x, y, W, b = asked.inputs.values()
    for which in ("first", "second"):
        gradient = called.arrays[f"{which}.W"]
        np.testing.assert_allclose(gradient, x.T @ (x @ W + b - y), rtol=1e-9)
        assert not called.arrays[f"{which}.b"].any()
    assert called.impure == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def backward(x, y): return x\n", r"takes \(x, y\), but does not use W, b"),
        ("def backward(x, y, W, c): return x\ndef use(): return c\n", None),
        ("def backward(x, q): return x\n", r"not use y, W, b; the network's inputs are x, y, W, b"),
        ("def backward(x, y, W, b, q): return x\n", "but the network has no q"),
        (f"{DEF}    return None\n", r"must return \(dx, dW, db\) or a mapping .*, got NoneType"),
        (f"{DEF}    return x, y\n", "got tuple of 2"),
        (f"{DEF}    return {{'V': x}}\n", "it returned a mapping without dx, dW, db"),
        (f"{DEF}    dW = ['W']\n    return e, dW\n", r"without a meaning: e, dW\[0\]"),
        (f"{DEF}    dW = W > 0\n    return e, dW\n", "dW must be .*, got bool array"),
        (f"{DEF}    return {{'dW': {{1}}}}\n", "dW must be an array of floating-.*, got set"),
        (f"{DEF}    return {{'dW': W.astype(object)}}\n", "dW must be .*, got object array"),
    ],
)
def test_what_is_refused(tmp_path: Path, text: str, message: str | None) -> None:
    function = load(tmp_path, text)
    if message is None:  # as many parameters as inputs: by position
        message = "must return"
    with pytest.raises(Refused, match=message):
        call(function, FORM, question())


def test_what_must_be_returned(tmp_path: Path) -> None:
    form = FORM._replace(required=["W", "b"])
    function = load(tmp_path, f"{DEF}    return {{'dW': x.T @ e}}\n")
    with pytest.raises(Refused, match="it returned a mapping without db"):
        call(function, form, question())
    text = f"{DEF}    one, other = x.T @ e, e.sum(0)\n    return one, other\n"
    assert_right(load(tmp_path, text), "W", "b", form=form)


def test_side_effects_are_noted(tmp_path: Path) -> None:
    def impure(body: str) -> list[str]:
        text = f"kept = np.zeros((3, 2))\n{DEF}{indented(body)}    return e, dW\n"
        return call(load(tmp_path, text), FORM, question()).impure

    assert impure("dW = x.T @ e") == []
    assert impure("dW = x.T @ e\nW *= 2") == ["W is changed in place"]
    assert impure("dW = W.view()") == ["dW shares its memory with W"]
    assert impure("dW = kept\ndW += 1") == [
        "a second call overwrites dW, which the first has returned"
    ]


def test_earlier_questions_are_asked_first(tmp_path: Path) -> None:
    text = f"asked = []\n{DEF}    asked.append(len(x))\n    dW = x.T @ e\n    return asked, dW\n"
    function: Any = load(tmp_path, text)
    call(function, FORM, question(5), question(7), question(2))
    assert function.__globals__["asked"] == [7, 2, 5, 5]


def test_float32_stays_float32(tmp_path: Path) -> None:
    asked = question()
    narrow = Question({n: a.astype(np.float32) for n, a in asked.inputs.items()}, asked.sizes)
    called = call(load(tmp_path, f"{DEF}    dW = x.T @ e\n    return e, dW\n"), FORM, narrow)
    assert called.bits == 32
    assert called.arrays["first.W"].dtype == np.float64


GRADIENTS = [
    ("dW, db = torch.tensor(x.T @ e, requires_grad=True), e.sum(0).tolist()", "dW, db"),
    ("dW, db = (x.T @ e).tolist(), list(e.sum(0))", "{'W': dW, 'b': db}"),
    ("W_grad, b_grad = x.T @ e, torch.tensor(e.sum(0))", "((b_grad,), [W_grad])"),
    ("dW, db = x.T @ e, e.sum(0)", "dW.copy(), db / 1.0"),
    ("E, dW, db = x.T @ e, None, None", "dict(W=E, b=e.sum(0))"),
    ("Both = __import__('collections').namedtuple('Both', 'dW b')", "Both(x.T @ e, e.sum(0))"),
]


@pytest.mark.parametrize(("body", "result"), GRADIENTS)
def test_kinds_of_gradients(tmp_path: Path, body: str, result: str) -> None:
    text = f"import torch\n{DEF}    {body}\n    return {result}\n"
    assert_right(load(tmp_path, text), "W", "b")


def test_none_and_integers_are_gradients(tmp_path: Path) -> None:
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


def test_a_gradient_is_named_by_its_place_only_if_all_are(tmp_path: Path) -> None:
    form = FORM._replace(weights=["W", "b"])
    text = f"{DEF}    loss = (e**2).sum() / 2\n    one, two = x.T @ e, e.sum(0)\n"
    assert_right(
        load(tmp_path, f"{text}    return loss, one, two\n"), "W", "b", form=form, loss=True
    )
    dW = f"{text}    dW = one\n"
    assert_right(load(tmp_path, f"{dW}    return dW, two\n"), "W", "b", form=form)
    assert_right(load(tmp_path, f"{dW}    return two, dW\n"), "W", form=form, others=["two"])
    keyed = f"{text}    return loss, one, {{'b': two}}\n"  # one may be a state
    assert_right(load(tmp_path, keyed), "b", form=form, others=["one"], loss=True)
    with pytest.raises(Refused, match="without a meaning: one, two, e"):
        call(load(tmp_path, f"{text}    return one, two, e, loss\n"), form, question())


def test_a_mapping_s_key_is_no_loss_and_a_state_is_no_gradient(tmp_path: Path) -> None:
    form = Form(["x", "y", "E", "h"], ["x", "E", "h"], weights=["E"])
    asked = question()
    x, y, W, b = asked.inputs.values()
    renamed = Question({"x": x, "y": y, "E": W, "h": b})
    text = (
        "def backward(x, y, E, h):\n    e = x @ E + h - y\n"
        "    return {'E': x.T @ e, 'h': e[-1], 'J': (e**2).sum() / 2}\n"
    )
    called = call(load(tmp_path, text), form, renamed)
    np.testing.assert_allclose(called.arrays["first.E"], right(asked)["W"], rtol=1e-12)
    assert (called.loss, list(called.others)) == (right(asked)["loss"], ["h"])


CLASS = "class Net:\n    def __init__(self, n_in, n_out):\n        W, b = {zeros}\n        {keep}\n"
CLASS = CLASS.replace("{zeros}", "np.zeros((n_in, n_out)), np.zeros(n_out)")
KEPT = {
    "self.params = {'W': W, 'b': b}": "self.params['W'], self.params['b']",
    "self.its = {'cell': {'W': W}}; self.b = b": "self.its['cell']['W'], self.b",
    "self.params = {'W': W, 'b': b}; self.memory = {'W': W.copy()}": "self.params.values()",
    "self.params = {'W': W, 'b': b}; self.A = W": "self.A, self.params['b']",
}


@pytest.mark.parametrize("keep", KEPT)
def test_weights_in_a_mapping_of_an_object(tmp_path: Path, keep: str) -> None:
    text = CLASS.replace("{keep}", keep) + (
        f"    def back(self, x, y):\n        W, b = {KEPT[keep]}\n        e = x @ W + b - y\n"
        "        assert not getattr(self, 'memory', {'W': np.zeros(1)})['W'].any()\n"
        "        self.grads = {'W': x.T @ e, 'b': e.sum(0)}\n        return (e**2).sum() / 2\n"
    )
    assert_right(load(tmp_path, text, "Net.back"), "W", "b", loss=True)


def test_weights_by_position_of_init(tmp_path: Path) -> None:
    text = (
        "class Layer:\n    def __init__(self, A, c):\n        self.kept = [A, c]\n"
        "    def back(self, x, y):\n        A, c = self.kept\n        e = x @ A + c - y\n"
        "        dA, dc = x.T @ e, e.sum(0)\n        return dc, dA\n"
    )
    form = FORM._replace(weights=["W", "b"])
    assert_right(load(tmp_path, text, "Layer.back"), "W", "b", form=form)


def test_weights_that_an_object_never_reads_are_lost(tmp_path: Path) -> None:
    text = CLASS.replace("{keep}", "self.layers = [[W, b]]") + (
        "    def back(self, x, y):\n        W, b = self.layers[0]\n"
        "        dW = x.T @ (x @ W + b - y)\n        return dW\n"
    )
    with pytest.raises(Refused, match="does not use W, b"):
        call(load(tmp_path, text, "Net.back"), FORM, question())


def test_weights_that_are_set_as_globals_are_reported(tmp_path: Path) -> None:
    text = f"W, b = 1, 2\ndef backward(x, y, b):\n{ERROR}    dW = x.T @ e\n    return dW\n"
    assert assert_right(load(tmp_path, text), "W").set_globals == ["W"]
    assert (
        assert_right(load(tmp_path, f"{DEF}    dW = x.T @ e\n    return dW\n"), "W").set_globals
        == []
    )


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


def test_updated_weights_may_be_returned(tmp_path: Path) -> None:
    text = f"{DEF}    return W - (x.T @ e) / 2, b\n".replace("return W -", "W = W -").replace(
        ", b\n", "\n    return W, b\n"
    )
    form = FORM._replace(gradients=["W", "b"], rate=0.5)
    called = call(load(tmp_path, text), form, question())
    np.testing.assert_allclose(called.arrays["first.W"], right(question())["W"], rtol=1e-9)
