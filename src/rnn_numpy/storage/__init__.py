"""Atomic files: complete or unchanged after a crash; errors name the file and the reason."""
