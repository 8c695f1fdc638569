"""A row's fields, each worked out when it is asked for: a search through thousands of rows asks for one or two of twenty."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from server.tui.query import Value

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Fields(Mapping[str, Value], Generic[T]):
    """What `item` says at the moment `now`, by the names of what tells it."""

    tells: Mapping[str, Callable[[T, float], Value]]
    item: T
    now: float

    def __getitem__(self, name: str) -> Value:
        """One field."""
        return self.tells[name](self.item, self.now)

    def __iter__(self) -> Iterator[str]:
        """The fields' names."""
        return iter(self.tells)

    def __len__(self) -> int:
        """How many there are."""
        return len(self.tells)
