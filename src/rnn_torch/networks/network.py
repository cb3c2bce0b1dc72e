"""A recurrent network as its author means it: a torch function that yields the loss of each step.

    @network(Wxh="hidden vocab", Whh="hidden hidden", Why="vocab hidden", hprev="hidden 1",
             inputs=tokens("time", below="vocab"), targets=tokens("time", below="vocab"))
    def char_rnn(Wxh, Whh, Why, inputs, targets, hprev):
        h = hprev
        for x, y in zip(inputs, targets):
            h = torch.tanh(Wxh[:, [x]] + Whh @ h)
            yield -torch.log_softmax(Why @ h, 0)[y, 0]

Names and shapes are the author's. Two axis names mean something: `time`, which has a loss for each
index, and `batch`. The loss that is differentiated is the sum over the steps.
"""

import inspect
import linecache
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from rnn_torch.networks.axes import Argument, floats

Array = np.ndarray


class Evaluation(NamedTuple):
    """The loss of each step, and the gradient of their sum for each float argument."""

    losses: Array
    gradients: dict[str, Array]


@dataclass(frozen=True)
class Network:
    """A generator function in torch and what its arguments are; `zeros` are always 0."""

    function: Callable[..., Any]
    arguments: dict[str, Argument]
    name: str
    zeros: tuple[str, ...] = ()

    @property
    def axis_names(self) -> list[str]:
        """Every axis name, in the order in which they occur."""
        return list(dict.fromkeys(n for a in self.arguments.values() for n in a.names))

    @property
    def differentiated(self) -> list[str]:
        """The arguments a gradient is asked of: floats without a mark, in order."""
        return [n for n, a in self.arguments.items() if a.role == "float" and n not in self.zeros]

    def without(self, *names: str) -> "Network":
        """The same network with these arguments 0: no backward pass is asked for them."""
        return replace(self, zeros=(*self.zeros, *names))

    def tensors(self, values: Mapping[str, Array], dtype: str = "") -> dict[str, torch.Tensor]:
        """A fresh tensor of each argument; the differentiated ones require a gradient."""
        found = {}
        for name in self.arguments:
            value = np.ascontiguousarray(values[name]).reshape(values[name].shape)
            given = torch.from_numpy(value.copy())
            if dtype and given.is_floating_point():
                given = given.to(getattr(torch, dtype))
            found[name] = given.requires_grad_(name in self.differentiated)
        return found

    def losses(self, given: Mapping[str, torch.Tensor]) -> Iterator[torch.Tensor]:
        """The loss of each step, as the function yields it.

        Raises:
            ValueError: it fails, or yields something else, or not one loss a step; in words.
        """
        time = [
            (given[n].shape[a.time_axis], a.axes[a.time_axis].size({"time": 0}))
            for n, a in self.arguments.items()
            if a.time_axis is not None
        ]
        steps, count = min(size - more for size, more in time), 0
        floating = next(t.dtype for t in given.values() if t.is_floating_point())
        with default_dtype(floating), self._explained(given):
            for loss in self.function(**given):
                yield self._one_number(loss, count)
                count += 1
        if count != steps:
            raise ValueError(
                f"{self.name} must yield one loss for each of the {steps} steps, it yielded "
                f"{count or 'nothing'}: yield at the end of each step, a zero tensor where a step "
                "has no loss"
            )

    def evaluate(self, values: Mapping[str, Array], dtype: str = "") -> Evaluation:
        """Losses and gradients by autograd, in the arrays' dtype or the one named.

        Raises:
            ValueError: as `losses`; or the loss cannot be differentiated.
        """
        given = self.tensors(values, dtype)
        losses = torch.stack(list(self.losses(given)))
        gradients = self.gradients(losses, given)
        return Evaluation(losses.numpy(force=True), {n: g.numpy() for n, g in gradients.items()})

    def gradients(
        self, losses: torch.Tensor, given: Mapping[str, torch.Tensor]
    ) -> dict[str, torch.Tensor]:
        """Autograd's gradients of the sum of these losses; zeros where it depends on nothing."""
        if not losses.requires_grad:
            raise ValueError(
                f"the loss of {self.name} depends on no float argument: a detach, a .item() or a "
                "step through NumPy cuts it off"
            )
        wanted = [given[n] for n in self.differentiated]
        with self._explained(given):
            found = torch.autograd.grad(losses.sum(), wanted, materialize_grads=True)
        return dict(zip(self.differentiated, found, strict=True))

    def _one_number(self, loss: Any, step: int) -> torch.Tensor:
        if isinstance(loss, torch.Tensor) and loss.numel() == 1 and loss.is_floating_point():
            return loss.reshape(()) if loss.ndim else loss
        got = f"shape {tuple(loss.shape)}" if isinstance(loss, torch.Tensor) else repr(loss)[:60]
        if isinstance(loss, torch.Tensor) and loss.numel() == 1:
            got = f"the dtype {loss.dtype}"
        raise ValueError(
            f"{self.name} must yield one floating-point number a step, the loss at this step, got "
            f"{got} at step {step + 1}: sum over examples and outputs"
        )

    @contextmanager
    def _explained(self, given: Mapping[str, torch.Tensor]) -> Iterator[None]:
        try:
            yield
        except NotImplementedError as error:  # of a dispatch mode that follows the operations
            where = _lines_of(error, self.function)
            raise NotImplementedError(f"{error}{where}") from error
        except Exception as error:
            last = traceback.extract_tb(error.__traceback__)[-1].filename
            if last.startswith(str(Path(__file__).parents[1] / "tracing")):
                raise  # a fault of ours, not of the network
            raise self._failed(error, given) from error

    def _failed(self, error: Exception, given: Mapping[str, torch.Tensor]) -> ValueError:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        shapes = ", ".join(f"{n} {tuple(t.shape)}" for n, t in given.items())
        where = _lines_of(error, self.function)
        return ValueError(
            f"{self.name} fails{where}: {reason}. It was called with {shapes}: do the axes fit?"
        )


