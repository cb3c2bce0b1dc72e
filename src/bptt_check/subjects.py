"""Make the subject that a backward pass is judged by from the values of flags.

`--network`: `lstm`, `gru,reset=before` or `FILE.py:NETWORK`; without it `elman`, the network of
docs/bptt.md.
"""

import importlib.util
import math
import sys
import traceback
from functools import lru_cache
from pathlib import Path

from bptt_check.candidate.nearest import nearest
from bptt_check.judge.any_network import AnyNetwork
from bptt_check.judge.votes import Oracle
from bptt_check.layers import as_layer
from bptt_check.networks import STOCK, Network, check_network, stock

#: Options without a value: `no-` switches one off.
_SWITCHES = ("columns", "no-biases", "peepholes", "no-batch")

#: Other backward passes of the network of docs/bptt.md, by method: they vote on it.
ORACLES: dict[str, Oracle] = {}
#: The order of `--shapes 8,1,2,16,1`, and the recipe's sizes, without a batch axis.
_ORDER = ("time", "batch", "n_in", "hidden", "n_out")
_RECIPE = {"time": 8, "n_in": 2, "hidden": 16, "n_out": 1}


def subject_for(
    network: str | Network | None = None,
    *,
    shapes: str = "any",
    window: int | None = None,
    loss: str | None = None,
    rate: float | None = None,
) -> AnyNetwork:
    """The subject that a backward pass is judged by.

    Args:
        network: a network, its name, or FILE.py:NETWORK; if left out, the one of docs/bptt.md.
        shapes: `any`, or sizes of some axes such as `hidden=16,batch=1`; for the network of
            docs/bptt.md also `recipe` or `time,batch,n_in,hidden,n_out`.
        window: BPTT truncated to this many steps back from each loss is right.
        loss: the loss of a stock network: squared, softmax or upstream.
        rate: the pass returns nothing, and subtracts this times the gradient from its inputs.

    Raises:
        ValueError: an argument is invalid; the message begins with its name.
    """
    if not (network is None or isinstance(network, str | Network)):
        raise ValueError(
            f"network must be a Network, the name of a stock one ({', '.join(STOCK)}) or "
            f"FILE.py:NETWORK, got {network!r}"
        )
    ours = network is None or (isinstance(network, str) and ":" not in network)
    return (_kept if ours else _made)(network, shapes, window, loss, rate)


def subject_of_layer(
    layer: str | Network, *, shapes: str = "any", device: str = "cpu"
) -> AnyNetwork:
    """The subject that a torch callable is judged by: a layer, called on this device.

    Args:
        layer: a layer, a network with upstream gradients, a stock network, or FILE.py:LAYER.
        shapes: `any`, or sizes of some axes such as `hidden=16,batch=1`.
        device: a device of torch.

    Raises:
        ValueError: as `subject_for`; or the network has no upstream gradients.
    """
    if isinstance(layer, str):
        layer = network_named(layer, None if ":" in layer else "upstream")
    found = subject_for(layer if layer.outputs else as_layer(layer), shapes=shapes)
    found.form = found.form._replace(device=device)
    return found


def _made(
    network: str | Network | None,
    shapes: str,
    window: int | None,
    loss: str | None,
    rate: float | None,
) -> AnyNetwork:
    if window is not None and not 0 <= window <= 512:
        raise ValueError(f"window must be from 0 to 512, got {window}")
    if rate is not None and not (rate > 0 and math.frexp(rate)[0] == 0.5):
        raise ValueError(
            "from-update must be a power of two, so that multiplying does not round, such as 1 or "
            f"0.125, got {rate:g}"
        )
    if network is None:
        return _of_the_docs(shapes, window, loss, rate)
    sizes = sizes_named(shapes)
    try:
        is_ours = isinstance(network, str) and network in STOCK
        if isinstance(network, str):
            network = network_named(network, loss)
        if not is_ours:  # the tests check ours
            check_network(network)
        return AnyNetwork(network, sizes, window, rate)
    except (ValueError, TypeError, NotImplementedError) as error:
        raise ValueError(f"network: {error}") from None


