"""The mistakes that a network's reverse pass may have, derived from its operations; their names.

names = name_mistakes(asked, Catalogue(network))   which mistakes, and the lines of the network

contributions, other_gradients    one contribution altered
paths, sums_and_states            several; sums over time, the error of a state
answers, altered_forward          finished gradients; an altered forward pass
derived                           all of these
words                             a mistake in words
naming, sets, probe               find those that give a candidate's answers
"""

from bptt_check.catalogue.derived import Catalogue
from bptt_check.catalogue.naming import Asked, Explanation, name_mistakes
from bptt_check.catalogue.probe import noise_floor
from bptt_check.catalogue.words import sentence

__all__ = ["Asked", "Catalogue", "Explanation", "name_mistakes", "noise_floor", "sentence"]
