"""Which hypothesis profile this run has: conftest.py says what each is for."""

from hypothesis import settings

NIGHTLY = settings.get_current_profile_name() == "nightly"
