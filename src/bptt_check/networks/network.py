"""Declare a recurrent network: a torch function that yields the loss of each step.

    @network(Wxh="hidden vocab", Whh="hidden hidden", Why="vocab hidden", hprev="hidden 1",
             inputs=tokens("time", below="vocab"), targets=tokens("time", below="vocab"))
    def char_rnn(Wxh, Whh, Why, inputs, targets, hprev):
        h = hprev
        for x, y in zip(inputs, targets):
            h = torch.tanh(Wxh[:, [x]] + Whh @ h)
            yield -torch.log_softmax(Why @ h, 0)[y, 0]

Names and shapes are the author's. Two axis names are reserved: `time`, with a loss for each index,
and `batch`. The sum of the losses over the steps is differentiated.
"""

import inspect
import linecache
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from bptt_check.networks.axes import Argument, floats

Array = np.ndarray


class Evaluation(NamedTuple):
    """The loss of each step, and the gradient of their sum for each float argument."""

    losses: Array
    gradients: dict[str, Array]


@dataclass(frozen=True)
class Network:
    """A generator function in torch and its declared arguments; those in `zeros` are always 0.

    Of a layer, `outputs` has the name of what each upstream gradient is of. Its losses are the sum
    of their products, so an output is the gradient with respect to its upstream gradient.
    `conditions`: those of its problems, if not of all; `fits`: for an axis, the nearest size that
    it may have.
    """

    function: Callable[..., Any]
    arguments: dict[str, Argument]
    name: str
    zeros: tuple[str, ...] = ()
    outputs: Mapping[str, str] = field(default_factory=dict)
    conditions: tuple[Any, ...] = ()
    fits: Mapping[str, Callable[[int], int]] = field(default_factory=dict)

    @property
    def axis_names(self) -> list[str]:
        """The axis names, in the order in which they occur."""
        return list(dict.fromkeys(n for a in self.arguments.values() for n in a.names))

    @property
    def differentiated(self) -> list[str]:
        """The arguments to differentiate with respect to: those of role "float", in order."""
        return [n for n, a in self.arguments.items() if a.role == "float" and n not in self.zeros]

    def without(self, *names: str) -> "Network":
        """The same network with these arguments 0; a backward pass neither gets nor returns any."""
        return replace(self, zeros=(*self.zeros, *names))

    def tensors(self, values: Mapping[str, Array], dtype: str = "") -> dict[str, torch.Tensor]:
        """A fresh tensor of each argument; the differentiated ones require a gradient."""
        found, wanted = {}, {*self.differentiated, *self.outputs}
        for name in self.arguments:
            value = np.ascontiguousarray(values[name]).reshape(values[name].shape)
            tensor = torch.from_numpy(value.copy())
            if dtype and tensor.is_floating_point():
                tensor = tensor.to(getattr(torch, dtype))
            found[name] = tensor.requires_grad_(name in wanted)
        return found

    def losses(self, tensors: Mapping[str, torch.Tensor]) -> Iterator[torch.Tensor]:
        """The loss of each step, as the function yields it.

        Raises:
            ValueError: the function fails, yields something that is not a number, or does not
                yield one loss for each step.
        """
        time = [
            (tensors[n].shape[a.time_axis], a.axes[a.time_axis].size({"time": 0}))
            for n, a in self.arguments.items()
            if a.time_axis is not None
        ]
        steps, count = min(size - extra for size, extra in time), 0
        floating = next(t.dtype for t in tensors.values() if t.is_floating_point())
        with default_dtype(floating), self._with_context(tensors):
            for loss in self.function(**tensors):
                yield self._one_number(loss, count)
                count += 1
        if count != steps:
            raise ValueError(
                f"{self.name} must yield one loss for each of the {steps} steps, got "
                f"{count or 'none'}: yield at the end of each step, a zero tensor if the step has "
                "no loss"
            )

    def evaluate(self, values: Mapping[str, Array], dtype: str = "") -> Evaluation:
        """Losses and gradients by autograd, in `dtype` or the arrays' dtype.

        Raises:
            ValueError: as `losses`.
        """
        tensors = self.tensors(values, dtype)
        losses = torch.stack(list(self.losses(tensors)))
        gradients = self.gradients(losses, tensors)
        return Evaluation(
            losses.numpy(force=True), {n: g.numpy(force=True) for n, g in gradients.items()}
        )

    def gradients(
        self, losses: torch.Tensor, tensors: Mapping[str, torch.Tensor]
    ) -> dict[str, torch.Tensor]:
        """Autograd's gradients of the sum of these losses; zeros for arguments without effect.

        Of a layer also those with respect to the upstream gradients: its outputs.
        """
        names = [*self.differentiated, *self.outputs]
        if not losses.requires_grad:  # such as the one step of a network without a loss there
            return {n: torch.zeros_like(tensors[n]) for n in names}
        with self._with_context(tensors):
            arguments = [tensors[n] for n in names]
            found = torch.autograd.grad(losses.sum(), arguments, materialize_grads=True)
        return dict(zip(names, found, strict=True))

    def _one_number(self, loss: Any, step: int) -> torch.Tensor:
        if isinstance(loss, torch.Tensor) and loss.numel() == 1 and loss.is_floating_point():
            return loss.reshape(()) if loss.ndim else loss
        got = f"shape {tuple(loss.shape)}" if isinstance(loss, torch.Tensor) else repr(loss)[:60]
        if isinstance(loss, torch.Tensor) and loss.numel() == 1:
            got = f"the dtype {loss.dtype}"
        raise ValueError(
            f"{self.name} must yield one floating-point number for each step, its loss, got {got} "
            f"at step {step + 1}: sum over examples and outputs"
        )

    @contextmanager
    def _with_context(self, tensors: Mapping[str, torch.Tensor]) -> Iterator[None]:
        try:
            yield
        except NotImplementedError as error:  # raised by a dispatch mode that traces
            raise NotImplementedError(f"{error}{_lines_of(error, self.function)}") from error
        except Exception as error:
            file = traceback.extract_tb(error.__traceback__)[-1].filename
            if file.startswith(str(Path(__file__).parents[1] / "tracing")):
                raise  # an error of this project, not of the network
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            shapes = ", ".join(f"{n} {tuple(t.shape)}" for n, t in tensors.items())
            raise ValueError(
                f"{self.name} fails{_lines_of(error, self.function)}: {reason}. "
                f"It was called with {shapes}: check its axes"
            ) from error


