"""Rounded states, the exploration, the minimised machine: held against running the network."""

from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agreement import assert_within, numpy_array
from rnn_numpy import Params, bounds, bptt, forward, initial_params
from rnn_numpy.addition import draw_pairs, encode, from_bits
from rnn_numpy.explore import explore
from rnn_numpy.machine import minimise, replay
from rnn_numpy.online import sgd
from rnn_numpy.recipe import Dtype, Recipe, start
from rnn_numpy.targets import Target, addition, by_name, comparison, multiplication, subtraction
from rnn_torch import ElmanRNN, FusedElmanRNN, autograd_gradient
from rnn_torch.model import squared_error

TARGETS = (addition, subtraction, comparison, multiplication(3), multiplication(1))


def trained(seed: int, dtype: Dtype = "float64") -> Params:
    """The recipe's weights."""
    params, rng = start(Recipe(seed=seed, dtype=dtype))
    sgd(params, 8, 0.1).descend(draw_pairs(rng, 8, 20_000))
    return params


@pytest.fixture(scope="module")
def proved() -> Params:
    return trained(3)


@pytest.fixture(scope="module")
def refuted() -> Params:
    return trained(1)


def random_params(seed: int, target: Target, hidden: int, scale: float, dtype: str) -> Params:
    params = initial_params(np.random.RandomState(seed), target.operands, hidden, 1)
    return Params(*((scale * p).astype(dtype) for p in params))


@given(
    bits=st.integers(1, 16),
    seed=st.integers(0, 2**32 - 1),
    dtype=st.sampled_from([np.float32, np.float64]),
    model_class=st.sampled_from([ElmanRNN, FusedElmanRNN]),
)
def test_rounded_states_in_both_packages(
    bits: int, seed: int, dtype: type[np.floating[Any]], model_class: type[ElmanRNN]
) -> None:
    rng = np.random.RandomState(seed)
    time, batch, n_in, hidden, n_out = rng.randint(1, [9, 4, 4, 9, 3]).tolist()
    params = initial_params(rng, n_in, hidden, n_out, dtype)
    x, y = rng.randn(time, batch, n_in).astype(dtype), rng.rand(time, batch, n_out).astype(dtype)
    h_0 = rng.rand(batch, hidden).astype(dtype)
    allowed = bounds(params, x, y, h_0=h_0, state_bits=bits)
    outputs, trace = forward(params, x, h_0, state_bits=bits)
    in_steps = trace.states[1:] * 2**bits
    assert (in_steps == np.rint(in_steps)).all()
    assert np.abs(trace.states[1:] - trace.unrounded).max() <= 2.0 ** -(bits + 1)

    model = model_class.from_params(params)
    o, h = model(torch.from_numpy(x), torch.from_numpy(h_0), state_bits=bits)
    squared_error(o, torch.from_numpy(y)).backward()
    by_hand = {"outputs": outputs, "states": trace.states[1:], **bptt(params, trace, y)._asdict()}
    by_autograd = {"outputs": numpy_array(o), "states": numpy_array(h)}
    by_autograd |= {name: numpy_array(p.grad) for name, p in model.named_parameters()}
    limits = {"outputs": allowed.outputs, "states": allowed.states, **allowed.params._asdict()}
    assert_within(by_hand, by_autograd, limits)


def test_half_goes_to_even_and_the_gradient_goes_straight_through() -> None:
    # sigmoid(0) = 1/2 and sigmoid(log 3) = 3/4: with 1 bit, one is a multiple and one is a tie.
    z = np.array([[[0.0, np.log(3), -np.log(3)]]])
    params = Params(np.eye(3), np.zeros((3, 3)), np.ones((3, 1)))
    _, trace = forward(params, z, state_bits=1)
    assert trace.states[1].tolist() == [[0.5, 1.0, 0.0]]  # 1.5 to 2, 0.5 to 0
    model = ElmanRNN.from_params(params)
    x = torch.tensor(z, requires_grad=True)
    _, states = model(x, state_bits=1)
    states.sum().backward()
    assert x.grad is not None
    np.testing.assert_array_equal(states.detach().numpy(), trace.states[1:])
    np.testing.assert_allclose(x.grad[0, 0], [1 / 4, 3 / 16, 3 / 16], rtol=1e-15)


