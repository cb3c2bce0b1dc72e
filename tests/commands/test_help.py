"""The help of every command, and its messages about invalid flags."""

import gc
import importlib
import os
import runpy
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import rnn_torch.__main__ as listing
from bptt_check.commands.atomic_files import made_by
from bptt_check.commands.needs import require_torch
from rnn_numpy import __main__ as without_torch

ROOT = Path(__file__).parents[2]
SCRIPTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
COMMANDS = ("rnn_torch.check", "rnn_torch.train", "rnn_torch.sweep", "rnn_torch.add",
            "rnn_numpy.train", "rnn_numpy.prove")  # fmt: skip
pytestmark = [pytest.mark.unannotated, pytest.mark.few]
Capture = pytest.CaptureFixture[str]


def ended(command: str, flags: list[str], capsys: Capture) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as end:
        importlib.import_module(command).main(flags)
    said = capsys.readouterr()
    assert isinstance(end.value.code, int)
    return end.value.code, said.out, said.err


@pytest.mark.verdict
@pytest.mark.parametrize("command", COMMANDS)
def test_the_examples_of_the_help_work(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    code, text, _ = ended(command, ["--help"], capsys)
    assert code == 0
    examples = [line.split() for line in text.partition("\nexamples:\n")[2].splitlines()]
    assert len(examples) == 2
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    for python, m, module, *flags in examples:
        flags += FEWER.get(command, []) + ["--max-iterations", "60"] * ("--until-proved" in flags)
        assert (python, m, module) == ("python", "-m", command)
        wrong = any("wrong" in flag or flag == "--until-proved" for flag in flags)
        assert importlib.import_module(command).main(shlex.split(" ".join(flags))) == int(wrong)
        for flag in ("--out", "--html", "--plot", "--certificate"):
            if flag in flags:
                assert Path(flags[flags.index(flag) + 1]).stat().st_size > 0
    capsys.readouterr()


@pytest.mark.parametrize("command", COMMANDS)
def test_version_and_a_refusal_without_a_page_of_usage(command: str, capsys: Capture) -> None:
    assert ended(command, ["--version"], capsys) == (0, made_by() + "\n", "")
    code, out, error = ended(command, ["--no-such-flag"], capsys)
    assert (code, out) == (2, "")
    (line,) = error.splitlines()
    assert line.startswith(f"python -m {command}: error: ")
    assert "arguments" in line


def test_the_list_of_commands_and_the_scripts(capsys: Capture) -> None:
    listing.main()
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[2] for line in lines] == list(listing.COMMANDS)
    assert set(COMMANDS) < set(listing.COMMANDS)
    without_torch.show(without_torch.COMMANDS)
    assert capsys.readouterr().out.splitlines() == [x for x in lines if " rnn_numpy." in x]
    for name, target in SCRIPTS.items():
        module, _, function = target.partition(":")
        assert name == f"bptt-{module.rpartition('.')[2]}"
        assert module in COMMANDS
        assert callable(getattr(importlib.import_module(module), function))


#: Added to the examples of a command, to save time; a network is not proved then.
FEWER = {command: ["--iterations", "60"] for command in (*COMMANDS[1:3], COMMANDS[4])}
FEWER["rnn_torch.check"] = ["--shapes", "time=4,batch=2"]


def test_a_command_of_the_other_package(capsys: Capture) -> None:
    """Exit code 1 would be a verdict."""
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(ROOT / "src" / "rnn_torch" / "prove.py"), run_name="__main__")
    assert end.value.code == 2
    assert "python -m rnn_numpy.prove" in capsys.readouterr().err


def test_torch_is_not_searched_for_garbage_in_a_command(monkeypatch: pytest.MonkeyPatch) -> None:
    for program, frozen in (("pytest", False), ("-m", True)):
        monkeypatch.setattr(sys, "argv", [program])
        require_torch("rnn_torch")
        assert gc.isenabled()
        assert (gc.get_freeze_count() > 10_000) == frozen
    gc.unfreeze()


BROKEN = "raise OSError('libtorch.so: no such file')"


@pytest.mark.parametrize(("script", "torch"), [("bptt-check", ""), ("bptt-sweep", BROKEN)])
def test_a_script_without_torch_says_so_in_one_line(
    script: str, torch: str, tmp_path: Path
) -> None:
    """As pip writes it; exit code 1 would be a verdict."""
    module, _, function = SCRIPTS[script].partition(":")
    program = tmp_path / script
    program.write_text(f"from {module} import {function}\nraise SystemExit({function}())\n")
    hidden = tmp_path / "torch.py"
    hidden.write_text(torch)
    (tmp_path / "sitecustomize.py").write_text(
        "" if torch else "import sys; sys.modules['torch'] = None"
    )
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT / 'src'}"}
    done = subprocess.run(
        [sys.executable, program], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert (done.stdout, done.stderr.count("\n")) == ("", 1)
    wanted = "libtorch.so" if torch else f'{script} needs torch: pip install "rnn-bptt-reference['
    assert wanted in done.stderr
