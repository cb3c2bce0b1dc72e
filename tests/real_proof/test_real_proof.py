"""Proofs and refutations of networks as trained."""

import json
from pathlib import Path

import numpy as np
import pytest

from adders import TARGETS, random_params, trained
from profiles import nightly
from real_proofs import copier
from rnn_numpy import Params, forward, prove, verify
from rnn_numpy.real_proof.cover import TooManySets
from rnn_numpy.real_proof.enclosure import Network
from rnn_numpy.real_proof.histories import draw_inputs, histories
from rnn_numpy.real_proof.metric import Transitions, metric, sample
from rnn_numpy.real_proof.refutation import wrong_inputs
from rnn_numpy.real_proof.verdict import GaveUp, Refuted, prove_real
from rnn_numpy.storage.weights import save_params
from rnn_numpy.tasks.targets import Target, addition, multiplication

Capture = pytest.CaptureFixture[str]
SMALLEST = Path(__file__).parents[2] / "examples" / "smallest-adder.safetensors"


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_a_class_of_histories_fixes_the_target(target: Target) -> None:
    classes = histories(target)
    inputs = draw_inputs(np.random.default_rng(0), 2**target.operands, 40, 20)
    for sequence in inputs.T:
        q, task = 0, 0
        for number, right in zip(sequence, target.run(sequence), strict=True):
            q, task = int(classes.next[q, number]), int(target.next[task, number])
            assert (classes.task[q], classes.said[q]) == (task, right)

    longer = histories(target, 1)  # which leads on as the shorter one in it
    assert len(longer.task) == len(classes.task) * 2**target.operands
    assert (classes.next[longer.shorter] == longer.shorter[longer.next]).all()
    assert (classes.task[longer.shorter] == longer.task).all()
    assert (classes.said[longer.shorter] == longer.said).all()


@nightly
def test_the_descent_ends_in_a_metric_in_which_the_sampled_steps_contract() -> None:
    """With the first metric, one of this network's steps multiplies an error by 1.26."""
    params, classes = trained(69), histories(addition)
    steps, first = sample(params, addition, classes, np.random.default_rng(0))
    found = metric(params, addition, classes)
    assert largest(params, first, steps) > 1.2
    assert largest(params, found, steps) < 0.85


def largest(params: Params, L: np.ndarray, steps: Transitions) -> float:
    """The largest factor by which one of these steps multiplies an error."""
    inverse = np.linalg.inv(L)[steps.before]
    maps = L[steps.after] * steps.slopes[:, np.newaxis] @ params.W.T @ inverse
    return float(np.linalg.norm(maps, 2, axis=(1, 2)).max())


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
@pytest.mark.parametrize("scale", [0.5, 3.0])
def test_steps_stay_in_their_enclosure(target: Target, scale: float) -> None:
    """A step of the network leads the points of a set into the ellipsoid plus the rest."""
    rng = np.random.default_rng(1)
    params = random_params(2, target, 5, scale, "float64")
    classes = histories(target)
    L = np.eye(5) + 0.3 * rng.normal(size=(len(classes.task), 5, 5))
    network = Network(params, "float64", target, classes, L)
    n = 40
    q, number = rng.integers(len(L), size=n), rng.integers(2**target.operands, size=n)
    centre, radius = rng.random((n, 5)), rng.uniform(0.01, 0.5, size=n)
    images = network.step(centre, radius, q, number)
    u = rng.normal(size=(50, n, 5))
    u /= np.linalg.norm(u, axis=2, keepdims=True)
    e = np.einsum("nij,pnj->pni", np.linalg.inv(L[q]), u) * radius[:, np.newaxis]
    z = (centre + e) @ params.W + target.bits(number) @ params.U
    seen = np.einsum("nij,pnj->pni", L[images.q], 1 / (1 + np.exp(-z)) - images.centre)
    along = np.abs(np.einsum("nij,pni->pnj", images.directions, seen))
    assert (along <= np.sqrt(images.axes) + images.rest[:, np.newaxis]).all()


@pytest.mark.unannotated
def test_the_smallest_adder_is_proved_as_trained(tmp_path: Path, capsys: Capture) -> None:
    """In float32, which covers float64; the checker accepts it."""
    file = tmp_path / "proof"
    assert prove.main([str(SMALLEST), "--dtype", "float32", "--certificate", str(file)]) == 0
    first, _, last = capsys.readouterr().out.splitlines()
    assert first == ("proved: a + b is right for operands of every length, as trained, in float32 "
                     "or float64")  # fmt: skip
    assert last == f"written to {file}"
    assert verify.main([str(file), str(SMALLEST)]) == 0
    assert capsys.readouterr().out.startswith("accepted: ")


def test_a_sum_that_the_network_as_trained_gets_wrong(tmp_path: Path, capsys: Capture) -> None:
    params = trained(1)
    save_params(tmp_path / "wrong", params, {})
    assert prove.main([str(tmp_path / "wrong"), "--certificate", str(tmp_path / "proof")]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("refuted, as trained: ")
    assert lines[-1] == f"{tmp_path / 'proof'} not written: nothing is proved"
    assert prove.main([str(tmp_path / "wrong"), "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    example = document["counterexample"]
    assert sum(example["operands"]) == example["right"] != example["said"]
    assert (document["status"], document["dtype"], document["sets"]) == ("refuted", "float64", 0)


@pytest.mark.parametrize("seed", [1, 29, *(pytest.param(n, marks=nightly) for n in (8, 72))])
def test_a_counterexample_is_wrong_and_cannot_be_shortened(seed: int) -> None:
    """Seed 29 goes wrong after random inputs, the others when the states from h_0 are explored."""
    params = trained(seed)
    wrong = wrong_inputs(params, addition)
    assert wrong is not None
    for left_out in range(-1, len(wrong)):
        inputs = np.delete(wrong, left_out) if left_out >= 0 else wrong
        outputs, _ = forward(params, addition.bits(inputs)[:, np.newaxis].astype(float))
        right = bool(((outputs[:, 0, 0] > 0.5) == (addition.run(inputs) > 0)).all())
        assert right == (left_out >= 0)


def test_gave_up_has_a_reason(tmp_path: Path, capsys: Capture) -> None:
    save_params(tmp_path / "w", copier(), {})
    assert prove.main([str(tmp_path / "w"), "--target", "multiplication:1", "--limit", "2"]) == 3
    assert capsys.readouterr().out == "gave up, as trained: more than 2 sets\n"
    verdict = prove_real(copier(), multiplication(1), limit=2)
    assert isinstance(verdict, GaveUp)
    assert isinstance(verdict.reason, TooManySets)
    assert verdict.reason.sets > verdict.reason.limit == 2


def test_refutations_of_other_targets_name_their_operation(capsys: Capture) -> None:
    assert prove.main([str(SMALLEST), "--target", "subtraction"]) == 1
    assert "modulo 2^n, n bits" in capsys.readouterr().out
    assert isinstance(prove_real(copier(), multiplication(3)), Refuted)


def test_arguments_out_of_range() -> None:
    with pytest.raises(ValueError, match="dtype must be float32 or float64, got 'float16'"):
        prove_real(copier(), multiplication(1), "float16")
    with pytest.raises(ValueError, match="limit must be at least 1 set, got 0"):
        prove_real(copier(), multiplication(1), limit=0)
