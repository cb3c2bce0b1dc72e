"""Wrong inputs of every command: exit code 2, and one line that names the flag or the file."""

import importlib
from pathlib import Path

import pytest

from candidate_files import RIGHT_FILE
from rnn_numpy.storage.weights import save_params
from rnn_numpy.training.recipe import Recipe, start

pytestmark = pytest.mark.unannotated
Capture = pytest.CaptureFixture[str]

# One a line: the arguments, with the word that the message must contain in front.
TRAIN = """
--seed: --seed -1
--seed: --seed x
--seed: --seed 4294967296
--seed: --seed 1.5
--seed: --seed
--bits: --bits 0
--bits: --bits 65
--bits: --bits eight
--hidden: --hidden 0
--hidden: --hidden 16385
--hidden: --hidden -3
--iterations: --iterations -1
--iterations: --iterations 1e4
--iterations: --iterations x
--batch-size: --batch-size 0
--batch-size: --batch-size x
--learning-rate: --learning-rate 0
--learning-rate: --learning-rate -0.1
--learning-rate: --learning-rate nan
--learning-rate: --learning-rate inf
--learning-rate: --learning-rate 0,1
--dtype: --dtype float16
--dtype: --dtype double
--log-every: --log-every 0
--log-every: --log-every x
--max-iterations: --max-iterations 10
--max-iterations: --until-proved --max-iterations 10
--max-iterations: --until-proved --max-iterations x
--out: --out /no/such/folder/w.safetensors
--out: --out .
--out: --out
there.txt: --checkpoint there.txt
there.txt: --checkpoint there.txt --resume
folder: --checkpoint .
--plot: --plot p.foo
--plot: --plot /no/such/folder/p.png
--checkpoint: --checkpoint-every 5
--checkpoint-every: --checkpoint c --checkpoint-every 0
--checkpoint: --resume
--engine: --engine numba
--nonsense: --nonsense
stray: stray
"""
CASES = {
    "rnn_torch.train": TRAIN
    + """
--device: --device nowhere
--device: --device cuda:99
--engine: --engine numpy
""",
    "rnn_numpy.train": TRAIN + "--device: --device cpu\n--engine: --engine fused\n",
    "rnn_torch.sweep": """
--seeds: --seeds 5:5
--seeds: --seeds 5:2
--seeds: --seeds x
--seeds: --seeds -1
--seeds: --seeds
--hidden: --hidden 0
--hidden: --hidden 8 x
--bits: --bits 65
--bits: --bits 0 8
--learning-rate: --learning-rate 0
--learning-rate: --learning-rate 0.1 nan
--batch-size: --batch-size 0
--iterations: --iterations -5
--dtype: --dtype int8
--count-every: --count-every 0
--engine: --engine fused
--engine: --engine batched
--device: --device cpu
--at-once: --at-once 5
--out: --out /no/such/folder/r.jsonl
results.csv: --out results.csv
results: --out results
--out: --resume
--checkpoint: --checkpoint c
there.jsonl: --out there.jsonl
there.txt: --out there.txt
--nonsense: --nonsense
stray: --json stray
""",
    "rnn_torch.check": """
nowhere.py: nowhere.py:backward
mine.py: mine.py
mine.py: mine.py:nothing
mine.txt: mine.txt:backward
candidate: backward
--network: mine.py:backward --network elman2
--network: mine.py:backward --network lstm,order=abcd
--network: mine.py:backward --network nowhere.py:net
--network: --network lstm
--loss: mine.py:backward --network lstm --loss absolute
--from-update: mine.py:backward --from-update 0
--from-update: mine.py:backward --from-update 0.1
--dtype: mine.py:backward --dtype float16
--window: mine.py:backward --window -1
--window: mine.py:backward --window 513
--window: mine.py:backward --window x
--shapes: mine.py:backward --shapes 1,2,3
--shapes: mine.py:backward --shapes hidden=0
--shapes: mine.py:backward --shapes depth=3
--shapes: mine.py:backward --shapes large
--seed: mine.py:backward --seed -1
--timeout: mine.py:backward --timeout 0
--timeout: mine.py:backward --timeout inf
--timeout: mine.py:backward --timeout 1e7
--env: mine.py:backward --env NO_SUCH_VARIABLE_IS_SET
--env: mine.py:backward --env NAME=value
--html: mine.py:backward --html /no/such/folder/p.html
--html: mine.py:backward --html .
--plot: mine.py:backward --plot p.foo
--plot: mine.py:backward --plot /no/such/folder/p.png
--nonsense: mine.py:backward --nonsense
stray: mine.py:backward stray
""",
    "rnn_torch.add": """
WEIGHTS:
nowhere: nowhere.safetensors 1 2
there.txt: there.txt 1 2
B: w.safetensors 1
A: w.safetensors one 2
A: w.safetensors 1.5 2
B: w.safetensors 1 0xg
B: w.safetensors 1 0b2
B: w.safetensors 1 @nowhere.txt
--limit: w.safetensors 1 2 --prove --limit 0
--limit: w.safetensors 1 2 --prove --limit x
--nonsense: w.safetensors 1 2 --nonsense
stray: w.safetensors 1 2 stray
""",
    "rnn_numpy.prove": """
WEIGHTS:
nowhere: nowhere.safetensors
there.txt: there.txt
--state-bits: w.safetensors --state-bits 0
--state-bits: w.safetensors --state-bits x
--dtype: w.safetensors --dtype float16
--dtype: w.safetensors --state-bits 5 --dtype float32
--target: w.safetensors --target division
--target: w.safetensors --target multiplication:x
--target: w.safetensors --target multiplication
--limit: w.safetensors --limit 0
--limit: w.safetensors --limit x
--certificate: w.safetensors --certificate /no/such/folder/c
--nonsense: w.safetensors --nonsense
stray: w.safetensors stray
""",
}  # fmt: skip
LINES = [
    (command, line) for command, lines in CASES.items() for line in lines.strip("\n").split("\n")
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a right backward pass, weights, and unusable files."""
    folder = tmp_path_factory.mktemp("inputs")
    (folder / "mine.py").write_text(RIGHT_FILE)
    (folder / "there.txt").write_text("something else\n")
    (folder / "there.jsonl").write_text("")
    recipe = Recipe(bits=4, hidden=3)
    save_params(folder / "w.safetensors", start(recipe)[0], {})
    return folder


@pytest.mark.parametrize(("command", "line"), [pair for pair in LINES if pair[1]])
def test_wrong_input(
    command: str, line: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    named, _, arguments = line.partition(":")
    monkeypatch.chdir(folder)
    before = sorted(folder.rglob("*"))
    try:
        code = importlib.import_module(command).main(arguments.split())
    except SystemExit as ended:
        code = ended.code
    said = capsys.readouterr()
    assert (code, said.out) == (2, "")
    (message,) = said.err.splitlines()
    assert message.startswith((f"python -m {command}: error: ", "CANNOT CHECK ", "error: "))
    assert named in message
    assert sorted(folder.rglob("*")) == before


def test_there_are_many() -> None:
    assert len(LINES) > 160
