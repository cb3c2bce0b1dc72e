"""The networks that the check knows, and the decorator that declares yours."""

from bptt_check.networks import *  # noqa: F403
from bptt_check.networks import __all__ as __all__
