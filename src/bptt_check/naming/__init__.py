"""Which mistakes of a catalogue give a candidate's answers.

found = name_mistakes(asked, Catalogue(network))   which mistakes, and what they explain

explanations        a mistake that gives all answers, else a set of them
sets, evidence      look for a set, block by block; what it may be said of
probe               an answer compared with what mistakes give
"""

from bptt_check.naming.explanations import Asked, Explanation, name_mistakes
from bptt_check.naming.probe import noise_floor

__all__ = ["Asked", "Explanation", "name_mistakes", "noise_floor"]
