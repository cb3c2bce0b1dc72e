"""The mistakes that a network's reverse pass may have, derived from its operations; their names.

names = name_mistakes(asked, Catalogue(network))   which mistake, and the line of the network

contributions, other_gradients    one contribution altered
paths, sums_and_states            several; sums over time, the error of a state
answers, altered_forward          finished gradients; an altered forward pass
words                             a mistake in words
naming                            find the mistake that gives a candidate's answers
"""

from bptt_check.catalogue.naming import (
    APPROXIMATE,
    Asked,
    Catalogue,
    Explanation,
    name_mistakes,
    noise_floor,
)
from bptt_check.catalogue.words import sentence

__all__ = [
    "APPROXIMATE",
    "Asked",
    "Catalogue",
    "Explanation",
    "name_mistakes",
    "noise_floor",
    "sentence",
]
