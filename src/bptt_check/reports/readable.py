"""A report that a Python session shows: as its verdict, on the screen, or as the page."""

from html import escape

from bptt_check.judge.report import Report
from bptt_check.reports.text import as_text, headline


class ReadableReport(Report):
    """A report that shows itself: `repr` the verdict, `print` the screen, a notebook the page."""

    def __repr__(self) -> str:
        return headline(self, self.name)

    def __str__(self) -> str:
        return as_text(self, self.name)

    def _repr_html_(self) -> str:
        """The page in a frame of its own, since its style must not reach the notebook's."""
        from bptt_check.reports.page import as_html  # brings jinja2; few ask for it

        # Without a base, a link within the page would load the notebook into the frame.
        base = '<base href="about:srcdoc">'
        page = escape(as_html([(self.name, self)], self.dtype).replace("<meta", f"{base}<meta", 1))
        height = 260 if self.right else 640  # until it is loaded, or where no script may run
        fits = "this.height = this.contentDocument.documentElement.scrollHeight + 8"
        return (
            f'<iframe srcdoc="{page}" width="100%" height="{height}" frameborder="0" '
            f'onload="{fits}"></iframe>'
        )
