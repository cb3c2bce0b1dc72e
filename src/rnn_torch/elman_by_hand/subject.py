"""The network of docs/bptt.md as a `bptt_check.judge.subject.Subject`."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from bptt_check.candidate.calling import Form
from bptt_check.judge.comparison import agrees, furthest
from bptt_check.judge.posed_once import PosedOnce
from bptt_check.judge.subject import Array, Ask, Asked, CannotCheck, Explanation, Vote, Where
from rnn_torch.elman_by_hand.diagnose import name_mistakes
from rnn_torch.elman_by_hand.locate import locate
from rnn_torch.elman_by_hand.parity import Reference, blind_to, reference
from rnn_torch.elman_by_hand.problems import Problem, Shapes, designed, in_turn, random
from rnn_torch.elman_by_hand.votes import votes

_RANDOM_PROBLEMS = 12
_LARGEST_VOTE = 512  # weights: the oracles' cost grows with their square


class ElmanByHand(PosedOnce):
    """The network (1)-(3), at these sizes; `window`: BPTT truncated to this many steps is right."""

    form = Form(("x", "y", "U", "W", "V"), ("U", "W", "V"), ("U", "W", "V"))

    def __init__(self, shapes: Shapes | None = None, window: int | None = None) -> None:
        super().__init__()
        self.shapes, self.window = shapes or Shapes(), window

    def _problems(self, dtype: str, seed: int) -> list[Problem]:
        """The designed problems and twelve random ones.

        Raises:
            CannotCheck: no problem distinguishes the window from the full gradient.
        """
        drawn = random(self.shapes, dtype, seed, _RANDOM_PROBLEMS)
        found = [*designed(self.shapes, dtype, self.window), *drawn]
        if self.window is not None and not any(_shows(self.window, p) for p in found):
            only = self.shapes.only
            raise CannotCheck(
                f"no problem distinguishes a window of {self.window} steps from no window"
                + (f": none has more than {only.time} steps" if only else f" in {dtype}")
            )
        return found

    def _in_turn(self, dtype: str) -> Iterator[tuple[Problem, ...]]:
        return in_turn(self.shapes, dtype)

    def inputs(self, problem: Problem) -> Mapping[str, Array]:
        """The five input arrays of a candidate, in order."""
        x, y = problem.x, problem.targets
        if not self.shapes.batch_axis:
            x, y = x[:, 0, :], y[:, 0, :]
        return {"x": x, "y": y, **problem.params._asdict()}

    def sizes(self, problem: Problem) -> Mapping[str, int]:
        """As `Subject`."""
        return problem.sizes._asdict()

    def advice(self) -> str:
        """As `Subject`."""
        if self.shapes.only is not None:
            return ""
        return (
            ". If it takes only one size, pass that: --shapes recipe (x (8, 2), y (8, 1), no "
            "batch axis, 16 hidden units) or --shapes time,batch,n_in,hidden,n_out"
        )

    def _reference(self, problem: Problem) -> Reference:
        """Autograd's gradient and the bound derived by hand."""
        return reference(problem, self.window)

    def losses(self, asked: Sequence[Asked]) -> str:
        """An empty text: a candidate for this network returns no loss."""
        return ""

    def names(self, asked: Sequence[Asked]) -> list[Explanation]:
        """The explanations from the catalogue written by hand."""
        return [Explanation(mistakes) for mistakes in name_mistakes(asked)]

    def meanings(self, asked: Sequence[Asked]) -> dict[str, str]:
        """As `Subject`; none: it must return dU, dW and dV."""
        return {}

    def locate(self, ask: Ask, dtype: str, wrong: Sequence[Asked] = ()) -> Where:
        """As `Subject`."""
        return locate(ask, self.shapes, dtype, self.window)

    def votes(self, wrong: Sequence[Asked]) -> list[Vote]:
        """Votes at the worst of the problems that are small enough for the oracles."""
        small = [a for a in wrong if is_small(a.problem)]
        if not small:
            return []
        worst = max(small, key=lambda a: furthest(a.answer.gradients, a.right))
        return votes(worst.problem, worst.answer.gradients, worst.right)

    def blind(self, asked: Sequence[Asked]) -> list[str]:
        """The mistakes that the given sizes cannot detect; empty if any size is taken."""
        if self.shapes.only is None or self.window is not None:
            return []
        with np.errstate(all="ignore"):
            return blind_to([a.problem for a in asked])


def is_small(problem: Problem) -> bool:
    """Whether oracles that run the network once for each weight should be asked this problem."""
    return sum(array.size for array in problem.params) <= _LARGEST_VOTE


def _shows(window: int, problem: Problem) -> bool:
    """Whether the problem distinguishes truncation to this window from the full gradient."""
    return len(problem.x) > window + 1 and not agrees(
        reference(problem).gradients, reference(problem, window)
    )
