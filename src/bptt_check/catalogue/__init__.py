"""The mistakes that a network's reverse pass may have, derived from its operations; their names.

names = name_mistakes(asked, Catalogue(network))   which mistake, and the line of the network

contributions, derivatives, other_gradients    one contribution altered
paths, sums_and_states                         several; sums over time, the error of a state
answers, altered_forward                       finished gradients; an altered forward pass
other_values                                   wrong values in the backward pass
naming, sets, probe                            find those that give a candidate's answers
"""

from bptt_check.catalogue.naming import (
    Asked,
    Catalogue,
    Explanation,
    name_mistakes,
)
from bptt_check.catalogue.probe import noise_floor

__all__ = ["Asked", "Catalogue", "Explanation", "name_mistakes", "noise_floor"]
