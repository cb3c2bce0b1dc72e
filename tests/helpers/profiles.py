"""The hypothesis profile of this run; conftest.py describes the profiles."""

import pytest
from hypothesis import settings

NIGHTLY = settings.get_current_profile_name() == "nightly"

#: For the slowest of several cases of one property.
nightly = pytest.mark.skipif(not NIGHTLY, reason="only nightly: it takes seconds")
