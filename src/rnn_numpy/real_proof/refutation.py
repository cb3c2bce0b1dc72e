"""Search for inputs that the network as trained gets wrong, and shorten them.

The states that can be reached are explored, generation by generation, from h_0 and again from where
long random and periodic inputs lead. Of states that are alike only the first one is led on: the
target's state is the same, and h V, now and after each possible input, is in the same cells. If no
output is wrong, the search is repeated with smaller cells. It is incomplete, but quick.
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float, Int64

from rnn_numpy.elman_network.model import forward
from rnn_numpy.elman_network.params import Params
from rnn_numpy.elman_network.textbook import sigmoid
from rnn_numpy.real_proof.histories import draw_inputs
from rnn_numpy.tasks.targets import Target

#: Sizes of a cell of h V; most states that are led on with each.
CELLS, STATES = (1.0, 0.3, 0.1, 0.03), 200_000
#: Number of random sequences, and their length.
SEQUENCES, STEPS = 1_000, 300


def wrong_inputs(params: Params, target: Target) -> Int64[np.ndarray, " found"] | None:
    """Inputs whose last output is wrong, shortened; None if none were found."""
    wrong = next((found for found in _searches(params, target) if found is not None), None)
    return None if wrong is None else _shortened(params, target, wrong)


def _searches(params: Params, target: Target) -> Iterator[Int64[np.ndarray, " steps"] | None]:
    """What each search finds, or None; the quickest search first."""
    drawn = draw_inputs(np.random.default_rng(0), 2**target.operands, STEPS, SEQUENCES)
    yield from (_explored(params, target, drawn[:0, :1], cell) for cell in CELLS)
    yield _first_wrong(params, target, drawn)
    yield from (_explored(params, target, drawn, cell) for cell in CELLS)


def _explored(
    params: Params, target: Target, roots: Int64[np.ndarray, "steps count"], cell: float
) -> Int64[np.ndarray, " found"] | None:
    """Inputs whose last output is wrong: those of one of these roots, and what follows."""
    h, task = np.zeros((roots.shape[1], len(params.W)), params.W.dtype), target.states(roots)[-1]
    if len(roots):
        h = forward(params, target.bits(roots).astype(h.dtype))[1].states[-1]
    # Of each state that is led on, in columns: the state before it, and the input in between.
    before, by = np.arange(len(h)), np.full(len(h), -1)
    mine, seen = np.arange(len(h)), np.zeros(0, np.int64)
    h, output = _led_on(params, target, h)
    while len(mine) and len(before) < STATES:
        number = np.tile(np.arange(2**target.operands), len(mine))
        task, parent = np.repeat(task, 2**target.operands), np.repeat(mine, 2**target.operands)
        right, task = target.output[task, number], target.next[task, number]
        wrong = (output > 0) != (right > 0)
        if wrong.any():
            i = int(wrong.argmax())
            path, at = [int(number[i])], int(parent[i])
            while by[at] >= 0:
                path, at = [int(by[at]), *path], int(before[at])
            found = np.append(roots[:, at], path).astype(np.int64)
            return _first_wrong(params, target, found[:, np.newaxis])
        following, says = (a.reshape(len(h), -1) for a in _led_on(params, target, h))
        cells = np.floor(np.column_stack([output, says]) / cell).astype(np.int64)
        key, first = np.unique(_hashed(np.column_stack([task, cells])), return_index=True)
        first = first[~np.isin(key, seen, assume_unique=True)]
        seen = np.union1d(seen, key)
        h, output = following[first].reshape(-1, h.shape[1]), says[first].ravel()
        task, mine = task[first], len(before) + np.arange(len(first))
        before, by = np.append(before, parent[first]), np.append(by, number[first])
    return None


def _led_on(
    params: Params, target: Target, h: Float[np.ndarray, "states hidden"]
) -> tuple[Float[np.ndarray, "next hidden"], Float[np.ndarray, " next"]]:
    """The states after each of these with each input, and their h V."""
    driven = target.bits(np.arange(2**target.operands)).astype(h.dtype) @ params.U
    after = sigmoid((h @ params.W)[:, np.newaxis] + driven).reshape(-1, h.shape[1])
    return after, (after @ params.V)[:, 0]


def _hashed(rows: Int64[np.ndarray, "rows columns"]) -> Int64[np.ndarray, " rows"]:
    """A number of each row; different rows have the same one only by a rare accident."""
    key = np.zeros(len(rows), np.int64)
    for column in rows.T:
        key = key * 1_000_003 + column  # modulo 2^64
    return key


def _first_wrong(
    params: Params, target: Target, inputs: Int64[np.ndarray, "steps count"]
) -> Int64[np.ndarray, " found"] | None:
    """The shortest prefix of these sequences whose last output is wrong."""
    outputs, _ = forward(params, target.bits(inputs).astype(params.W.dtype))
    wrong = (outputs[..., 0] > 0.5) != (target.run(inputs) > 0)
    if not wrong.any():
        return None
    step = int(wrong.any(axis=1).argmax())
    return inputs[: step + 1, int(wrong[step].argmax())]


def _shortened(
    params: Params, target: Target, inputs: Int64[np.ndarray, " steps"]
) -> Int64[np.ndarray, " fewer"]:
    """Remove steps one at a time while some output stays wrong."""
    while len(inputs) > 1:
        without = ~np.eye(len(inputs), dtype=bool)
        shorter = np.stack([inputs[keep] for keep in without], axis=1)
        wrong = _first_wrong(params, target, shorter)
        if wrong is None:
            break
        inputs = wrong
    return inputs
