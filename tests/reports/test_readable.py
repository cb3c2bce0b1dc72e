"""The report of `check` in Python: one line, the whole text, and the page in a notebook."""

from html import unescape

from bptt_check.reports.text import as_text
from bptt_check.testing import check
from rnn_numpy.elman_network.textbook import Array, textbook


def not_transposed(x: Array, y: Array, U: Array, W: Array, V: Array) -> tuple[Array, ...]:
    dU, dW, dV = textbook(x, y, U, W.T.copy(), V)
    return dU, dW, dV


def test_a_report_shows_itself() -> None:
    for backward, word in ((textbook, "RIGHT"), (not_transposed, "WRONG")):
        report = check(backward)
        assert repr(report).startswith(f"{word}: {backward.__name__} ")
        assert "\n" not in repr(report)
        assert str(report) == as_text(report, backward.__name__)
        frame = report._repr_html_()
        assert frame.startswith('<iframe srcdoc="&lt;!doctype html&gt;')
        assert frame.endswith("</iframe>")
        page = unescape(frame.partition('srcdoc="')[2].partition('" width=')[0])
        assert '"' not in frame.partition('srcdoc="')[2].partition('" width=')[0]
        assert '<base href="about:srcdoc">' in page  # else links leave the page
        assert f"<b>{word}</b>" in page or f">{word}" in page
