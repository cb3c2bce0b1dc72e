"""The wrong passes of docs/public-code.md."""
