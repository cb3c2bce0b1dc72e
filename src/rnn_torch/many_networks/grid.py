"""The networks of a sweep: every combination of its settings and seeds.

A grid is iterated, counted and searched in order, without holding all recipes in memory.
"""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace

from rnn_numpy.training.recipe import Recipe


def size(recipe: Recipe) -> tuple[int, int, int]:
    """The settings shared by networks that are trained as one batch."""
    return recipe.hidden, recipe.bits, recipe.batch_size


class Grid(Collection[Recipe]):
    """Recipes: every seed for each setting, in order, without duplicates.

    Args:
        settings: recipes; their seeds are ignored.
        seeds: ranges in steps of 1.
    """

    def __init__(self, settings: Iterable[Recipe], seeds: Iterable[range]) -> None:
        self._settings = list(dict.fromkeys(replace(setting, seed=0) for setting in settings))
        self._seeds: list[range] = []
        for some in seeds:
            pieces = [some]
            for other in self._seeds:
                if other.start >= some.stop or some.start >= other.stop:
                    continue
                pieces = [part for piece in pieces for part in _without(piece, other)]
            self._seeds += pieces

    def __len__(self) -> int:
        return len(self._settings) * sum(map(len, self._seeds))

    def __iter__(self) -> Iterator[Recipe]:
        return (
            replace(setting, seed=seed)
            for setting in self._settings
            for some in self._seeds
            for seed in some
        )

    def __contains__(self, recipe: object) -> bool:
        return isinstance(recipe, Recipe) and self._place(recipe) is not None

    def in_order(self, recipes: Iterable[Recipe]) -> list[Recipe]:
        """The given recipes that are in this grid, in its order."""
        places = {recipe: self._place(recipe) for recipe in recipes}
        found = [(place, recipe) for recipe, place in places.items() if place is not None]
        return [recipe for _, recipe in sorted(found, key=lambda pair: pair[0])]

    def by_size(self) -> "Grid":
        """The same recipes, grouped by size."""
        return Grid(sorted(self._settings, key=size), self._seeds)

    def _place(self, recipe: Recipe) -> tuple[int, int, int] | None:
        """The position of a recipe in the order: setting, range and seed."""
        setting = replace(recipe, seed=0)
        for number, some in enumerate(self._seeds):
            if recipe.seed in some and setting in self._settings:
                return self._settings.index(setting), number, recipe.seed
        return None


def _without(some: range, other: range) -> list[range]:
    before = range(some.start, min(some.stop, other.start))
    after = range(max(some.start, other.stop), some.stop)
    return [part for part in (before, after) if part]
