"""A subject that is asked for one backward pass after another: it poses the same problems."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any


class PosedOnce(ABC):
    """The part of a `Subject` that makes its own problems, and what is right at them, only once."""

    def __init__(self) -> None:
        self._posed: dict[tuple[str, ...], list[Any]] = {}
        self._own: dict[int, Any] = {}  # by a problem's identity: what is right, or None

    @abstractmethod
    def _problems(self, dtype: str, seed: int) -> list[Any]:
        """As `Subject.problems`, made anew."""

    @abstractmethod
    def _in_turn(self, dtype: str) -> Iterator[tuple[Any, ...]]:
        """As `Subject.in_turn`, made anew."""

    @abstractmethod
    def _reference(self, problem: Any) -> Any:
        """As `Subject.reference`, made anew."""

    def problems(self, dtype: str, seed: int) -> Sequence[Any]:
        """As `Subject`."""
        return self._once((dtype, str(seed)), lambda: self._problems(dtype, seed), lambda p: p)

    def in_turn(self, dtype: str) -> Iterator[tuple[Any, ...]]:
        """As `Subject`."""
        return iter(
            self._once((dtype,), lambda: list(self._in_turn(dtype)), lambda several: several[-1])
        )

    def reference(self, problem: Any) -> Any:
        """As `Subject`; kept for its own problems, not for those of others."""
        if id(problem) not in self._own:
            return self._reference(problem)
        if self._own[id(problem)] is None:
            self._own[id(problem)] = self._reference(problem)
        return self._own[id(problem)]

    def prepare(self, problem: Any) -> None:
        """As `Subject`."""
        if id(problem) in self._own:
            with suppress(ValueError, NotImplementedError):  # `reference` raises it again
                self.reference(problem)

    def _once(
        self,
        key: tuple[str, ...],
        make: Callable[[], list[Any]],
        judged: Callable[[Any], Any],
    ) -> list[Any]:
        if key not in self._posed:
            self._posed[key] = make()
            self._own |= {id(judged(posed)): None for posed in self._posed[key]}
        return self._posed[key]
