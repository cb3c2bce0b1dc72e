"""Proofs of networks as trained, each made once for all tests that need the same one."""

from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import pytest

from rnn_numpy import Params
from rnn_numpy.real_proof import verdict
from rnn_numpy.tasks.targets import addition
from rnn_numpy.training import until_proved

_prove_real = verdict.prove_real
_made: dict[Any, verdict.RealVerdict] = {}


def prove_real(params: Params, target: Any = addition, dtype: Any = None, **others: Any) -> Any:
    """As the function of this name; without progress for a proof that is there."""
    weights = tuple((array.dtype.name, array.shape, array.tobytes()) for array in params)
    key = weights, target.name, dtype, others.get("limit")
    if key not in _made:
        _made[key] = _prove_real(params, target, dtype, **others)
    return _made[key]


def proved_once(test: Callable[..., None]) -> Callable[..., None]:
    """Share proofs with the other tests that are marked so, in one process of pytest-xdist."""
    for module in (verdict, until_proved):
        test = patch.object(module, "prove_real", prove_real)(test)
    return pytest.mark.xdist_group("proofs")(test)
