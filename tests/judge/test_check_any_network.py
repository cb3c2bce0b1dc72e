"""The judge with an LSTM and with users' networks: verdict, location, mistake, votes."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bptt_check.judge.asking import CannotCheck
from bptt_check.reports.page import as_html
from bptt_check.reports.text import as_markdown, as_text
from bptt_check.subjects import network_named, sizes_named, subject_for
from bptt_check.testing import check
from hand_written import LSTM, embedded
from rnn_torch import check as command
from rnn_torch.networks import Network, network, stock, targets

pytestmark = [pytest.mark.unannotated, pytest.mark.few]  # thousands of small calls
Array = np.ndarray
Capture = pytest.CaptureFixture[str]
HEAD = "import numpy as np\ndef sigmoid(z): return 1 / (1 + np.exp(-z))\n"


def autograd(its: Network) -> Callable[..., dict[str, Array]]:
    """The backward pass of a network by autograd."""
    return lambda **given: {f"d{n}": g for n, g in its.evaluate(given).gradients.items()}


def lstm(right: str = "", wrong: str = "") -> Callable[..., Any]:
    assert right in LSTM
    space: dict[str, Any] = {}
    exec(HEAD + LSTM.replace(right, wrong), space)
    made: Callable[..., Any] = space["backward"]
    return made


@network(x="time n", y=targets("time n"), w="n")
def scaled(x: Any, y: Any, w: Any) -> Iterator[Any]:
    """A network without a matrix: s_t = w (s_{t-1} + x_t)."""
    s = torch.zeros_like(w)
    for x_t, y_t in zip(x, y, strict=True):
        s = w * (s + x_t)
        yield ((s - y_t) ** 2).sum() / 2


def scaled_backward(x: Array, y: Array, w: Array) -> dict[str, Array]:
    s = np.zeros((len(x) + 1, len(w)), w.dtype)
    for t in range(len(x)):
        s[t] = w * (s[t - 1] + x[t])
    dw, ds, dx = np.zeros_like(w), np.zeros_like(w), np.zeros_like(x)
    for t in reversed(range(len(x))):
        ds = s[t] - y[t] + ds
        dw += ds * (s[t - 1] + x[t])
        ds = dx[t] = ds * w
    return {"dw": dw, "dx": dx}


@pytest.mark.filterwarnings("ignore:overflow")
def test_a_wrong_pass_is_located_named_and_voted_on() -> None:
    report = check(lstm("ds_next = ds * f", "ds_next = ds"), "lstm")
    assert report.verdict == "disagrees"
    assert report.where is not None
    assert report.mistakes
    assert {v.method: (v.autograd_is_right, v.yours_is_right) for v in report.votes} == {
        "forward mode": (True, False),
        "Taylor order": (True, False),
    }
    (mistake,) = report.mistakes[0].mistakes
    assert "f * c with respect to c_(t-1) is left out" in mistake.name
    assert mistake.place.endswith("of lstm.py: c = f * c + i * g")
    screen = as_text(report, "mine")
    assert "dU, gates i, f, g:" in screen
    assert mistake.name in " ".join(screen.split())
    document = json.loads(json.dumps(report.as_dict()))
    assert set(document["where"]["cells"]) == {f"dU, gate {g}" for g in "ifgo"}
    assert np.shape(document["where"]["sums"]["dW"]) == (6,)
    assert mistake.name in as_html([("mine", report)], "float64")
    assert as_markdown(report, "mine").startswith("### WRONG: `mine`")


def test_gates_in_another_order_are_named() -> None:
    with np.errstate(over="ignore"):
        report = check(lstm(), stock("lstm", order="ifog"), shapes="time=4,batch=2")
    assert report.mistakes
    assert report.mistakes[0].name == "the gates are in the order i, f, g, o, not i, f, o, g"


@pytest.mark.few(False)
@pytest.mark.verdict
def test_a_users_own_network() -> None:
    assert check(scaled_backward, scaled).right

    def forgets(x: Array, y: Array, w: Array) -> dict[str, Array]:
        found = scaled_backward(x, y, w)
        return {"w": found["dw"] - (found["dx"].sum(0) if len(x) > 20 else 0)}

    report = check(forgets, scaled)
    assert not report.right
    assert set(report.only_at) <= {"long memory", "all sizes large"}
    assert report.missing == ("dx",)


def test_a_truncated_pass_is_right_with_its_own_window_only() -> None:
    def truncated(x: Array, y: Array, w: Array, window: int = 2) -> dict[str, Array]:
        total = {"dw": np.zeros_like(w), "dx": np.zeros_like(x)}
        s = np.zeros((len(x) + 1, len(w)), w.dtype)
        for t in range(len(x)):
            s[t] = w * (s[t - 1] + x[t])
        for t in range(len(x)):
            ds = s[t] - y[t]
            for back in range(t, max(t - window, 0) - 1, -1):
                total["dw"] += ds * (s[back - 1] + x[back])
                ds = ds * w
                total["dx"][back] += ds
        return total

    assert check(truncated, scaled, window=2, shapes="time=6").right
    other = check(truncated, scaled, window=3, shapes="time=6")
    assert other.mistakes
    assert other.mistakes[0].name == "errors travel 2 steps back, not 3"
    assert other.votes == ()
    full = check(scaled_backward, scaled, window=3, shapes="time=6")
    assert full.mistakes
    assert full.mistakes[0].name == "not truncated: errors travel back to the first step"
    with pytest.raises(CannotCheck, match="no problem distinguishes a window of 5 steps"):
        check(truncated, scaled, window=5, shapes="time=4")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda loss, x: loss, "Its own loss is right"),
        (lambda loss, x: loss / len(x), "Its own loss is the network's, divided by time"),
        (lambda loss, x: 2 * loss, "Its own loss is 2 times the network's"),
        (lambda loss, x: loss + 1, "The loss that it returns differs at"),
    ],
)
def test_a_returned_loss_is_compared_first(change: Callable[..., float], says: str) -> None:
    def with_loss(x: Array, y: Array, w: Array) -> tuple[float, dict[str, Array]]:
        loss = scaled.evaluate({"x": x, "y": y, "w": w}).losses.sum()
        return change(float(loss), x), scaled_backward(x, y, w)

    report = check(with_loss, scaled, shapes="time=6")
    assert report.right
    assert says in report.loss
    assert says in " ".join(as_text(report, "f").split())


def test_sizes_that_hide_mistakes_are_named() -> None:
    report = check(scaled_backward, scaled, shapes="time=1")
    assert report.right
    assert report.blind[0].startswith("no error is passed back to the previous step")
    assert "dw is zero" not in report.blind
    assert "Mistakes that these sizes cannot detect" in as_text(report, "f")


def test_an_operation_without_a_rule_is_measured_and_reported() -> None:
    @network(x="time n", w="n")
    def with_bessel(x: Any, w: Any) -> Iterator[Any]:
        s = torch.zeros_like(w)
        for x_t in x:
            s = torch.special.i0e(w * s + x_t)
            yield s.sum()

    report = check(autograd(with_bessel), with_bessel, shapes="time=3,n=2")
    assert report.right
    assert "i0e" in report.measured
    assert "measured noise floor, not a bound" in as_text(report, "f")


def test_the_command(tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(HEAD + LSTM.replace("ds_next = ds * f", "ds_next = 0 * ds"))
    Path("ours.py").write_text(
        "import torch\nfrom rnn_torch.networks import network, targets\n"
        '@network(x="time n", y=targets("time n"), w="n")\n'
        "def scaled(x, y, w):\n    s = torch.zeros_like(w)\n"
        "    for x_t, y_t in zip(x, y):\n        s = w * (s + x_t)\n"
        "        yield ((s - y_t) ** 2).sum() / 2\n"
    )
    assert command.main(["mine.py:backward", "--network", "lstm", "--html", "page.html"]) == 1
    assert "the path f * c -> c_(t-1) is cut" in " ".join(capsys.readouterr().out.split())
    assert "dU, gates i, f, g" in Path("page.html").read_text()
    Path("right.py").write_text(
        "import numpy as np\ndef backward(w, x, y):\n"
        "    s = np.zeros((len(x) + 1, len(w)), w.dtype)\n"
        "    for t in range(len(x)):\n        s[t] = w * (s[t - 1] + x[t])\n"
        "    dw, ds = np.zeros_like(w), 0 * w\n"
        "    for t in reversed(range(len(x))):\n        ds = s[t] - y[t] + ds\n"
        "        dw += ds * (s[t - 1] + x[t])\n        ds = ds * w\n"
        "    w -= 0.5 * dw\n"
    )
    flags = ["right.py:backward", "--network", "ours.py:scaled"]
    assert command.main([*flags, "--from-update", "0.5"]) == 0
    assert command.main([*flags, "--from-update", "0.5", "--json"]) == 0
    assert '"verdict": "agrees"' in capsys.readouterr().out
    assert command.main(flags) == 2  # it returns nothing
    said = capsys.readouterr().err
    assert "it must return (dx, dw) or a mapping with these keys, got NoneType" in said
    assert "if it updates its weights: --from-update RATE" in said


def test_tokens_and_embeddings() -> None:
    report = check(autograd(embedded), embedded)
    assert report.right
    assert report.missing == ()


def test_names_and_sizes() -> None:
    with pytest.raises(ValueError, match="axes among time, batch, n_in, hidden, n_out, got depth"):
        subject_for("lstm", shapes="depth=3")
    with pytest.raises(ValueError, match="yields its own loss: leave"):
        subject_for(f"{__file__}:embedded", loss="softmax")
    assert sizes_named("any") == {}
    assert sizes_named("hidden=3,batch=1") == {"hidden": 3, "batch": 1}
    assert network_named("gru,reset=before,columns", "upstream").name == "gru"
    assert "b" in network_named("lstm,no-biases").zeros
    assert isinstance(network_named(f"{Path(__file__)}:scaled"), Network)
