"""The checker of certificates: enclosures, targets, the certificate in examples/."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnn_numpy import verify
from rnn_numpy.tasks.targets import addition

pytestmark = pytest.mark.unannotated


def test_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert verify.main([]) == 2
    assert verify.main(["--help"]) == 0
    assert "Exit codes" in capsys.readouterr().out


@given(x=st.fractions(-60, 60, max_denominator=10**6))
def test_the_enclosure_of_exp(x: Fraction) -> None:
    """Compared with bounds of (1 + x/n)^n from below and above, by exact squaring."""
    z = int(x * verify.ONE)
    low = verify.exp_below(z)
    high = verify.ONE * verify.ONE // verify.exp_below(-z) + 1
    assert 0 < low <= high
    assert high - low <= (high >> 60) + 2
    approximate = float(np.exp(np.longdouble(float(x))))
    assert abs(low / verify.ONE - approximate) <= 1e-9 * approximate


@given(level=st.integers(1, 2**16 - 1))
def test_the_enclosure_of_the_logit(level: int) -> None:
    c = verify.ONE * level // 2**16
    z = verify.certainly_below(c)
    exact = np.log(np.longdouble(level)) - np.log(np.longdouble(2**16 - level))
    assert abs(float(z / verify.ONE - exact)) < 1e-15 * max(1, abs(float(exact)))
    # Below for certain: the mirrored bound is on the other side.
    assert z <= -verify.certainly_below(verify.ONE - c)


def test_the_targets_of_the_checker() -> None:
    for task in (0, 1):
        for number in range(4):
            x = (number & 1, number >> 1)
            step = (int(addition.next[task, number]), int(addition.output[task, number]))
            assert verify.right_step("addition", task, x) == step
