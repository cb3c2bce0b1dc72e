"""Of forms that are drawn, no right pass is called wrong, and no wrong one right."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bptt_check.judge.any_network import AnyNetwork
from bptt_check.judge.candidate import Candidate
from bptt_check.judge.comparison import agrees
from forms_drawn import Drawn, Judge, drawn
from profiles import NIGHTLY
from rnn_torch.networks import stock

pytestmark = [pytest.mark.unannotated, pytest.mark.many, pytest.mark.few]


@st.composite
def forms(draw: st.DrawFn) -> Drawn:
    return drawn(lambda several: draw(st.sampled_from(several)))


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Judge:
    return Judge(tmp_path_factory.mktemp("forms"))


def test_no_verdict_about_a_form_is_false(judge: Judge) -> None:
    verdicts: list[str] = []

    @settings(max_examples=3000 if NIGHTLY else 12)
    @given(forms())
    def ask(form: Drawn) -> None:
        verdicts.append(judge.verdict(form, form.right)[0])
        assert verdicts[-1] != "wrong", form.right
        assert judge.verdict(form, form.wrong)[0] != "right", form.wrong

    ask()
    assert verdicts.count("right") > len(verdicts) / 2  # it draws what can be checked


@pytest.mark.parametrize("wrong", [False, True])
def test_a_child_carries_what_has_no_meaning(tmp_path: Path, wrong: bool) -> None:
    """The first pass of shared/failures/20 in a process of its own."""
    subject = AnyNetwork(stock("tanh", loss="upstream"))
    file = tmp_path / "its.py"
    file.write_text(
        "import numpy as np\n"
        "def backward(x, h, W_x, W_h, bias, dy):\n"
        "    hs = [h]\n"
        "    for x_t in x:\n        hs.append(np.tanh(x_t @ W_x + hs[-1] @ W_h + bias))\n"
        "    dWx, dWh, db, dh = 0 * W_x, 0 * W_h, 0 * bias, 0\n"
        "    for t in reversed(range(len(x))):\n"
        "        dz = (dh + dy[t]) * (1 - hs[t + 1] ** 2)\n"
        f"        dWx += {7 if wrong else 1} * x[t].T @ dz\n"
        "        dWh, db, dh = dWh + hs[t].T @ dz, db + dz.sum(0), dz @ W_h.T\n"
        "    return dWx, dWh, db, hs[-1], 'done'\n"
    )
    problem = subject.problems("float64", 0)[0]
    with Candidate(f"{file}:backward", subject, 60) as ask:
        answer = ask(problem)
    right = subject.reference(problem)
    assert set(answer.gradients) == {"U", "W", "b"}
    assert agrees({**right.gradients, **answer.gradients}, right) != wrong
    assert list(answer.others) == ["hs[-1]"]
    assert answer.others["hs[-1]"].shape == problem.values["h_0"].shape
    assert answer.unnamed == ("'done'",)
