"""The shape annotations are executed: conftest.py's hook reaches every module in every folder."""

import importlib
import inspect
import pkgutil
import types
import typing
from collections.abc import Callable, Iterator
from typing import Any

import jaxtyping
import numpy as np
import pytest
import torch

import bptt_check
import rnn_numpy
import rnn_torch


def modules() -> Iterator[types.ModuleType]:
    for package in (bptt_check, rnn_numpy, rnn_torch):
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            yield importlib.import_module(found.name)


def is_shape(annotation: Any) -> bool:
    if isinstance(annotation, type):
        return issubclass(annotation, jaxtyping.AbstractArray)
    or_none = typing.get_origin(annotation) in (types.UnionType, typing.Union)
    return or_none and any(map(is_shape, typing.get_args(annotation)))


def annotated(module: types.ModuleType) -> Iterator[Callable[..., Any]]:
    """The module's functions and methods that have an argument with a shape."""
    own = [x for x in vars(module).values() if getattr(x, "__module__", "") == module.__name__]
    members = [x for class_ in own if inspect.isclass(class_) for x in vars(class_).values()]
    for function in filter(inspect.isfunction, own + members):
        arguments = inspect.signature(function).parameters.values()
        if any(is_shape(argument.annotation) for argument in arguments):
            yield function


def is_checked(function: Callable[..., Any]) -> bool:
    """Whether the hook refuses an argument that is not an array, before the function runs."""
    try:
        function(**{name: object() for name in inspect.signature(function).parameters})
    except jaxtyping.TypeCheckError:
        return True
    except Exception:
        return False
    return False


def test_every_function_with_a_shape_annotation_is_checked() -> None:
    found = [function for module in modules() for function in annotated(module)]
    assert {"bptt", "ElmanRNN.forward"} <= {function.__qualname__ for function in found}
    unchecked = [f"{f.__module__}.{f.__qualname__}" for f in found if not is_checked(f)]
    assert unchecked == []


def test_a_wrong_shape_is_refused_in_both_packages() -> None:
    """Without the hook the function itself refuses it, by a ValueError."""
    wrong = np.zeros((3, 2))
    params = rnn_numpy.initial_params(np.random.RandomState(0))
    with pytest.raises(jaxtyping.TypeCheckError):
        rnn_numpy.forward(params, wrong)
    with pytest.raises(jaxtyping.TypeCheckError):
        rnn_torch.ElmanRNN()(torch.from_numpy(wrong))
