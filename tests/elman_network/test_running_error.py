"""Running error arithmetic: each operation's error covers the worst case, and not much more.

The worst case is computed exactly, in rational numbers: every operand as far off as its error
allows, in every combination of signs, and every rounding as large as it can be.
"""

import operator
from collections.abc import Callable
from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnn_numpy.elman_network.running_error import Arithmetic, Rounded

dtypes = st.sampled_from(["float32", "float64"])
# A value, and its error as a part of it: none, or small enough for the first order to dominate.
operands = st.tuples(
    st.floats(0.01, 100).flatmap(lambda v: st.sampled_from([v, -v])),
    st.sampled_from([0.0, 1e-6, 1e-4, 1e-3]),
)
Operand = tuple[float, float]
SLACK = Fraction(11, 10)  # what second-order terms and the bound's own rounding may add


def rounded(*pairs: Operand) -> Rounded:
    values = np.array([[value for value, _ in pairs]])
    return Rounded(values, np.array([[abs(value) * part for value, part in pairs]]))


def cases(pair: Operand) -> list[tuple[Fraction, Fraction]]:
    """Pairs of an exact value and an evaluation, at the limits that the error allows."""
    value, part = pair
    error = Fraction(abs(value) * part)
    return [
        (Fraction(value) + i * error, Fraction(value) + i * error + j * error)
        for i, j in product((-1, 0, 1), repeat=2)
    ]


def check(got: Rounded, worst: Fraction, arithmetic: Arithmetic, tiny: int = 1) -> None:
    """Check that the bound is at least the worst case, and at most a tenth above it."""
    worst += tiny * Fraction(arithmetic.underflow)
    error = Fraction(got.error.item())
    assert error * (1 + Fraction(1, 2**20)) >= worst
    assert error <= SLACK * worst


def roundings(arithmetic: Arithmetic, count: int) -> list[Fraction]:
    unit = Fraction(arithmetic.unit_roundoff)
    return [(1 + unit) ** count, (1 - unit) ** count, Fraction(1)]


def worst_of(
    function: Callable[[Fraction, Fraction], Fraction],
    a: Operand,
    b: Operand,
    arithmetic: Arithmetic,
    count: int,
) -> Fraction:
    """How far this function, after so many roundings, can be off."""
    return max(
        abs(function(a_seen, b_seen) * factor - function(a_exact, b_exact))
        for (a_exact, a_seen), (b_exact, b_seen) in product(cases(a), cases(b))
        for factor in roundings(arithmetic, count)
    )


@given(dtypes, operands, operands)
def test_times_and_minus(dtype: str, a: Operand, b: Operand) -> None:
    arithmetic = Arithmetic(np.dtype(dtype))
    got = arithmetic.times(rounded(a), rounded(b))
    assert got.value.item() == a[0] * b[0]
    check(got, worst_of(operator.mul, a, b, arithmetic, 2), arithmetic, 2)

    got = arithmetic.minus(rounded(a), rounded(b))
    assert got.value.item() == a[0] - b[0]
    # Where the operands nearly cancel, the error is theirs: twice as loose, and still sound.
    error, unit = Fraction(got.error.item()), Fraction(arithmetic.unit_roundoff)
    worst, tiny = worst_of(operator.sub, a, b, arithmetic, 1), Fraction(arithmetic.underflow)
    assert error * (1 + Fraction(1, 2**20)) >= worst + tiny
    inherited = sum(Fraction(abs(v) * part) for v, part in (a, b))
    largest = abs(Fraction(a[0]) - Fraction(b[0])) + 2 * inherited
    assert error <= (inherited + unit * largest + tiny) * (1 + Fraction(1, 2**20))


@given(dtypes, st.lists(st.tuples(operands, operands), min_size=1, max_size=3), st.booleans())
def test_dot(dtype: str, terms: list[tuple[Operand, Operand]], in_pairs: bool) -> None:
    """One sum of all terms, given as one product or as several."""
    arithmetic = Arithmetic(np.dtype(dtype))
    # The worst of a sum: every term off in the same direction.
    worst = sum(
        (worst_of(operator.mul, a, b, arithmetic, len(terms)) for a, b in terms), Fraction(0)
    )
    if in_pairs:
        got = arithmetic.dot(*((rounded(a), rounded(b)) for a, b in terms))
    else:
        left, right = (rounded(*column) for column in zip(*terms, strict=True))
        got = arithmetic.dot((left, right.T))
    check(got, worst, arithmetic, 2 * len(terms))  # each product, and each sum


