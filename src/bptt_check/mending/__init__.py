"""Mend a wrong backward pass: find the edits of its source with which it gives right gradients.

`search` finds edits that together give all gradients, as naming finds mistakes; `lines` asks the
whole check of the pass with them, and says which lines they change.
"""
