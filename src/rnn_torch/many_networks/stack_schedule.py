"""Schedule a sweep's batches: form them, share them among processes, train, write checkpoints."""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from itertools import chain, groupby, islice
from pathlib import Path

import numpy as np
import torch

from rnn_numpy.elman_network.checks import check_integer
from rnn_numpy.storage.checkpoint_folder import (
    CheckpointError,
    Folder,
    generator_of,
    generator_parts,
    pack,
    understanding,
    unpack,
)
from rnn_numpy.training.many_networks import Keep, Stopped, Trained, counts_until
from rnn_numpy.training.processes import Processes
from rnn_numpy.training.recipe import Recipe
from rnn_torch.many_networks.grid import Grid, size
from rnn_torch.many_networks.stack import Batch, begin, check_alike, results, train_batch

FORMAT = "rnn-bptt-reference batch 1"
Recipes = tuple[Recipe, ...]


def formed(recipes: Iterable[Recipe], at_once: int) -> Iterator[Recipes]:
    """Batches of at most `at_once` networks of one size, in order.

    Args:
        recipes: grouped by size, as `Grid.by_size`.
    """
    for _, same_size in groupby(recipes, key=size):
        while batch := tuple(islice(same_size, at_once)):
            yield batch


def shared_out(
    recipes: Grid,
    finished: set[Recipe],
    at_once: int,
    keep: Keep | None,
    processes: Processes,
) -> Iterator[Recipes]:
    """The batches that this process trains: its share of the resumed ones, then of the new ones.

    A batch with checkpoints is resumed unchanged, by a process that can read them, even if some of
    its networks are finished. If all are, its checkpoints are removed. All processes call this.

    Args:
        recipes: the networks of the sweep.
        finished: those that have a result.
        at_once: most networks in a new batch.
        keep: the folder of the checkpoints; None if there are none.
    """
    with processes.failing_together():
        resumable = _resumable(keep.path) if keep else []
    resumable_by_rank = processes.gather(resumable)
    mine: list[Recipes] = []
    taken: set[Recipe] = set()
    for number, batch in enumerate(dict.fromkeys(chain.from_iterable(resumable_by_rank))):
        readers = [rank for rank, batches in enumerate(resumable_by_rank) if batch in batches]
        is_mine = readers[number % len(readers)] == processes.rank
        if any(recipe in recipes for recipe in set(batch) - finished - taken):
            taken.update(batch)
            if is_mine:
                mine.append(batch)
        elif keep and is_mine and finished.issuperset(batch):
            Folder(folder_of(keep.path, batch)).remove()
    excluded = finished | taken
    rest = (recipe for recipe in recipes.by_size() if recipe not in excluded)
    return chain(mine, formed(islice(rest, processes.rank, None, processes.world), at_once))


def train_batches(
    batches: Iterable[Recipes],
    count_every: int,
    device: str,
    *,
    keep: Keep | None = None,
    stop: Callable[[], bool] = lambda: False,
    say: Callable[[str], object] = lambda line: None,
    on_progress: Callable[[float], object] = lambda networks: None,
    on_resumed: Callable[[float], object] = lambda networks: None,
) -> Iterator[Trained]:
    """Train the batches in order; yields the results of each batch when its training ends.

    Args:
        count_every: as in `train_batch`.
        device: the torch device.
        keep, say: as in `rnn_numpy.training.many_networks.train`.
        stop: called between steps; True ends the training, after a checkpoint if there is `keep`.
        on_progress: called with the number of networks trained since the last call, fractional: a
            tenth of the steps of ten networks is one network.
        on_resumed: called with the same number, of the steps before a checkpoint.

    Raises:
        CheckpointError, WeightsError: a checkpoint cannot be used or written.
    """
    # A batch resumes only with the same counts, on the same kind of device.
    origin = {"count_every": count_every, "device": torch.device(device).type}
    with suppress(Stopped):
        for recipes in batches:
            folder = keep and Folder(folder_of(keep.path, recipes))
            found = folder and folder.newest(partial(load_batch, device=device), say)
            if folder and found:
                folder.refuse_another(found[1], origin)
            batch = found[0] if found else begin(recipes, device)
            networks_a_step = len(recipes) / max(1, recipes[0].iterations)
            on_resumed(batch.steps * networks_a_step)
            for steps in train_batch(
                batch,
                count_every,
                stop=stop,
                save_every=keep and keep.every,
                on_save=partial(_save, folder, origin),
            ):
                on_progress(steps * networks_a_step)
            yield from results(batch, count_every)
            if folder:
                folder.remove()


def folder_of(path: Path, batch: Recipes) -> Path:
    """The folder of this batch's checkpoints."""
    return path / f"batch-{hashlib.sha256(repr(batch).encode()).hexdigest()[:16]}"


def load_batch(file: Path, device: torch.device | str) -> tuple[Batch, dict[str, object]]:
    """Read a batch's checkpoint, and its `count_every` and type of device.

    Raises:
        CheckpointError: the file cannot be read, is damaged, or is not a batch's checkpoint.
    """
    with understanding(file):
        arrays, state = unpack(FORMAT, ["U", "V", "W", "keys", "counts"], file)
        recipes = tuple(Recipe(**recipe) for recipe in state["recipes"])
        check_alike(recipes)
        steps, origin = state["steps"], dict(state["about"])
        check_integer("steps", steps, 0, recipes[0].iterations)
        check_integer("count_every", origin["count_every"], 1, None)
        counted = counts_until(steps, recipes[0], origin["count_every"])
        networks, hidden, dtype = len(recipes), recipes[0].hidden, recipes[0].dtype
        for name, shape, kind in (
            ("U", (networks, 2, hidden), dtype),
            ("W", (networks, hidden, hidden), dtype),
            ("V", (networks, hidden, 1), dtype),
            ("counts", (counted, networks), "int64"),
        ):
            if (arrays[name].shape, arrays[name].dtype) != (shape, np.dtype(kind)):
                raise CheckpointError(f"{file} is damaged: {name} must be {kind} {shape}")
        keys = zip(state["generators"], arrays["keys"], strict=True)
        generators = [generator_of(parts, key) for parts, key in keys]
        if len(generators) != networks:
            raise ValueError(f"{len(generators)} generators for {networks} networks")
        weights = [torch.tensor(arrays[name], device=device) for name in "UWV"]
        return Batch(recipes, weights, generators, steps, [*arrays["counts"]]), origin


def _save(folder: Folder | None, origin: object, batch: Batch) -> None:
    """Write a checkpoint of the batch; do nothing without a folder."""
    if folder is None:
        return
    parts = [generator_parts(rng.get_state(legacy=False)) for rng in batch.generators]
    U, W, V = (weight.numpy(force=True) for weight in batch.weights)
    counts = np.array(batch.counts, np.int64).reshape(-1, len(batch.recipes))
    tensors = {"U": U, "W": W, "V": V, "keys": np.stack([key for _, key in parts])}
    state = {
        "recipes": [asdict(recipe) for recipe in batch.recipes],
        "steps": batch.steps,
        "generators": [state for state, _ in parts],
        "about": origin,
    }
    folder.write(batch.steps, pack(FORMAT, {**tensors, "counts": counts}, state))


def _resumable(path: Path) -> list[Recipes]:
    """The batches that have an undamaged checkpoint below this folder."""
    found = []
    for folder in sorted(path.glob("batch-*")):
        for file in sorted(folder.glob("step-*.safetensors"), reverse=True):
            try:
                found.append(tuple(load_batch(file, "cpu")[0].recipes))
            except CheckpointError:
                continue
            break
    return found
