"""The benchmarks run and check their results; the pages agree with the stored results."""

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import harness
from benchmarks.pages import figures, report
from benchmarks.speed import layer, many, online
from benchmarks.trust import proofs
from profiles import NIGHTLY
from rnn_numpy.training.recipe import Recipe

pytestmark = pytest.mark.unannotated


def test_the_pages_are_generated_from_the_stored_results() -> None:
    pages = [page.read_text() for page in report.PAGES]
    for page in pages:
        assert report.with_tables(page) == page, "run: python -m benchmarks.pages.report"
    conditions = 1  # the list that is made from no result
    assert sum(page.count("<!-- table:") for page in pages) == len(report.TABLES) + conditions


def test_results_name_no_machine() -> None:
    for file in harness.RESULTS.glob("*.json"):
        about = json.loads(file.read_text())["machine"]
        about.pop("numba", None)  # which compiled the kernels of the older results
        assert set(about) == {"processor", "cores", "python", "numpy", "torch", "jax", "date"}


def test_the_gate_of_the_recipe() -> None:
    import naive_recipe

    differences = online.gate(Recipe(iterations=40), naive_recipe.train(0, 40))
    assert {"compiled kernel", "NumPy loop", "torch: fused"} <= differences.keys()
    assert all(worst < 1e-13 for worst in differences.values())


def test_the_gate_of_the_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layer, "MOST_COMPILED_STEPS", 0)
    row = layer.measure((3, 2, 4), 0.01)
    assert {"ours", "naive autograd", "nn.RNN"} <= row["seconds"].keys()
    assert layer.best_ratio(row) > 0

    def wrong(problem: Any) -> Any:
        right = layer.by_autograd(layer.step_by_step, problem)
        return right._replace(read=lambda got: [1.01 * tensor for tensor in got])

    monkeypatch.setitem(layer.CONTENDERS, "ours", wrong)
    with pytest.raises(SystemExit, match=r"ours fails the parity gate at \(3, 2, 4\)"):
        layer.measure((3, 2, 4), 0.01)


def test_contenders_alternate() -> None:
    calls: list[str] = []
    contenders = {name: (lambda name=name: calls.append(name)) for name in "ab"}
    times = harness.interleaved(contenders, seconds=0, least=2)
    assert {name: len(some) for name, some in times.items()} == {"a": 2, "b": 2}
    turns = [name for i, name in enumerate(calls) if i == 0 or calls[i - 1] != name]
    assert "".join(turns) == "ab" * 3


def test_the_benchmark_of_many_networks_runs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(harness, "RESULTS", tmp_path)
    monkeypatch.setattr("sys.argv", ["many", "--seeds", "2"])
    many.main()
    assert [file.stem for file in tmp_path.iterdir()] == ["many"]


def test_the_figures_are_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures, "DOCS", tmp_path)
    if not NIGHTLY:  # the others search for seconds
        figures.carry()
        assert [file.name for file in tmp_path.iterdir()] == ["proof-carry.png"]
        return
    monkeypatch.setattr(figures, "COVERED", (6,))
    figures.main()
    made = {file.name for file in tmp_path.iterdir()}
    assert made == {file.name for file in report.DOCS.glob("*.png")} - {"performance-layer.png"}


def test_sums_with_long_runs_distinguish_networks() -> None:
    right, wrong = (proofs.trained(Recipe(seed))[0] for seed in (3, 14))
    assert figures.share_right(right, 500, sums=100) == 1
    assert figures.share_right(wrong, 500, sums=100) < 0.6


def test_the_tables_of_proofs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proofs, "BITS", (5,))
    found = proofs.rounded(map, 2)
    assert (found["exact"], found["bits"][5]["proved seeds"]) == (2, [0])
    assert found["bits"][5]["counterexample steps"] == [10]
