"""Published backward passes: where they lie, what they mean, and what is wrong in them.

Each module declares the networks in torch, and `PASSES`; `adapters/` has a file named after the
owner of the repository where the published form cannot be called as it is. No published code is
kept here.
"""
