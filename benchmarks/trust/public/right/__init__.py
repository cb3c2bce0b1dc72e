"""The right passes of docs/public-code.md."""
