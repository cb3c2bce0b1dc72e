"""A subject that is asked for one backward pass after another: it poses the same problems."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import count
from typing import Any, overload


class Posed(Sequence[Any]):
    """Problems that are made when they are first asked for, in turn."""

    def __init__(self, made: Iterable[Any]) -> None:
        self._made, self._found = iter(made), list[Any]()

    def make_next(self) -> bool:
        """Make one more; whether there is one."""
        for problem in self._made:
            self._found.append(problem)
            return True
        return False

    def __iter__(self) -> Iterator[Any]:
        for number in count():
            if number == len(self._found) and not self.make_next():
                return
            yield self._found[number]

    def __len__(self) -> int:
        while self.make_next():
            pass
        return len(self._found)

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> list[Any]: ...
    def __getitem__(self, index: int | slice) -> Any:
        return self._found[index] if len(self) else []


class PosedOnce(ABC):
    """The part of a `Subject` that makes its own problems, and what is right at them, only once."""

    def __init__(self) -> None:
        self._posed: dict[tuple[str, ...], Posed] = {}
        self._latest = Posed(())
        self._own: dict[int, tuple[Any, Any]] = {}  # by identity: a problem, what is right there

    @abstractmethod
    def _problems(self, dtype: str, seed: int) -> Iterable[Any]:
        """As `Subject.problems`, made anew."""

    @abstractmethod
    def _in_turn(self, dtype: str) -> Iterator[tuple[Any, ...]]:
        """As `Subject.in_turn`, made anew."""

    @abstractmethod
    def _reference(self, problem: Any) -> Any:
        """As `Subject.reference`, made anew."""

    def problems(self, dtype: str, seed: int) -> Sequence[Any]:
        """As `Subject`."""
        key = dtype, str(seed)
        if key not in self._posed:
            self._posed[key] = Posed(self._owned(self._problems(dtype, seed)))
        self._latest = self._posed[key]
        return self._latest

    def in_turn(self, dtype: str) -> Iterator[tuple[Any, ...]]:
        """As `Subject`."""
        if (dtype,) not in self._posed:
            several = list(self._in_turn(dtype))
            list(self._owned(problem for *_, problem in several))
            self._posed[dtype,] = Posed(several)
        return iter(self._posed[dtype,])

    def reference(self, problem: Any) -> Any:
        """As `Subject`; kept for its own problems, not for those of others."""
        return self.keep(problem) if id(problem) in self._own else self._reference(problem)

    def keep(self, problem: Any) -> Any:
        """As `reference`; the problem becomes one of its own."""
        _, right = self._own.get(id(problem), (problem, None))
        if right is None:
            right = self._reference(problem)
        self._own[id(problem)] = problem, right  # keeps the problem, so that no id is used again
        return right

    def prepare(self, problem: Any) -> None:
        """As `Subject`; the next problem is made, too."""
        if id(problem) in self._own:
            with suppress(ValueError, NotImplementedError):  # `reference` raises it again
                self.reference(problem)
                self._latest.make_next()

    def _owned(self, problems: Iterable[Any]) -> Iterator[Any]:
        for problem in problems:
            self._own.setdefault(id(problem), (problem, None))
            yield problem
