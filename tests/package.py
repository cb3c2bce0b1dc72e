"""For `make package`: the built wheel works in an empty environment, without any extra."""

import subprocess
import tarfile
import tempfile
import tomllib
import venv
import zipfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


def run(*command: Any, code: int = 0, cwd: Path | None = None) -> str:
    done = subprocess.run(
        [*map(str, command)], cwd=cwd, capture_output=True, text=True, check=False
    )
    assert done.returncode == code, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def main() -> None:
    (wheel,), (sdist,) = (list((ROOT / "dist").glob(ending)) for ending in ("*.whl", "*.tar.gz"))
    names = set(zipfile.ZipFile(wheel).namelist())
    for package in ("bptt_check", "rnn_numpy", "rnn_torch"):
        files = [file for file in (ROOT / "src" / package).rglob("*") if file.is_file()]
        inside = {str(f.relative_to(ROOT / "src")) for f in files if f.parent.name != "__pycache__"}
        assert f"{package}/py.typed" in inside
        assert inside <= names, inside - names
    with tarfile.open(sdist) as archive:
        packed = {name.partition("/")[2] for name in archive.getnames()}
    assert {"pyproject.toml", "README.md", "LICENSE", "CITATION.cff"} <= packed
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        venv.create(folder / "empty", with_pip=True)
        python = folder / "empty" / "bin" / "python"
        run(python, "-m", "pip", "install", "--quiet", wheel)
        installed = run(python, "-m", "pip", "list").lower()
        assert not any(heavy in installed for heavy in ("torch", "matplotlib"))
        adder, proof = folder / "adder.safetensors", folder / "adder.certificate"
        said = run(python, "-m", "rnn_numpy.train", "--out", adder, "--until-proved", cwd=folder)
        assert "16384 of 16384 sums exact; engine: compiled" in said
        said = run(python, "-m", "rnn_numpy.prove", adder, "--certificate", proof, cwd=folder)
        assert said.startswith("proved")
        run(python, "-I", "-S", ROOT / "src" / "rnn_numpy" / "verify.py", proof, adder)
        said = run(python, "-m", "rnn_torch.check", code=2, cwd=folder)
        assert said == "rnn_torch needs torch: pip install torch\n"
        for script in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]:
            needs_torch = script != "bptt-prove"
            said = run(folder / "empty" / "bin" / script, "--version", code=2 * needs_torch)
            assert said.startswith(f"{script} needs torch" if needs_torch else "rnn-bptt-reference")
    print(f"{wheel.name} and {sdist.name}: complete; the wheel learns and proves on its own")


if __name__ == "__main__":
    main()
