"""The mistakes that a network's reverse pass may have, derived from its operations; their names.

for mistake in Catalogue(network).mistakes: print(sentence(mistake))

contributions, other_gradients    one contribution altered
paths, sums_and_states            several; sums over time, the error of a state
answers, altered_forward          finished gradients; an altered forward pass
derived                           all of these
words                             a mistake in words
"""

from bptt_check.catalogue.derived import Catalogue
from bptt_check.catalogue.words import sentence

__all__ = ["Catalogue", "sentence"]
