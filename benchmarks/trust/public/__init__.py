"""Published backward passes: where they lie, what they mean, and what is wrong in them.

Each module declares the networks in torch, and `PASSES`; `adapters/` beside it has a file of the
same name where the published form cannot be called as it is. No published code is kept here.
"""
