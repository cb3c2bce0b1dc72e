"""Wrong inputs of every command: exit code 2, and one line that names the flag or the file."""

import importlib
import os
import shlex
from pathlib import Path

import numpy as np
import pytest

from candidate_files import RIGHT_FILE
from rnn_numpy import Params
from rnn_numpy.storage.weights import save_params
from rnn_numpy.training.recipe import Recipe, start

pytestmark = [pytest.mark.unannotated, pytest.mark.few]
Capture = pytest.CaptureFixture[str]

# One a line: words that the message must contain, and the arguments.
TRAIN = """
--seed must be an integer from 0 to 4294967295, got -1: --seed -1
--seed: --seed 4294967296
--bits must be an integer from 1 to 64, got 0: --bits 0
--hidden must be an integer from 1 to 16384, got 0: --hidden 0
--iterations must be an integer of at least 0, got -1: --iterations -1
--batch-size: --batch-size 0
--learning-rate must be a number above 0 and below infinity, got nan: --learning-rate nan
--learning-rate must be a number above 0 and below infinity, got inf: --learning-rate inf
argument --dtype: invalid choice: 'float16': --dtype float16
--log-every must be an integer of at least 1, got 0: --log-every 0
--max-iterations needs --until-proved: --max-iterations 10
--max-iterations must be at least the: --until-proved --max-iterations 10
--out: cannot write /no/such/folder/w.safetensors: No such: --out /no/such/folder/w.safetensors
--out: cannot write .: it is a folder: --out .
there.txt: --checkpoint there.txt
there.txt: --checkpoint there.txt --resume
folder: --checkpoint .
--plot: cannot draw p.foo: Format 'foo' is not supported: --plot p.foo
--plot: cannot draw picture: Format '': --plot picture
--plot: --plot /no/such/folder/p.png
--checkpoint: --checkpoint-every 5
--checkpoint-every: --checkpoint c --checkpoint-every 0
--checkpoint: --resume
--engine: --engine numba
unrecognized arguments: --nonsense: --nonsense
stray: stray
"""
CASES = {
    "rnn_torch.train": TRAIN
    + """
--device no-such-device cannot be used: --device no-such-device
--device cuda:99 cannot be used: --device cuda:99
--device meta cannot be used: --device meta
--engine compiled runs on the CPU: --engine compiled --device meta
--device nonsense cannot be used: --engine fused --device nonsense
argument --engine: invalid choice: 'numpy': --engine numpy
""",
    "rnn_numpy.train": TRAIN + "--device: --device cpu\n--engine: --engine fused\n",
    "rnn_torch.sweep": """
--seeds: --seeds 5:5
--seeds: --seeds x
--hidden: --hidden 0
--bits: --bits 0 8
--learning-rate: --learning-rate 0.1 nan
--batch-size: --batch-size 0
--iterations: --iterations -5
--dtype: --dtype int8
--count-every: --count-every 0
--engine: --engine fused
--device: --device cpu
--at-once: --at-once 5
--out: --out /no/such/folder/r.jsonl
results.csv: --out results.csv
results: --out results
--resume needs --out FILE: --resume
--checkpoint: --checkpoint c
there.jsonl exists: pass --resume: --out there.jsonl
there.txt: --out there.txt
stray: --json stray
""",
    "rnn_torch.check": """
nowhere.py: nowhere.py:backward
mine.py: mine.py
must be FILE.py:FUNCTION, got 'other.py': other.py
mine.py: mine.py:nothing
has no function 'bakward': did you mean backward? it has: mine.py:bakward
unrecognized arguments: --netwrok lstm: did you mean --network?: mine.py:backward --netwrok lstm
got 'lsmt': did you mean lstm?: mine.py:backward --network lsmt
no option 'peephole': did you mean peepholes?: mine.py:backward --network lstm,peephole
no network 'declaerd': did you mean declared?: mine.py:backward --network empty.py:declaerd
--markdown: not allowed with argument --json: mine.py:backward --json --markdown
--html: a page's name must end in .html, got page.pdf: mine.py:backward --html page.pdf
takes (y, cache), but: caches.py:backward
ask for FILE.py:FORWARD,BACKWARD: caches.py:backward
the pass before it returns h, caches: did you mean caches?: caches.py:forward,backward
its name must end in .py: there.txt:backward
. is no Python file: .:backward
candidate: backward
elman, tanh, relu, gru, lstm or FILE.py:NETWORK, got 'cell': mine.py:backward --network cell
order must have each of i, f, g, o once: mine.py:backward --network lstm,order=ifg
lstm has the options: mine.py:backward --network lstm,reset=before
lstm has no option 'fast': mine.py:backward --network lstm,fast
there is no file nowhere.py: mine.py:backward --network nowhere.py:f
raises ZeroDivisionError: division by zero (line 1): mine.py:backward --network bad.py:f
f of plain.py is not a network: declare it with @bptt_check: mine.py:backward --network plain.py:f
plain.py has no network 'g'; it has none: mine.py:backward --network plain.py:g
must yield one loss for each of the 6 steps, got none: mine.py:backward --network empty.py:f
must yield one floating-point number for each step: mine.py:backward --network vector.py:f
check its axes: mine.py:backward --network unlike.py:f
--network: --network lstm
--loss: mine.py:backward --network lstm --loss absolute
--from-update: mine.py:backward --from-update 0
--from-update: mine.py:backward --from-update 0.1
invalid choice: 'float16': mine.py:backward --dtype float16
--window must be an integer from 0 to 512, got 513: mine.py:backward --window 513
--shapes must be any, or sizes of axes from 1 to 512: mine.py:backward --shapes 1,2,3
--shapes must be: mine.py:backward --shapes 8,1,2,100000,1
--shapes: mine.py:backward --shapes depth=3
--shapes: mine.py:backward --shapes large
--seed must be an integer of at least 0: mine.py:backward --seed -1
--timeout must be a number above 0 and below infinity: mine.py:backward --timeout 0
--timeout: mine.py:backward --timeout 1e7
--env must be the name of a variable that is set, got 'NOWHERE_SET': mine.py:f --env NOWHERE_SET
--env takes a name alone; its value is the one that is set: mine.py:f --env PATH=secret
cannot write /no/such/folder/p.html: --html /no/such/folder/p.html
--html: mine.py:backward --html .
--plot: cannot draw picture: Format '': mine.py:backward --plot picture
cannot write /no/such/folder/p.png: --plot /no/such/folder/p.png
add the function to check, as in 'stray:backward': mine.py:backward stray
--csv: not allowed with argument --json: mine.py:backward --json --csv
must end in .html: mine.py:backward --html page
no file matches no*.py: 'no*.py:backward'
add the function to check, as in '*.py:backward': '*.py'
--patch is for one FILE.py:FUNCTION: 'mine*.py:backward' --patch p.diff
--plot is for one FILE.py:FUNCTION: mine.py:backward mine.py:backward --plot p.png
--html: there.txt cannot be a folder of pages: 'mine*.py:backward' --html there.txt
--network: 'mine*.py:backward' --network cell
--loop needs a FILE.py, and the beginning of its loop: --loop 'for j in'
--loop needs a FILE.py, and the beginning of its loop: mine.py --loop while
no loop of the script begins with 'for j in'; it has none: mine.py --loop 'for j in'
""",
    "rnn_torch.add": """
WEIGHTS:
cannot read nowhere: nowhere.safetensors 1 2
must have 2 inputs and 1 output, got 3 and 2: other.safetensors 1 2
there.txt: there.txt 1 2
B: w.safetensors 1
A: w.safetensors one 2
A must be an integer of at least 0, got -5: w.safetensors -5 3
B must be an integer of at least 0, got 1.5: w.safetensors 3 1.5
B must be an integer of at least 0, got nothing: w.safetensors 3 ''
A must be an integer of at least 0, got 0x: w.safetensors 0x 3
9...: w.safetensors 3 99999999999999999999999999999999999999999999999999x
B: w.safetensors 1 0xg
A cannot be read from @nowhere.txt: w.safetensors @nowhere.txt 1
--limit: w.safetensors 1 2 --prove --limit 0
stray: w.safetensors 1 2 stray
""",
    "rnn_numpy.prove": """
WEIGHTS:
cannot read nowhere: nowhere.safetensors
addition needs 2 inputs and 1 output, these weights have 3 and 2: other.safetensors
is not a complete safetensors file: cut.safetensors
W must be finite, got nan at [2, 3]: nan.safetensors
there.txt: there.txt
--state-bits must be an integer from 1 to 16, got 17: w.safetensors --state-bits 17
--dtype: w.safetensors --dtype float16
--dtype goes without --state-bits: w.safetensors --state-bits 5 --dtype float32
target must be addition, subtraction, comparison or: w.safetensors --target division
needs 1 inputs: w.safetensors --target multiplication:3
--target: w.safetensors --target multiplication
--limit must be an integer of at least 1, got 0: w.safetensors --limit 0
cannot write /no/such/folder/c: w.safetensors --certificate /no/such/folder/c
cannot write .: w.safetensors --state-bits 5 --certificate .
stray: w.safetensors stray
""",
}  # fmt: skip
USER = "from rnn_torch.networks import network\n@network(x='time n', w='n n')\ndef f(x, w):\n"
NETWORKS = {
    "bad": "1 / 0",
    "plain": "def f(): pass",
    "empty": f"{USER}    return\n    yield\ndeclared = f\n",
    "caches": "def forward(x, U, W, V):\n    h, caches = x, [x]\n    return h, caches\n"
    "def backward(y, cache):\n    return cache\n",
    "vector": f"{USER}    for x_t in x:\n        yield w @ x_t\n",
    "unlike": f"{USER}    for x_t in x:\n        yield (w @ x_t[1:]).sum()\n",
}
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
    for name, network in NETWORKS.items():
        (folder / f"{name}.py").write_text(network)
    right = start(Recipe(bits=4, hidden=4))[0]
    nan = right._replace(W=np.where(np.arange(16).reshape(4, 4) == 11, np.nan, right.W))
    other = Params(np.ones((3, 4)), np.ones((4, 4)), np.ones((4, 2)))
    for name, params in {"w": right, "cut": right, "nan": nan, "other": other}.items():
        save_params(folder / f"{name}.safetensors", params, {})
    os.truncate(folder / "cut.safetensors", 200)
    return folder


@pytest.mark.parametrize(("command", "line"), [pair for pair in LINES if pair[1]])
def test_wrong_input(
    command: str, line: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    named, _, arguments = f"{line} ".rpartition(": ")
    monkeypatch.chdir(folder)
    monkeypatch.setattr("sys.dont_write_bytecode", True)  # nothing else is written
    before = sorted(folder.rglob("*"))
    try:
        code = importlib.import_module(command).main(shlex.split(arguments))
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
