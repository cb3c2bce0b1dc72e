"""The planted sets of mistakes: the passes are right, each mistake is wrong, and none hides."""

from collections import Counter
from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
import pytest

from benchmarks.trust.lines import FAMILIES, naming
from bptt_check.judge.any_network import AnyNetwork
from bptt_check.judge.candidate import in_this_process
from bptt_check.judge.comparison import worst_entries
from bptt_check.subjects import subject_for
from bptt_check.testing import check
from profiles import NIGHTLY
from rnn_torch.networks import designed
from tests.passes.sets.form import Pass

pytestmark = [
    pytest.mark.unannotated,  # thousands of small calls
    pytest.mark.filterwarnings("ignore:overflow"),
]
PASSES = [right for family in FAMILIES for right in family.PASSES]
each_pass = pytest.mark.parametrize("right", PASSES, ids=lambda right: right.name)
SMALL = 3  # problems: the first has all axes different, the second two steps


@cache
def posed(right: Pass, dtype: str) -> tuple[AnyNetwork, list[tuple[Any, Any]]]:
    """The judge of a pass's network, and small problems with their right gradients."""
    judge = subject_for(right.network)
    return judge, [(p, judge.reference(p)) for p in designed(right.network, dtype)[:SMALL]]


def answers(right: Pass, keys: list[str], dtype: str = "float64") -> list[Mapping[str, np.ndarray]]:
    judge, problems = posed(right, dtype)
    ask = in_this_process(right.made(*keys), judge)
    return [ask(problem).gradients for problem, _ in problems]


def is_right(right: Pass, keys: list[str], dtype: str = "float64") -> bool:
    """Whether the pass with these mistakes is right at all small problems."""
    pairs = zip(posed(right, dtype)[1], answers(right, keys, dtype), strict=True)
    return all(
        entry.right
        for (problem, reference), answer in pairs
        for entry in worst_entries(answer, reference, problem.name, dtype)
    )


def same(one: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray]) -> bool:
    return all(np.allclose(one[n], other[n], rtol=1e-6, atol=1e-9) for n in one)


@each_pass
def test_a_pass_is_right_and_each_mistake_alone_makes_it_wrong(right: Pass) -> None:
    assert is_right(right, [])
    assert is_right(right, [], "float32")
    assert [key for key in right.mistakes if is_right(right, [key])] == []
    if NIGHTLY or right is PASSES[0]:
        assert check(right.made(), right.network).right


@each_pass
def test_each_set_is_wrong_and_none_of_its_mistakes_hides(right: Pass) -> None:
    for keys in right.sets:
        assert not is_right(right, keys)
        every = answers(right, keys)
        for key in keys:
            less = answers(right, [other for other in keys if other != key])
            assert not all(map(same, every, less)), (keys, key)


def test_there_are_sixty_sets_of_two_to_five_mistakes_and_no_mistake_is_idle() -> None:
    for family in FAMILIES:
        assert sum(len(right.sets) for right in family.PASSES) == 15
    sizes = Counter(len(keys) for right in PASSES for keys in right.sets)
    assert sizes.keys() == {2, 3, 4, 5}
    for right in PASSES:
        assert {key for keys in right.sets for key in keys} == right.mistakes.keys()


def test_a_sentence_names_a_mistake_only_if_it_says_it() -> None:
    said, other, mistakes = (
        "Whh is not transposed on the path Whh @ h -> h_(t-1)", "Why is 0", PASSES[0].mistakes
    )  # fmt: skip
    of = {key: {key: mistakes[key]} for key in ("whh", "why", "bh")}
    assert naming(of["whh"] | of["why"], [[said], [other, said]], []) == (["whh"], [])
    assert naming(of["bh"], [[other]], [said]) == ([], [[other]])