def network(**marks: str | Argument) -> Callable[[Callable[..., Any]], Network]:
    """Declare a network: for each argument its axes, as `"hidden vocab"`, or a mark.

    Marks: `tokens(axes, below=)`, `targets(axes)`, `upstream(axes)`, `floats(axes, between=)`. An
    axis is a name, a number, or a sum such as `4*hidden` or `hidden+n_in`.

    Raises:
        TypeError: the function yields nothing.
        ValueError: names that are not the function's arguments; axes that cannot be read; no
            argument with the axis `time`.
    """
    arguments = {n: floats(m) if isinstance(m, str) else m for n, m in marks.items()}

    def declare(function: Callable[..., Any]) -> Network:
        name = getattr(function, "__name__", "the network")
        function = inspect.unwrap(function)  # a line is looked for in the user's own frame
        if not inspect.isgeneratorfunction(function):
            raise TypeError(f"{name} must yield the loss of each step: it has no yield")
        parameters = inspect.signature(function).parameters.values()
        wanted = [p.name for p in parameters if p.kind != p.VAR_KEYWORD]
        rest = len(wanted) < len(parameters)
        missing = [n for n in wanted if n not in arguments]
        unknown = [n for n in arguments if n not in wanted and not rest]
        if missing or unknown:
            wrong = f"without axes: {', '.join(missing)}" if missing else ""
            more = f"no argument of it: {', '.join(unknown)}" if unknown else ""
            raise ValueError(
                f"network(...) must name the arguments of {name}, which are "
                f"{', '.join(wanted)}; {'; '.join(filter(None, (wrong, more)))}"
            )
        if not any(a.time_axis is not None for a in arguments.values()):
            raise ValueError(
                f"an argument of {name} must have the axis time, for example "
                'inputs=tokens("time", below="vocab") or x="time batch n_in"'
            )
        if not any(a.role == "float" for a in arguments.values()):
            raise ValueError(f"{name} must have a float argument to differentiate with respect to")
        order = [*wanted, *(n for n in arguments if n not in wanted)]
        return Network(function, {n: arguments[n] for n in order}, name)

    return declare


def _lines_of(error: BaseException, function: Callable[..., Any]) -> str:
    """`in line 5 of my_reference.py (h = ...)`: the last place in the author's file, or empty."""
    file = inspect.unwrap(function).__code__.co_filename
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if frame.filename == file and frame.lineno:
            text = linecache.getline(file, frame.lineno).strip()
            return f" in line {frame.lineno} of {Path(file).name} ({text})"
    return ""


@contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    """What `torch.zeros(n)` makes in the function is of the arguments' dtype."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)
