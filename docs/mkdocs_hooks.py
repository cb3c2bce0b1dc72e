"""Hooks of mkdocs: the first page, the API reference, the files linked to, the mathematics."""

import re
from html import unescape
from pathlib import Path
from typing import Any

from latex2mathml.converter import convert
from mkdocs.structure.files import File

ROOT = Path(__file__).parents[1]
#: What the reference shows: the names that each package exports, and modules of their own.
REFERENCE = ("bptt_check.testing", "bptt_check.networks", "rnn_torch", "rnn_numpy")

STYLE = """
.md-typeset pre > code { white-space: pre-wrap; font-size: .62rem; }
.formula { display: flex; align-items: center; margin: 1em 0; overflow-x: auto; }
.formula math { flex: 1; }
@media screen and (min-width: 76.25em) {
  .md-nav--primary > .md-nav__title { display: none; }
}
"""


def on_files(files: Any, config: Any) -> Any:
    """Add what does not lie in docs/."""
    readme = (ROOT / "README.md").read_text().replace("](docs/", "](")
    readme = re.sub(r"\]\((?=src/|examples/|tests/|\w[\w.-]*\.md\))", "](../", readme)
    pages = {path.name for path in (ROOT / "docs").glob("*.md")}
    readme = re.sub(
        r"\]\(\.\./([\w-]+\.md)", lambda m: f"]({m[1]}" if m[1] in pages else m[0], readme
    )
    reference = "# Reference\n\n" + "\n".join(f"::: {name}\n" for name in REFERENCE)
    for name, text in {"index.md": readme, "reference.md": reference, "site.css": STYLE}.items():
        files.append(File.generated(config, name, content=text))
    texts = [readme, *(page.read_text() for page in (ROOT / "docs").glob("*.md"))]
    for linked in sorted({link for text in texts for link in _outside(text)}):
        # As plain text, which every browser shows.
        path = ROOT / linked
        listed = "\n".join(sorted(each.name for each in path.iterdir())) if path.is_dir() else ""
        content = listed or path.read_bytes()
        files.append(File.generated(config, f"source/{linked.rstrip('/')}.txt", content=content))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Lead links to files outside docs/ to their copies, without the number of a line."""
    return re.sub(r"\]\(\.\./([^)#]+?)/?(#\w+)?\)", r"](source/\1.txt)", markdown)


def on_page_content(html: str, **_: Any) -> str:
    """Write formulas as MathML, which browsers show without a script from elsewhere."""
    formula = r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>'
    return re.sub(formula, _mathematics, html, flags=re.DOTALL)


def _mathematics(found: re.Match[str]) -> str:
    text, number = unescape(found[2]), re.search(r"\\tag\{(.*?)\}", found[2])
    if found[1] == "span":
        return convert(text)
    label = f'<span class="number">({number[1]})</span>' if number else ""
    formula = convert(re.sub(r"\\tag\{.*?\}", "", text), display="block")
    return f'<div class="formula">{formula}{label}</div>'


def _outside(text: str) -> list[str]:
    return re.findall(r"\]\(\.\./([^)#]+)", text)
