"""Every right pass is right on every designed problem and on random ones, in both dtypes."""

import numpy as np
import pytest

from rnn_torch.error_bound.bound import reference
from rnn_torch.networks import random, stock
from tests.judge.right_passes import RIGHT
from tests.judge.stock_problems import Backward, answer, posed, used

pytestmark = pytest.mark.unannotated  # thousands of small calls
PASSES = [(name, backward) for name, three in RIGHT.items() for backward in three]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(
    ("name", "backward"), PASSES, ids=[f"{n}-{b.__module__.rpartition('.')[2]}" for n, b in PASSES]
)
def test_they_are_right_within_rounding(name: str, backward: Backward, dtype: str) -> None:
    its = stock(name)
    drawn = [(p, reference(its, p)) for p in random(its, dtype, seed=7, count=6)]
    for problem, right in [*posed(name, dtype), *drawn]:
        got = answer(backward, problem)
        assert {gradient.dtype for gradient in got.values()} == {np.dtype(dtype)}
        assert used(got, right) <= 1, problem.name
