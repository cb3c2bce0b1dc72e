"""A network with one weight and a bias, whose backward pass is written in every form there is.

E = 1/2 sum (x_t W + b - y_t)^2: it has no memory, and needs none here.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bptt_check.candidate.calling import Called, Form, Question, call
from bptt_check.candidate.loading import load_function

FORM = Form(["x", "y", "W", "b"], ["x", "W", "b"])


def question(steps: int = 5, features: int = 3, outputs: int = 2) -> Question:
    rng = np.random.default_rng(steps)
    shapes = {"x": (steps, features), "y": (steps, outputs), "W": (features, outputs)}
    inputs = {name: rng.standard_normal(shape) for name, shape in shapes.items()}
    inputs["b"] = rng.standard_normal(outputs)
    return Question(inputs, {"time": steps, "n_in": features, "n_out": outputs})


def right(asked: Question) -> dict[str, Any]:
    x, y, W, b = asked.inputs.values()
    error = x @ W + b - y
    return {"x": error @ W.T, "W": x.T @ error, "b": error.sum(0), "loss": (error**2).sum() / 2}


def load(folder: Path, text: str, name: str = "backward", *, definitions_only: bool = False) -> Any:
    """A pass from a file with this text and a new name."""
    file = folder / f"pass_{len(list(folder.iterdir()))}.py"
    file.write_text(f"import numpy as np\n{text}")
    return load_function(str(file), name, definitions_only)


def assert_right(
    function: Any,
    *names: str,
    form: Form = FORM,
    loss: bool = False,
    others: Sequence[str] = (),
    unnamed: Sequence[str] = (),
) -> Called:
    """Check that two calls return the gradients of exactly these inputs, and the loss if given.

    `others`, `unnamed`: the labels of all else that is returned: numbers, and what is none.
    """
    asked = question()
    called, expected = call(function, form, asked), right(asked)
    assert {n.partition(".")[2] for n in called.arrays} == set(names)
    for name, array in called.arrays.items():
        np.testing.assert_allclose(
            array, expected[name.partition(".")[2]], rtol=1e-12, err_msg=name
        )
    assert called.loss == (expected["loss"] if loss else None)
    assert (list(called.others), list(called.unnamed)) == ([*others], [*unnamed])
    return called