def _of_the_docs(
    shapes: str, window: int | None, loss: str | None, rate: float | None
) -> AnyNetwork:
    """The network of docs/bptt.md, of which all three gradients are asked; other passes vote."""
    network = stock("elman", loss=loss or "squared", batch=shapes != "recipe")
    if shapes == "recipe":
        sizes = _RECIPE
    else:
        numbers = shapes.split(",")
        if len(numbers) == len(_ORDER) and all(number.strip().isdigit() for number in numbers):
            shapes = ",".join(map("=".join, zip(_ORDER, numbers, strict=True)))
        sizes = sizes_named(shapes)
    try:
        found = AnyNetwork(network, sizes, window, rate)
    except ValueError as error:
        raise ValueError(f"shapes: {error}") from None
    if loss in (None, "squared"):
        found.oracles = ORACLES
        found.form = found.form._replace(required=found.form.gradients)
        found.cites_equations = True
        found.hint = "--shapes recipe (x (8, 2), y (8, 1), no batch axis, 16 hidden units), or " * (
            not sizes
        )
    return found


#: With its problems and references, for the next backward pass; a user's network may change.
_kept = lru_cache(maxsize=8)(_made)


def sizes_named(text: str) -> dict[str, int]:
    """Read `hidden=16,batch=1` as a mapping; `any` gives an empty one.

    Raises:
        ValueError: the text has another form.
    """
    if text == "any":
        return {}
    try:
        pairs = [pair.split("=") for pair in text.split(",")]
        sizes = {name.strip(): int(size) for name, size in pairs}
    except ValueError:
        sizes = {"": 0}
    if min(sizes.values()) < 1 or max(sizes.values()) > 512:
        raise ValueError(
            "shapes must be any, or sizes of axes from 1 to 512 such as hidden=16,batch=1; for "
            f"the network of docs/bptt.md also recipe or 8,1,2,16,1; got {text!r}"
        )
    return sizes


def network_named(text: str, loss: str | None = None) -> Network:
    """A stock network with its options, or the network of this name in a file.

    Args:
        text: `NAME`, `NAME,OPTION,OPTION=VALUE`, or `FILE.py:NETWORK`.
        loss: `squared`, `softmax` or `upstream`, of a stock network.

    Raises:
        ValueError: there is no such network or option, or the file raises an error.
    """
    file, _, name = text.rpartition(":")
    if not file:
        return _stock(text, loss)
    if loss is not None:
        raise ValueError("a network from a file yields its own loss: leave --loss out")
    return _of_file(file, name)


def _stock(text: str, loss: str | None) -> Network:
    name, *words = text.split(",")
    options: dict[str, str | bool] = {} if loss is None else {"loss": loss}
    for option in words:
        key, _, value = option.partition("=")
        if value:
            options[key] = value
        elif option in _SWITCHES:
            options[option.removeprefix("no-")] = not option.startswith("no-")
        else:
            raise ValueError(
                f"{name} has no option {option!r}{nearest(option, _SWITCHES) or ':'} the options "
                f"are loss=, order=, reset=, {', '.join(_SWITCHES)}"
            )
    if name not in STOCK:
        hint = nearest(name, STOCK)
        raise ValueError(f"it must be {', '.join(STOCK)} or FILE.py:NETWORK, got {name!r}{hint}")
    return stock(name, **options)  # type: ignore[arg-type]


def _of_file(file: str, name: str) -> Network:
    if not Path(file).is_file():
        raise ValueError(f"there is no file {file}")
    sys.path.insert(0, str(Path(file).resolve().parent))
    spec = importlib.util.spec_from_file_location(Path(file).stem, file)
    if spec is None or spec.loader is None:
        raise ValueError(f"it must be in a Python file, got {file}: its name must end in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        lines = [f for f in frames if Path(f.filename).resolve() == Path(file).resolve()]
        place = f" (line {lines[-1].lineno})" if lines else ""
        raise ValueError(f"running {file} raises {type(error).__name__}: {error}{place}") from error
    found = getattr(module, name, None)
    if isinstance(found, Network):
        return found
    names = [n for n, v in vars(module).items() if isinstance(v, Network)]
    if found is not None:
        raise ValueError(
            f"{name} of {file} is not a network: declare it with @bptt_check.networks.network(...)"
        )
    hint = nearest(name, names) or ";"
    raise ValueError(f"{file} has no network {name!r}{hint} it has {', '.join(names) or 'none'}")
