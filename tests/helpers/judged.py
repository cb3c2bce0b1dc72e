"""The judge of the network of docs/bptt.md; right gradients are computed once for all tests."""

from collections.abc import Callable

from bptt_check.judge import candidate, purity
from bptt_check.judge import examine as judge
from bptt_check.judge.any_network import AnyNetwork
from bptt_check.judge.asking import Ask
from bptt_check.judge.report import Report
from bptt_check.subjects import subject_for
from rnn_torch import check as _  # noqa: F401 - RTRL and complex step vote

__all__ = ["SMALL", "examine", "in_this_process", "kept_between_calls", "remade", "subject_for"]

#: Sizes for passes and oracles whose cost grows fast with them: one set, of which all tests share
#: the right gradients.
SMALL = "6,2,2,4,1"


def examine(
    ask: Ask,
    *,
    dtype: str = "float64",
    window: int | None = None,
    shapes: str = "any",
    seed: int = 0,
) -> Report:
    subject = subject_for(window=window, shapes=shapes)
    return judge.examine(ask, subject, dtype=dtype, seed=seed)


def in_this_process(backward: Callable[..., object], shapes: str = "any") -> Ask:
    return candidate.in_this_process(backward, subject_for(shapes=shapes))


def remade(
    make: Callable[[], Callable[..., object]],
    shapes: str = "any",
    subject: AnyNetwork | None = None,
) -> Ask:
    """With a new function for each problem, so that it keeps no state."""
    its = subject or subject_for(shapes=shapes)
    return lambda *problems: candidate.in_this_process(make(), its)(*problems)


def kept_between_calls(ask: Ask, dtype: str) -> tuple[str, ...]:
    return purity.kept_between_calls(ask, subject_for(), dtype)
