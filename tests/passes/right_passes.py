"""Right hand-written backward passes of the stock networks, each written in three ways."""

from collections.abc import Callable

from tests.passes import batched_over_time, step_functions, textbook

Backward = Callable[..., textbook.Gradients]

RIGHT: dict[str, tuple[Backward, ...]] = {
    "tanh": (textbook.tanh, batched_over_time.tanh, step_functions.tanh),
    "gru": (textbook.gru, batched_over_time.gru, step_functions.gru),
    "lstm": (textbook.lstm, batched_over_time.lstm, step_functions.lstm),
}
