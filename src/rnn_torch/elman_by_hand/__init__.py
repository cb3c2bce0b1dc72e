"""The judge's subject for the network of docs/bptt.md: bound, problems and catalogue by hand.

`any_network` derives the same by machine for every network; the two check each other.
"""
