"""The JSON document: its table on the page, its types, its version."""

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bptt_check.judge.report import SCHEMA, Report, as_json
from bptt_check.testing import check
from rnn_numpy import textbook
from tests.passes.elman_mistakes import CATALOGUE, planted

pytestmark = [pytest.mark.unannotated, pytest.mark.few]
PAGE = (Path(__file__).parents[2] / "docs" / "report.md").read_text()
ROWS = dict(re.findall(r"^\| `(\w+)` \| (.*?) \|", PAGE, re.MULTILINE))
TYPES: dict[str, tuple[type, ...]] = {
    "text": (str,),
    "number": (int, float),
    "list": (list,),
    "texts": (list,),
    "object": (Mapping,),
    "null": (type(None),),
    "true": (bool,),
}


def reports() -> list[Report]:
    wrong = check(planted(next(m for m in CATALOGUE if m.name == "W not transposed")))
    return [check(textbook), wrong, replace(wrong, mistakes=None, where=None)]


def test_the_page_has_every_key_and_its_type() -> None:
    for report in reports():
        document = json.loads(json.dumps(report.as_dict(), allow_nan=False))
        assert document.keys() == ROWS.keys() - {"candidate"}
        for key, value in document.items():
            words = re.findall(r"^\w+|(?<= or )null", ROWS[key])
            assert any(isinstance(value, TYPES[word]) for word in words), key
            if ROWS[key] == "texts":
                assert all(isinstance(each, str) for each in value)
    assert f"| `schema` | number | {SCHEMA} |" in PAGE


def test_what_json_lacks_is_replaced() -> None:
    document = as_json({"a": np.array([np.inf, np.nan, 1.5]), "b": (float("-inf"), None, True)})
    largest = np.finfo(float).max
    assert document == {"a": [largest, None, 1.5], "b": [-largest, None, True]}
