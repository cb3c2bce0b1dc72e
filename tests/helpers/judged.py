"""The judge of the network of docs/bptt.md; right gradients are computed once for all tests."""

from collections.abc import Callable
from functools import cache

from bptt_check.judge import candidate, purity
from bptt_check.judge import examine as judge
from bptt_check.judge.report import Report
from bptt_check.judge.asking import Ask
from rnn_torch.elman_by_hand.problems import Shapes
from rnn_torch.elman_by_hand.subject import ElmanByHand

elman_by_hand = cache(ElmanByHand)


def examine(
    ask: Ask,
    *,
    dtype: str = "float64",
    window: int | None = None,
    shapes: Shapes | None = None,
    seed: int = 0,
) -> Report:
    return judge.examine(ask, elman_by_hand(shapes, window), dtype=dtype, seed=seed)


def in_this_process(backward: Callable[..., object], shapes: Shapes | None = None) -> Ask:
    return candidate.in_this_process(backward, elman_by_hand(shapes))


def remade(make: Callable[[], Callable[..., object]]) -> Ask:
    return candidate.remade(make, elman_by_hand())


def kept_between_calls(ask: Ask, shapes: Shapes, dtype: str, window: int | None) -> tuple[str, ...]:
    return purity.kept_between_calls(ask, elman_by_hand(shapes, window), dtype)
