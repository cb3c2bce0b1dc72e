"""The report of an examination as one self-contained HTML page: `check --html FILE.html`."""

import math
import platform
from collections.abc import Sequence
from datetime import date

import numpy as np
import torch
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from bptt_check.candidate.escaping import shown
from bptt_check.commands.atomic_files import made_by
from bptt_check.judge.report import Report
from bptt_check.reports import text
from bptt_check.reports.equations import EQUATIONS, as_markup, cited, linked
from bptt_check.reports.panels import in_words, panels

_TONES = {"agrees": "right", "loses digits": "right", "disagrees": "wrong", "approximate": "unsure"}
_TONES |= {"impure": "wrong", "cannot tell": "unsure"}


def as_html(
    reports: Sequence[tuple[str, Report]],
    dtype: str,
    *,
    name: str = "",
    why: str = "",
    command: str = "",
) -> str:
    """The page: a section for each report, or why `name` cannot be checked.

    Its footer has the `command` that wrote it, if any, the date and the versions.

    Text from the candidate or its file is escaped by `shown` and never interpreted as markup.
    """
    environment = Environment(
        loader=PackageLoader("bptt_check.reports", "."),
        autoescape=True,
        finalize=lambda value: shown(value) if type(value) is str else value,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    return environment.get_template("page.html").render(
        title=_title(reports, name),
        reports=reports,
        name=name,
        why=why,
        dtype=dtype,
        tone=lambda report: _TONES[report.verdict],
        text=text,
        cell=_cell,
        in_words=in_words,
        panels=panels,
        cited=_cited(reports),
        equations={number: as_markup(its) for number, its in EQUATIONS.items()},
        place=lambda report, m: linked(m.place) if report.cites_equations else m.place,
        command=command,
        date=date.today().isoformat(),
        versions=f"{made_by()}, NumPy {np.__version__}, torch {torch.__version__}, "
        f"Python {platform.python_version()}",
    )


def _title(reports: Sequence[tuple[str, Report]], name: str) -> str:
    if not reports:
        return f"CANNOT CHECK {name}"
    first, report = reports[0]
    if len(reports) > 1:
        return "Backward passes"
    return f"{text.word(report)}: {text.verdict(report, first)}"


def _cited(reports: Sequence[tuple[str, Report]]) -> set[int]:
    """The equations that the reports mention."""
    said = (e for _, report in reports if report.cites_equations for e in report.mistakes or ())
    return {number for e in said for m in e.mistakes for number in cited(m.place)}


def _cell(
    fraction: float, what: str, *, zero: bool = False, later: bool = False, gap: bool = False
) -> Markup:
    """A cell of the heat map; `later` for a state after the loss, which causality leaves empty."""
    wrong = fraction > 1
    hidden = math.isnan(fraction)
    kind = "is-wrong" if wrong else "" if later or hidden else "is-right"
    power = math.log10(fraction) if wrong and math.isfinite(fraction) else 16.0
    sign = "" if later else "?" if hidden else "✓"
    if wrong:
        sign = "0!" if zero else f"{power:.0f}"
    heat = f"--heat: {min(60, 20 + 3 * power):.0f}%" if wrong else ""
    tooltip = f"{what}: {fraction:.2g} times what rounding allows"
    tooltip = f"{what}: rounding may exceed it" if hidden else tooltip
    classes = f"{kind} gap" if gap else kind
    return Markup('<td class="{}" style="{}" title="{}">{}</td>').format(
        classes, heat, tooltip, sign
    )