@given(dtypes, st.floats(-30, 30), st.sampled_from([0.0, 1e-6, 1e-2]))
def test_sigmoid(dtype: str, z: float, error: float) -> None:
    arithmetic = Arithmetic(np.dtype(dtype))
    got = arithmetic.sigmoid(Rounded(np.array([z]), np.array([error])))

    def slope(at: float) -> float:
        e = np.exp(-abs(at))
        return float(e / (1 + e) ** 2)

    assert got.value.item() == pytest.approx(1 / (1 + np.exp(-z)), rel=1e-12)
    # The steepest slope between any two of value, exact result and evaluation, by search.
    steepest = max(slope(z + 2 * error * part) for part in np.linspace(-1, 1, 41))
    if abs(z) <= 2 * error:
        steepest = 0.25
    # 4 ulps of exp, an addition and a division: ten unit roundoffs of 1.
    made = 10 * arithmetic.unit_roundoff + arithmetic.underflow
    worst = Fraction(error * steepest + made)
    assert Fraction(got.error.item()) >= worst * Fraction(999_999, 1_000_000)
    assert Fraction(got.error.item()) <= SLACK * worst


@given(dtypes, st.floats(0.001, 0.999), st.sampled_from([0.0, 1e-6, 1e-4]))
def test_slope(dtype: str, h: float, part: float) -> None:
    arithmetic = Arithmetic(np.dtype(dtype))
    got = arithmetic.slope(rounded((h, part)))
    worst = max(
        abs(seen * (1 - seen) * factor - exact * (1 - exact))
        for exact, seen in cases((h, part))
        for factor in roundings(arithmetic, 20)  # twice exp, and four more
    )
    assert got.value.item() == h * (1 - h)
    error = Fraction(got.error.item()) * (1 + Fraction(1, 2**20))
    assert error >= worst + 2 * Fraction(arithmetic.underflow)
    # At h = 1/2 the first order vanishes; three errors squared are left.
    second = 4 * Fraction(h * part) ** 2
    assert error <= SLACK * (worst + second) + 2 * Fraction(arithmetic.underflow)


@pytest.mark.parametrize("bad", [np.inf, np.nan, 3.4028235e38])
def test_a_result_that_may_overflow_has_an_infinite_bound(bad: float) -> None:
    arithmetic = Arithmetic(np.dtype("float32"))
    one, unknown = Rounded.of([[1.0]]), Rounded(np.array([[bad]]), np.array([[1e33]]))
    with np.errstate(all="ignore"):
        for result in (
            arithmetic.times(one, unknown),
            arithmetic.dot((one, unknown)),
            arithmetic.minus(one, unknown),
        ):
            assert np.isinf(result.error)
        # Only an unknown error makes a sigmoid unknown: infinity minus infinity is NaN.
        endless = Rounded(np.array([0.0]), np.array([np.inf]))
        assert np.isinf(arithmetic.sigmoid(endless).error)
        assert arithmetic.sigmoid(Rounded(np.array([0.0]), np.array([1e6]))).error == 1


@pytest.mark.parametrize(("third", "known"), [(-2.9e38, False), (-1e38, True)])
def test_a_partial_sum_that_may_overflow_has_an_infinite_bound(third: float, known: bool) -> None:
    """It overflows in some order of summation, although the sum is small."""
    arithmetic = Arithmetic(np.dtype("float32"))
    left = Rounded.of([[1.0, 1.0, 1.0]])
    right = Rounded.of([[1e38], [1e38 if known else 2.9e38], [third]])
    assert np.isfinite(arithmetic.dot((left, right)).error).all() == known
    pairs = [(left[:, i : i + 1], right[i : i + 1]) for i in range(3)]
    assert np.isfinite(arithmetic.dot(*pairs).error).all() == known


def test_a_subnormal_number_may_be_read_as_zero() -> None:
    arithmetic = Arithmetic(np.dtype("float32"))
    tiny = float(np.finfo(np.float32).tiny)
    given_ = arithmetic.given(np.array([0, tiny, -tiny / 4, 1]), 0.5)
    np.testing.assert_array_equal(given_.error, [0.5, 0.5, 0.5 + tiny / 4, 0.5])
    np.testing.assert_array_equal(arithmetic.given([tiny / 2]).error, [tiny / 2])


def test_gamma() -> None:
    arithmetic = Arithmetic(np.dtype("float32"))
    unit = Fraction(1, 2**24)
    assert arithmetic.unit_roundoff == unit
    for n in (1, 10, 2**20, 2**23):
        exact = n * unit / (1 - n * unit)
        assert abs(Fraction(arithmetic.gamma(n)) - exact) <= exact / 2**50
    assert arithmetic.gamma(2**24) == np.inf
    assert arithmetic.gamma(2**25) == np.inf
    assert 1 < arithmetic.bound(Rounded.of(1.0, 1.0)) < 1.00001  # for the rounding of the bound


def test_results_of_zero_may_have_underflowed() -> None:
    arithmetic = Arithmetic(np.dtype("float32"))
    tiny = float(np.finfo(np.float32).tiny)
    zero = Rounded.of(np.zeros((2, 2)))
    for result, expected in (
        (arithmetic.times(zero, zero), 2 * tiny),
        (arithmetic.minus(zero, zero), tiny),
        (arithmetic.slope(zero), 2 * tiny),
        (arithmetic.dot((zero, zero), (zero, zero)), 8 * tiny),
    ):
        np.testing.assert_array_equal(result.error, np.full((2, 2), expected))
