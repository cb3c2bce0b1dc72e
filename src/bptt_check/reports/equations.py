"""The equations of docs/bptt.md for a page, which has to stand on its own, and links to them."""

import re

from markupsafe import Markup, escape

from bptt_check.candidate.escaping import shown

EQUATIONS = {
    1: "z_t = x_t U + h_{t-1} W",
    2: "h_t = &sigma;(z_t)",
    3: "o_t = &sigma;(h_t V)",
    4: "E = &frac12; &sum;_t (o_t &minus; y_t)^2",
    6: "&epsilon;_t = &part;E/&part;(h_t V) = (o_t &minus; y_t) o_t (1 &minus; o_t)",
    7: "&part;E/&part;h_t = &epsilon;_t V^T + &delta;_{t+1} W^T",
    8: "&delta;_t = &part;E/&part;z_t = &part;E/&part;h_t &middot; h_t (1 &minus; h_t)",
    9: "dU = &part;E/&part;U = &sum;_t x_t^T &delta;_t",
    10: "dW = &part;E/&part;W = &sum;_t h_{t-1}^T &delta;_t",
    11: "dV = &part;E/&part;V = &sum;_t h_t^T &epsilon;_t",
}
_NUMBER = re.compile(r"\((\d+)\)")


def cited(text: str) -> set[int]:
    """The equations that a text of ours mentions."""
    return EQUATIONS.keys() & {int(number) for number in _NUMBER.findall(text)}


def linked(text: str) -> Markup:
    """A text of ours, with a link at each equation that it mentions."""

    def link(found: re.Match[str]) -> str:
        number = int(found[1])
        return f'<a href="#eq-{number}">({number})</a>' if number in EQUATIONS else found[0]

    return Markup(_NUMBER.sub(link, str(escape(shown(text)))))


def as_markup(equation: str) -> Markup:
    """An equation with its indices below and its exponents above the line."""
    text = re.sub(r"_\{(.*?)\}|_(\w)", r"<sub>\1\2</sub>", equation)
    return Markup(re.sub(r"\^(\w)", r"<sup>\1</sup>", text))