def network(**marks: str | Argument) -> Callable[[Callable[..., Any]], Network]:
    """Declare a network: the axes of each argument, such as `"hidden vocab"`, or a mark.

    Marks: `inputs(axes)`, `tokens(axes, below=)`, `targets(axes)`, `upstream(axes)`,
    `floats(axes, between=)`. An axis is a name, a number, or a sum such as `4*hidden`.

    Raises:
        TypeError: the function has no yield.
        ValueError: the names are not those of the function's arguments, the axes cannot be read,
            or no argument has the axis `time`.
    """
    arguments = {n: floats(m) if isinstance(m, str) else m for n, m in marks.items()}

    def declare(function: Callable[..., Any]) -> Network:
        name = getattr(function, "__name__", "the network")
        function = inspect.unwrap(function)  # error messages cite lines of the user's function
        if not inspect.isgeneratorfunction(function):
            raise TypeError(f"{name} must yield the loss of each step: it has no yield")
        parameters = inspect.signature(function).parameters.values()
        names = [p.name for p in parameters if p.kind != p.VAR_KEYWORD]
        has_rest = len(names) < len(parameters)
        missing = [n for n in names if n not in arguments]
        unknown = [n for n in arguments if n not in names and not has_rest]
        if missing or unknown:
            lacks = f"lacks {', '.join(missing)}" if missing else ""
            extra = f"has no argument {', '.join(unknown)}" if unknown else ""
            raise ValueError(
                f"network(...) must name the arguments of {name}, which are "
                f"{', '.join(names)}; it {' and '.join(filter(None, (lacks, extra)))}"
            )
        if not any(a.time_axis is not None for a in arguments.values()):
            raise ValueError(
                f"an argument of {name} must have the axis time, for example "
                'inputs=tokens("time", below="vocab") or x="time batch n_in"'
            )
        if not any(a.role == "float" for a in arguments.values()):
            raise ValueError(f"{name} must have a float argument to differentiate with respect to")
        order = [*names, *(n for n in arguments if n not in names)]
        return Network(function, {n: arguments[n] for n in order}, name)

    return declare


def _lines_of(error: BaseException, function: Callable[..., Any]) -> str:
    """` in line 5 of FILE (TEXT)`: the innermost line in the author's file; empty if none."""
    file = inspect.unwrap(function).__code__.co_filename
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if frame.filename == file and frame.lineno:
            text = linecache.getline(file, frame.lineno).strip()
            return f" in line {frame.lineno} of {Path(file).name} ({text})"
    return ""


def precision(dtype: str) -> torch.finfo:
    """The limits of a dtype by its name."""
    return torch.finfo(getattr(torch, dtype))


def is_half(dtype: str) -> bool:
    """Whether it is a dtype of half precision: float16 or bfloat16."""
    return precision(dtype).bits == 16


def rounded(value: Array, dtype: str) -> Array:
    """The numbers in a dtype by its name; those of bfloat16 in float32: NumPy lacks it."""
    if dtype != "bfloat16":
        return np.asarray(value, dtype)
    return torch.from_numpy(np.array(value, np.float32)).bfloat16().float().numpy()


@contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    """Set the dtype of tensors made without one, such as `torch.zeros(n)`, in the function."""
    previous = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(previous)