def test_a_network_learns_under_the_rounding() -> None:
    """With two bits a state: the straight-through gradient is one that goes down."""
    params, rng = start(Recipe(seed=0, bits=4))
    model = ElmanRNN.from_params(params)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    pairs = rng.randint(8, size=(300, 2, 32))
    losses = []
    for a, b in pairs.tolist():
        x, y = (torch.from_numpy(array) for array in encode(a, b, 4))
        loss = squared_error(model(x, state_bits=2)[0], y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert np.mean(losses[-20:]) < 0.5 * np.mean(losses[:20])


@pytest.mark.unannotated
@pytest.mark.parametrize("bits", [0, 17, -1])
def test_state_bits_out_of_range(bits: int) -> None:
    params = trained(3)
    x = np.zeros((1, 1, 2))
    with pytest.raises(ValueError, match=f"state_bits must be 1 to 16, got {bits}"):
        forward(params, x, state_bits=bits)
    with pytest.raises(ValueError, match=f"state_bits must be 1 to 16, got {bits}"):
        explore(params, bits)
    with pytest.raises(ValueError, match=f"state_bits must be 1 to 16, got {bits}"):
        ElmanRNN.from_params(params)(torch.from_numpy(x), state_bits=bits)
    with pytest.raises(TypeError, match=r"state_bits must be an integer or None, got 2\.5"):
        forward(params, x, state_bits=2.5)  # type: ignore[arg-type]


def every_path(target: Target, steps: int) -> np.ndarray:
    """(steps, paths, operands): every sequence of inputs of this length."""
    paths = np.array(list(product(range(2**target.operands), repeat=steps))).T
    return (paths[..., np.newaxis] >> np.arange(target.operands) & 1).astype(float)


def right_bits(target: Target, x: np.ndarray) -> np.ndarray:
    numbers = (x * 2 ** np.arange(target.operands)).sum(axis=2).astype(int)
    return np.array([target.run(path) for path in numbers.T]).T


@given(
    target=st.sampled_from(TARGETS),
    hidden=st.integers(1, 4),
    bits=st.integers(1, 3),
    seed=st.integers(0, 2**32 - 1),
    scale=st.sampled_from([0.3, 1, 5]),
    dtype=st.sampled_from(["float32", "float64"]),
)
@example(
    target=multiplication(1), hidden=2, bits=1, seed=4, scale=5, dtype="float32"
)  # back at h = 0
def test_verdicts_against_running_every_short_input(
    target: Target, hidden: int, bits: int, seed: int, scale: float, dtype: str
) -> None:
    """The exploration knows exactly as many states as are reached, and the first wrong bit."""
    params = random_params(seed, target, hidden, scale, dtype)
    verdict = explore(params, bits, target)
    steps = 4 if target.operands == 2 else 8
    x = every_path(target, steps)
    outputs, trace = forward(params, x.astype(dtype), state_bits=bits)
    wrong = (outputs[..., 0] > 0.5) != right_bits(target, x)
    first = int(np.argmax(wrong.any(axis=1))) + 1 if wrong.any() else None
    sure = len(verdict.machine.branches) == 0 and verdict.margin > verdict.margin_error
    if verdict.status == "refuted" and sure:
        assert verdict.counterexample is not None
        assert first == (verdict.depth if verdict.depth <= steps else None)
        assert replay(params, verdict).said != replay(params, verdict).right
    elif verdict.status == "proved":
        assert first is None
    reached = {row.tobytes() for row in trace.states.reshape(-1, hidden)}
    known = {row.tobytes() for row in (verdict.machine.levels * 2.0**-bits).astype(dtype)}
    depth = verdict.depth if first is None else first - 1
    shallow = {row.tobytes() for row in trace.states[: depth + 1].reshape(-1, hidden)}
    assert shallow <= known
    if verdict.status == "proved":
        assert reached <= known


def test_a_proved_adder_is_the_carry(proved: Params) -> None:
    verdict = explore(proved, 5)
    assert (verdict.status, verdict.states, verdict.depth) == ("proved", 4020, 18)
    assert verdict.margin > verdict.margin_error > 0
    assert verdict.tie_distance > verdict.tie_error > 0
    minimal = minimise(verdict.machine)
    np.testing.assert_array_equal(minimal.next, addition.next)
    np.testing.assert_array_equal(minimal.output, addition.output)
    # The class of each state is the carry that led there: found, not assumed.
    np.testing.assert_array_equal(minimal.classes, verdict.machine.task)


def operands(bits: int) -> list[tuple[int, int]]:
    """Random and adversarial ones."""
    rng = np.random.default_rng(bits)
    ones, alternating = 2**bits - 1, int("10" * bits, 2) % 2**bits
    randoms = [int.from_bytes(rng.bytes(bits // 8 + 1), "little") % 2**bits for _ in range(6)]
    return [(ones, 1), (1, ones), (ones, ones), (0, 0), (alternating, alternating),
            (alternating, ones - alternating), (ones - 1, 2), (ones ^ 2 ** (bits // 2), 3),
            *zip(randoms[::2], randoms[1::2], strict=True)]  # fmt: skip


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("bits", [1, 2, 9, 64, 1000, 4096])
def test_a_proved_adder_adds_whatever_the_order_of_summation(bits: int, dtype: Dtype) -> None:
    params = trained(3, dtype)
    assert explore(params, 5).status == "proved"
    a, b = zip(*operands(bits), strict=True)
    x, y = encode(a, b, bits + 1, dtype)
    order = np.random.default_rng(0).permutation(len(params.W))
    U, W, V = params
    permuted = Params(U[:, order], W[order][:, order], V[order])
    for weights in (params, permuted):
        outputs, _ = forward(weights, x, state_bits=5)
        np.testing.assert_array_equal(outputs > 0.5, y > 0.5)
        with torch.inference_mode():
            model = ElmanRNN.from_params(weights)
            said, _ = model(torch.from_numpy(x), state_bits=5)
        np.testing.assert_array_equal(said.numpy() > 0.5, y > 0.5)


@given(bits=st.integers(1, 4096), seed=st.integers(0, 2**32 - 1))
@settings(max_examples=15)
def test_random_operands_in_random_orders(bits: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    U, W, V = trained(3)
    order = rng.permutation(len(W))
    a, b = ([int.from_bytes(rng.bytes(bits // 8 + 1), "little") >> (8 - bits % 8)
             for _ in range(4)] for _ in "ab")  # fmt: skip
    x, y = encode(a, b, bits + 1)
    outputs, _ = forward(Params(U[:, order], W[order][:, order], V[order]), x, state_bits=5)
    np.testing.assert_array_equal(outputs > 0.5, y > 0.5)


def by_hand(target: Target) -> Params:
    """Networks thought out, not learned: 40 is as good as infinity for a sigmoid."""
    if target is comparison:  # greater, not greater; both 1/2 until the first bit that differs
        W = np.array([[20.0, -20], [-20, 20]])
        return Params(np.array([[40.0, -40], [-40, 40]]), W, np.array([[1], [-1.2]]))
    # Twice a: say what a was a step ago. Units: a, what that was, and a constant 1/2.
    U, V = np.array([[40.0, 0, 0]]), np.array([[0], [1], [-1.2]])
    W = np.array([[0, 40.0, 0], [0, 0, 0], [0, -60, 0]])
    return Params(U, W, V)


@pytest.mark.parametrize("target", [comparison, multiplication(2)], ids=lambda t: t.name)
def test_other_targets_are_proved(target: Target) -> None:
    verdict = explore(by_hand(target), 2, target)
    assert verdict.status == "proved", verdict.reason
    minimal = minimise(verdict.machine)
    np.testing.assert_array_equal(minimal.next, target.next)
    np.testing.assert_array_equal(minimal.output, target.output)


@pytest.mark.parametrize("target", [subtraction, multiplication(3)], ids=lambda t: t.name)
def test_other_targets_are_learned(target: Target) -> None:
    """One of a few seeds is proved, and what was learned is the borrow, or the carries."""
    for seed in range(6):
        rng = np.random.default_rng(seed)
        torch.manual_seed(seed)
        model = FusedElmanRNN(target.operands, 16, 1, dtype=torch.float64)
        optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
        for _ in range(1200):
            numbers = rng.integers(2**target.operands, size=(12, 32))
            x = numbers[..., np.newaxis] >> np.arange(target.operands) & 1
            y = np.stack([target.run(path) for path in numbers.T], axis=1)[..., np.newaxis]
            outputs, _ = model(torch.tensor(x, dtype=torch.float64))
            loss = torch.nn.functional.binary_cross_entropy(outputs, torch.tensor(y * 1.0))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        verdict = explore(model.to_params(), 5, target)
        if verdict.status == "proved":
            break
    assert verdict.status == "proved"
    np.testing.assert_array_equal(minimise(verdict.machine).next, target.next)


def test_float32_follows_both_sides_of_a_tie() -> None:
    params = trained(3, "float32")
    verdict = explore(params, 5)
    assert verdict.status == "proved"
    assert verdict.tie_distance < verdict.tie_error
    assert len(verdict.machine.branches) > 0
    source, number, other = verdict.machine.branches.T
    main = verdict.machine.next[source, number]
    apart = np.abs(verdict.machine.levels[main].astype(int) - verdict.machine.levels[other])
    assert (apart.max(axis=1) == 1).all()
    np.testing.assert_array_equal(minimise(verdict.machine).next, addition.next)


def test_a_tie_that_decides_is_no_proof_and_no_refutation() -> None:
    """sigmoid(log 3) = 3/4 is a tie between 1/2 and 1; the output says on which side it fell."""
    params = Params(np.array([[np.log(3), 0], [0, 0]]), np.zeros((2, 2)), np.array([[1.0], [-1.5]]))
    verdict = explore(params, 1, comparison)
    assert verdict.tie_distance <= verdict.tie_error
    assert len(verdict.machine.branches) > 0
    assert verdict.status == "gave up"
    assert verdict.reason == "whether a bit is right depends on how a rounding tie falls"
    # Followed to the end all the same: the states of both sides are there.
    levels = {tuple(row) for row in verdict.machine.levels.tolist()}
    assert levels == {(0, 0), (1, 1), (2, 1)}


def test_a_refutation_is_the_shortest(refuted: Params) -> None:
    verdict = explore(refuted, 5)
    assert verdict.status == "refuted"
    assert verdict.counterexample is not None
    example = replay(refuted, verdict)
    a, b = example.operands
    assert example.right == a + b != example.said
    # Run by torch too.
    x, _ = encode([a], [b], example.steps)
    with torch.inference_mode():
        outputs, _ = ElmanRNN.from_params(refuted)(torch.from_numpy(x), state_bits=5)
    assert from_bits(outputs[..., 0].numpy() > 0.5) == [example.said]
    # No shorter sum fails: all states that shorter sums lead to are found, and none is wrong.
    steps = 7
    assert verdict.depth == 10 > steps
    x = every_path(addition, steps)
    outputs, _ = forward(refuted, x, state_bits=5)
    np.testing.assert_array_equal(outputs[..., 0] > 0.5, right_bits(addition, x))


def test_limit(proved: Params) -> None:
    assert explore(proved, 5, limit=4020).status == "proved"
    verdict = explore(proved, 5, limit=4019)
    assert verdict.status == "gave up"
    assert verdict.reason.startswith("more than 4019 states; all inputs of ")
    with pytest.raises(ValueError, match="limit must be at least 1 state, got 0"):
        explore(proved, 5, limit=0)
    with pytest.raises(ValueError, match="explored to the end"):
        minimise(verdict.machine)
    with pytest.raises(ValueError, match="must be refuted for a counterexample, it is: gave up"):
        replay(proved, verdict)


def test_colliding_keys_are_noticed(proved: Params, monkeypatch: pytest.MonkeyPatch) -> None:
    import rnn_numpy.search as module

    keys, calls = module.Search._keys, []

    def colliding(self: module.Search, levels: np.ndarray, task: np.ndarray) -> np.ndarray:
        calls.append(len(levels))
        mask = 7 if len(calls) < 20 else -1
        return keys(self, levels, task) & np.uint64(mask % 2**64)

    monkeypatch.setattr(module.Search, "_keys", colliding)
    verdict = explore(proved, 5)
    assert (verdict.status, verdict.states) == ("proved", 4020)


def test_weights_too_large_to_tell() -> None:
    huge = Params(*(np.full(shape, 1e300) for shape in ((2, 3), (3, 3), (3, 1))))
    verdict = explore(huge, 5)
    assert verdict.status == "gave up"
    assert "rounding errors are larger than the steps of the state" in verdict.reason


def test_weights_that_do_not_fit_the_target(proved: Params) -> None:
    with pytest.raises(ValueError, match="multiplication:3 needs 1 inputs and 1 output, these"):
        explore(proved, 5, multiplication(3))


@given(
    a=st.integers(0, 2**40), b=st.integers(0, 2**40), factor=st.integers(1, 256), bits=st.just(50)
)
def test_targets_are_arithmetic(a: int, b: int, factor: int, bits: int) -> None:
    both = (encode([a], [b], bits)[0][:, 0] * (1, 2)).sum(axis=1).astype(int)

    def result(target: Target, numbers: np.ndarray) -> int:
        return from_bits(target.run(numbers)[:, np.newaxis])[0]

    assert result(addition, both) == a + b
    assert result(subtraction, both) == (a - b) % 2**bits
    assert result(multiplication(factor), both & 1) == factor * a % 2**bits
    assert comparison.run(both)[-1] == (a > b)


@pytest.mark.parametrize("name", ["", "adding", "multiplication:", "multiplication:0",
                                  "multiplication:257", "multiplication:-1"])  # fmt: skip
def test_no_such_target(name: str) -> None:
    with pytest.raises(ValueError, match=r"target must be addition, |factor must be 1 to 256"):
        by_name(name)


def test_names_of_targets() -> None:
    for target in TARGETS:
        assert by_name(target.name).name == target.name


def test_the_gradient_of_rounded_states_is_not_that_of_others(proved: Params) -> None:
    """The check above can fail: without rounding the same problem has another gradient."""
    x, y = encode([123], [45], 8)
    _, trace = forward(proved, x, state_bits=3)
    rounded = bptt(proved, trace, y)
    exact = autograd_gradient(ElmanRNN.from_params(proved), x, y)
    allowed = bounds(proved, x, y).params
    assert (np.abs(rounded.W - exact.W) > 2 * allowed.W).any()
