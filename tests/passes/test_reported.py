"""Inputs of users that the check once judged wrongly or not at all: the fields of their reports."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bptt_check.judge import examine
from bptt_check.judge.any_network import AnyNetwork
from rnn_torch import check

pytestmark = pytest.mark.unannotated
FOLDER = Path(__file__).parent / "reported"
Fields = dict[str, Any]


def changed(fields: Fields) -> list[str]:
    (explanation,) = fields["mistakes"]
    return [m["changes"][0]["change"] for m in explanation["mistakes"]]


def wrong(fields: Fields) -> set[str]:
    return {e["name"] for e in fields["worst"] if e["fraction"] > 1}


def mended(f: Fields) -> list[str]:
    """The places of the lines with which the whole check says RIGHT."""
    return [line["place"] for line in f["mend"]["lines"]] if f["mend"]["proved"] else []


STOCK = "--loss upstream --network"
#: The file, what to check, its flags (:NETWORK of the same file), the exit code, a property.
REPORTED: list[tuple[str, str, str, int, Callable[[Fields], object]]] = [
    ("layer_class", "backward", f"{STOCK} tanh", 1, lambda f: mended(f) == ["line 18"]),
    ("nan_cannot_check", "backward", "", 1,
     lambda f: f["not_finite"] == f["only_at"] == ["a state beyond exp"]),
    ("class_with_params", "TwoLayerRNN.loss", ":two", 1,
     lambda f: wrong(f) == {"dU1", "dW1"} and not f["impure"]),
    ("embedding_called_E", "loss_and_grad", ":lm", 1,
     lambda f: wrong(f) == {"dE"} and f["loss"].startswith("Its own loss is right")
     and changed(f) == ["last of equal indices"]),
    ("same_mistake_in_all_gates", "backward", ":lstm", 1, lambda f: (
        changed(f) == ["operand transposed"]
        and len(f["mistakes"][0]["mistakes"][0]["changes"][0]["part"]["edges"]) == 4)),
    ("forward_mistake", "forward,backward", f"{STOCK} lstm", 1,
     lambda f: "hs from step 1 on" in f["forward"]),
]  # fmt: skip


#: Only a problem that is not among the few shows this.
HIDDEN = "nan_cannot_check"


@pytest.mark.parametrize(
    ("file", "function", "flags", "code", "holds"),
    [pytest.param(*r, id=r[0], marks=[pytest.mark.few(r[0] != HIDDEN)]) for r in REPORTED],
)
def test_reported(
    file: str,
    function: str,
    flags: str,
    code: int,
    holds: Callable[[Fields], object],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if "changed" not in holds.__code__.co_names:
        monkeypatch.setattr(AnyNetwork, "names", lambda *_: [])
    monkeypatch.setattr(AnyNetwork, "locate", lambda *_: None)
    monkeypatch.setattr(AnyNetwork, "votes", lambda *_: [])
    monkeypatch.setattr(examine, "mends", "mended" in holds.__code__.co_names)
    path = FOLDER / f"{file}.py"
    network = ["--network", f"{path}{flags}"] if flags.startswith(":") else flags.split()
    assert check.main([f"{path}:{function}", *network, "--json", "--timeout", "600"]) == code
    fields = json.loads(capsys.readouterr().out)
    assert fields["failed"] == []
    assert holds(fields), {k: fields[k] for k in ("verdict", "mistakes")}


@pytest.mark.few
def test_states_of_a_right_forward_pass_are_not_said_to_differ(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (FOLDER / "forward_mistake.py").read_text()
    assert text.count("        i = sig(f)") == 1
    file = tmp_path / "mended.py"
    file.write_text(text.replace("        i = sig(f)", "        pass"))
    flags = ["--network", "lstm", "--loss", "upstream", "--json"]
    assert check.main([f"{file}:forward,backward", *flags]) == 0
    assert json.loads(capsys.readouterr().out)["forward"] == ""


LINEAR = """
import numpy as np
from rnn_torch.networks import inputs, network, upstream
@network(X=inputs("batch time"), w="1", v="1", d=upstream("batch"))
def net(X, w, v, d):
    s = 0 * X[:, 0]
    for t in range(X.shape[1]):
        s = X[:, t] * w + s * v
        yield (s * d).sum() * (t == X.shape[1] - 1)
def states(X, w, v):
    S = np.zeros((X.shape[0], X.shape[1] + 1))
    for t in range(X.shape[1]):
        S[:, t + 1] = X[:, t] * w + S[:, t] * v
    return {"S": S}
def backward(X, S, d, v):
    dw, dv = np.zeros(1), np.zeros(1)
    for t in reversed(range(X.shape[1])):
        dw += (d * X[:, t]).sum()
        dv += (d * S[:, t]).sum()
        d = d * v
    return {"w": dw, "v": dv}
"""


@pytest.mark.few
def test_states_whose_axes_may_be_in_two_orders_are_not_said_to_differ(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One more step than examples: the array is square; and no rows of one entry are reversed."""
    file = tmp_path / "mine.py"
    file.write_text(LINEAR)
    flags = ["--network", f"{file}:net", "--shapes", "time=5,batch=6", "--json"]
    assert check.main([f"{file}:states,backward", *flags]) == 0
    fields = json.loads(capsys.readouterr().out)
    assert fields["forward"] == ""
    assert not [words for words in fields["blind"] if "reversed" in words or "last step" in words]
    assert [words for words in fields["blind"] if "truncated" in words]


@pytest.mark.few
def test_the_right_pass_in_the_form_of_a_reported_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Weights in a mapping of the object: the right pass was called wrong, too."""
    text = (FOLDER / "class_with_params.py").read_text()
    file = tmp_path / "mended.py"
    file.write_text(text.replace('e2 @ p["U2"])', 'e2 @ p["U2"].T)'))
    flags = ["--network", f"{file}:two", "--json"]
    assert check.main([f"{file}:TwoLayerRNN.loss", *flags]) == 0
    assert json.loads(capsys.readouterr().out)["missing"] == []
