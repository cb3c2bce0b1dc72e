"""The rules for single operations give what torch's autograd gives."""

from typing import Any

import numpy as np
import pytest
import torch

from bptt_check.tracing.calls import _by_autograd, passed_back
from bptt_check.tracing.tape import Node

ATEN = torch.ops.aten
A = np.array([[0.0, -1.0, 800.0], [2.0, -800.0, 0.5]])
B = np.array([0.0, 3.0, 1.0])  # broadcast; equal at an entry
C, D = np.arange(12.0).reshape(2, 2, 3), np.arange(24.0).reshape(2, 3, 4) ** 2
CASES = [
    ("maximum", ATEN.maximum, [A, B], None),
    ("minimum", ATEN.minimum, [A, B], None),
    ("bmm", ATEN.bmm, [C, D], None),
    ("log_sigmoid_forward", ATEN.log_sigmoid_forward, [A], 0),
]


@pytest.mark.parametrize(("op", "function", "args", "which"), CASES, ids=lambda its: str(its)[:20])
def test_a_rule(op: str, function: Any, args: list[Any], which: int | None) -> None:
    node = Node(0, 0, op, function, [], {}, which)
    out = function(*map(torch.from_numpy, args))
    out = (out if which is None else out[which]).numpy()
    g = np.cos(np.arange(out.size)).reshape(out.shape)
    for j in range(len(args)):
        found, right = passed_back(node, j, args, out, g), _by_autograd(node, j, args, g)
        np.testing.assert_allclose(found, right, rtol=1e-14, atol=1e-300)
