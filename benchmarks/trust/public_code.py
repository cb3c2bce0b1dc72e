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
from typing import Any
from urllib.parse import quote
from urllib.request import urlopen

from benchmarks.harness import keep
from benchmarks.trust.public.form import Pass

ROOT = Path(__file__).parents[2]
PUBLIC = Path(__file__).parent / "public"
KINDS = ("wrong", "held_out", "right")


def main() -> int:
    """Check every pass, print a line for each, and keep the numbers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--sources", type=Path, metavar="FOLDER")
    parser.add_argument("--show", action="store_true", help="only print the commands")
    flags = parser.parse_args()
    passes = {its: k for its, k in declared().items() if not flags.names or its.name in flags.names}
    if unknown := {*flags.names} - {its.name for its in passes}:
        parser.error(f"no pass is named {', '.join(unknown)}; --show lists all")
    if flags.show:
        folder = flags.sources or Path("FOLDER")
        print("\n".join(f"{its.name}: {shown(its, kind, folder)}" for its, kind in passes.items()))
        return 0
    with tempfile.TemporaryDirectory() as temporary:
        folder = flags.sources or Path(temporary)
        try:
            for its in passes:
                fetch(its, folder, must_exist=bool(flags.sources))
        except OSError as error:
            print(error, file=sys.stderr)
            return 2
        found = [judged(its, kind, folder.absolute()) for its, kind in passes.items()]
    total = {kind: summary([each for each in found if each["kind"] == kind]) for kind in KINDS}
    print(json.dumps(total))
    if not flags.names:
        keep("public_code", {"total": total, "passes": found})
    return int(not all(each["as expected"] for each in found))


def declared() -> dict[Pass, str]:
    """The kind of each pass of all modules; its network is `FILE:NAME`."""
    return {
        its._replace(network=f"{PUBLIC / kind}.py:{its.network or its.name}"): kind
        for kind in KINDS
        for its in import_module(f"benchmarks.trust.public.{kind}").PASSES
    }


def adapter(its: Pass, kind: str) -> Path:
    """The file that calls the published code, if it cannot be called as it is."""
    owner = its.source.partition("/")[0].replace("-", "_").lower()
    return PUBLIC / "adapters" / kind / f"{owner}.py"


def published(its: Pass, folder: Path) -> Path:
    """Where the published file lies."""
    return folder / its.source.rpartition("/")[0].replace("/", "+") / its.path


def fetch(its: Pass, folder: Path, must_exist: bool) -> None:
    """Fetch the files of a pass that are not there.

    Raises:
        OSError: that fails, or they must be there.
    """
    for path in (its.path, *its.beside):
        file = published(its._replace(path=path), folder)
        if file.exists():
            continue
        url = f"https://raw.githubusercontent.com/{its.source}/{quote(path)}"
        if must_exist:
            raise FileNotFoundError(f"{file} is not there: {url}")
        try:
            with urlopen(url, timeout=60) as answer:
                text = answer.read()
        except OSError as error:
            raise OSError(f"{url} cannot be fetched: {error}") from None
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text)


def command(its: Pass, kind: str, folder: Path) -> list[str]:
    """What checks a pass; an adapter finds the published file by the variable PUBLISHED."""
    target, env = f"{published(its, folder)}:{its.function}", []
    if not its.function:
        target, env = f"{adapter(its, kind)}:{its.name}", ["--env", "PUBLISHED"]
    network = its.network.removeprefix(f"{ROOT}/")
    return ["-m", "rnn_torch.check", target, "--network", network, *its.flags.split(), *env]


def shown(its: Pass, kind: str, folder: Path) -> str:
    """The command as one types it, from this project's folder."""
    before = "" if its.function else f'PUBLISHED="{published(its, folder).absolute()}" '
    words = (f'"{word}"' if " " in word else word for word in command(its, kind, folder))
    return f"{before}python {' '.join(words)}"


def judged(its: Pass, kind: str, folder: Path) -> dict[str, Any]:
    """What the report of a pass says, and which lines it changes."""
    file, before = published(its, folder), seconds()
    answer = subprocess.run(
        [sys.executable, *command(its, kind, folder), "--json"],
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
    expected = "disagrees" if its.wrong or its.on_purpose else "agrees"
    found = {
        "name": its.name,
        "kind": kind,
        "verdict": report["verdict"],
        "as expected": report["verdict"] == expected,
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


def summary(found: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The sums over some passes."""
    return {
        "passes": len(found),
        "verdicts as expected": sum(each["as expected"] for each in found),
        "mended": sum(each["mended"] for each in found),
        "wrong lines": sum(each["wrong lines"] for each in found),
        "of these changed": sum(each["of these changed"] for each in found),
        "innocent lines changed": sum(len(each["innocent lines changed"]) for each in found),
        "seconds": round(sum(each["seconds"] for each in found), 1),
    }


if __name__ == "__main__":
    sys.exit(main())
