"""What the check says of published backward passes, each in the file where it lies.

The passes are those of `benchmarks/trust/public/`; docs/public-code.md has the figures.

    python -m benchmarks.trust.public_code [--sources FOLDER] [NAME ...]

FOLDER holds each published file at OWNER+NAME/PATH; without it the files are fetched from GitHub.
The exit code is 1 if a verdict is not the expected one, 2 if a file is missing.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from importlib import import_module
from itertools import chain
from pathlib import Path
from pkgutil import iter_modules
from typing import Any, NamedTuple
from urllib.parse import quote
from urllib.request import urlopen

from benchmarks.harness import keep
from benchmarks.trust import public
from benchmarks.trust.public.form import Pass

ROOT = Path(__file__).parents[2]
KINDS = ("wrong", "held_out", "right")


class Declared(NamedTuple):
    """A pass, and the module that declares it."""

    its: Pass
    kind: str
    file: Path

    @property
    def adapter(self) -> Path | None:
        """The file that calls the published code, if it cannot be called as it is."""
        file = self.file.parent / "adapters" / self.file.name
        return file if file.exists() else None


def main() -> int:
    """Check every pass, print a line for each, and keep the numbers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--sources", type=Path, metavar="FOLDER")
    parser.add_argument("--show", action="store_true", help="only print the commands")
    flags = parser.parse_args()
    passes = [p for p in declared() if not flags.names or p.its.name in flags.names]
    if unknown := {*flags.names} - {p.its.name for p in passes}:
        parser.error(f"no pass is named {', '.join(unknown)}; --show lists all")
    if flags.show:
        folder = flags.sources or Path("FOLDER")
        print("\n".join(f"{p.its.name}: {shown(p, folder)}" for p in passes))
        return 0
    with tempfile.TemporaryDirectory() as temporary:
        folder = flags.sources or Path(temporary)
        try:
            for its in passes:
                fetch(its.its, folder, must_exist=bool(flags.sources))
        except OSError as error:
            print(error, file=sys.stderr)
            return 2
        found = [judged(its, folder) for its in passes]
    total = {kind: summary(found, kind) for kind in KINDS}
    print(json.dumps(total))
    if not flags.names:
        keep("public_code", {"total": total, "passes": found})
    return int(not all(each["as expected"] for each in found))


def declared() -> Iterator[Declared]:
    """The passes of all modules."""
    for kind in KINDS:
        folder = Path(public.__file__).parent / kind
        for module in iter_modules([str(folder)]):
            if not module.ispkg:
                found = import_module(f"{public.__name__}.{kind}.{module.name}")
                yield from (Declared(its, kind, Path(found.__file__ or "")) for its in found.PASSES)


def published(its: Pass, folder: Path) -> Path:
    """Where the published file lies."""
    return folder / its.repository.replace("/", "+") / its.path


def fetch(its: Pass, folder: Path, must_exist: bool) -> None:
    """Fetch the files of a pass that are not there.

    Raises:
        OSError: that fails, or they must be there.
    """
    for path in (its.path, *its.beside):
        file = published(its._replace(path=path), folder)
        if file.exists():
            continue
        url = f"https://raw.githubusercontent.com/{its.repository}/{its.commit}/{quote(path)}"
        if must_exist:
            raise FileNotFoundError(f"{file} is not there: {url}")
        try:
            with urlopen(url, timeout=60) as answer:
                text = answer.read()
        except OSError as error:
            raise OSError(f"{url} cannot be fetched: {error}") from None
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text)


def command(p: Declared, folder: Path) -> list[str]:
    """What checks a pass; an adapter finds the published file by the variable PUBLISHED."""
    file = p.adapter or published(p.its, folder)
    env = ["--env", "PUBLISHED"] if p.adapter else []
    network = f"{p.file.relative_to(ROOT)}:{p.its.network}"
    flags = ["--network", network, *p.its.flags.split(), *env]
    return ["-m", "rnn_torch.check", f"{file}:{p.its.function}", *flags]


def shown(p: Declared, folder: Path) -> str:
    """The command as one types it, from this project's folder."""
    before = f'PUBLISHED="{published(p.its, folder).absolute()}" ' if p.adapter else ""
    words = (f'"{word}"' if " " in word else word for word in command(p, folder))
    return f"{before}python {' '.join(words)}"


def judged(p: Declared, folder: Path) -> dict[str, Any]:
    """What the report of a pass says, and which lines it changes."""
    its, file = p.its, published(p.its, folder).absolute()
    before = seconds()
    answer = subprocess.run(
        [sys.executable, *command(p, folder.absolute()), "--json"],
        cwd=ROOT,
        env={**os.environ, "PUBLISHED": str(file)},
        capture_output=True,
        text=True,
        check=False,
    )
    if not answer.stdout:
        raise RuntimeError(f"{its.name}: {answer.stderr}")
    report = json.loads(answer.stdout)
    mend = report.get("mend") or {"lines": [], "proved": False}
    found = {
        "name": its.name,
        "kind": p.kind,
        "verdict": report["verdict"],
        "as expected": report["verdict"] == its.verdict,
        "named": [*named(report)],
        **changes(its, mend["lines"], file),
        "mended": mend["proved"],
        "seconds": round(seconds() - before, 1),
    }
    if "why" in report:
        found["why"] = report["why"]
    print("; ".join(f"{key}: {value}" for key, value in found.items()), flush=True)
    return found


def changes(its: Pass, lines: Sequence[dict[str, str]], file: Path) -> dict[str, Any]:
    """How many of the wrong lines are among these, and which others are."""
    places = {f"{line['place']} of {Path(line['file']).name}": number(line, file) for line in lines}
    meant = {*its.on_purpose, *chain(*its.wrong)}
    return {
        "wrong lines": len(its.wrong),
        "of these changed": sum(not {*places.values()}.isdisjoint(each) for each in its.wrong),
        "innocent lines changed": [place for place, at in places.items() if at not in meant],
    }


def named(report: dict[str, Any]) -> Iterator[str]:
    """The mistakes that a report names."""
    for explanation in report.get("mistakes") or ():
        at = "at one step: " if explanation["one_step"] else ""
        yield from (at + mistake["name"] for mistake in explanation["mistakes"])


def number(line: dict[str, str], file: Path) -> int:
    """The number of a line in the published file, also of a notebook as text; 0: another file."""
    words = line["place"].replace(",", "").split()
    if Path(line["file"]).resolve() != file.resolve():
        return 0
    if words[0] == "line":
        return int(words[1])
    kinds = [cell["cell_type"] for cell in json.loads(file.read_text("utf-8"))["cells"]]
    text = file.read_text("utf-8").split("\n")
    starts = [n for n, its in enumerate(text, 1) if its.lstrip().startswith('"source": [')]
    code = [start for start, kind in zip(starts, kinds, strict=True) if kind == "code"]
    return code[int(words[1]) - 1] + int(words[3])


def seconds() -> float:
    """The processor time of all processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def summary(found: Sequence[dict[str, Any]], kind: str) -> dict[str, Any]:
    """The sums over the passes of a kind."""
    its = [each for each in found if each["kind"] == kind]
    return {
        "passes": len(its),
        "verdicts as expected": sum(each["as expected"] for each in its),
        "mended": sum(each["mended"] for each in its),
        "wrong lines": sum(each["wrong lines"] for each in its),
        "of these changed": sum(each["of these changed"] for each in its),
        "innocent lines changed": sum(len(each["innocent lines changed"]) for each in its),
        "seconds": round(sum(each["seconds"] for each in its), 1),
    }


if __name__ == "__main__":
    sys.exit(main())
