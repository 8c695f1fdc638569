"""What a reader that looks often has read before: a row is turned into a record once, as long as it stays as it is."""

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

T = TypeVar("T")


@dataclass(slots=True)
class Moving:
    """A list whose rows are numbered as they move: the last number, and the records by key in their order."""

    last: int = -1
    records: dict[tuple[Any, ...], Any] = field(default_factory=dict[tuple[Any, ...], Any])


class Memory:
    """The records of each list, beside the rows that they were read from."""

    def __init__(self) -> None:
        """Nothing was read yet."""
        self._kept: dict[str, tuple[list[tuple[Any, ...]], list[Any]]] = {}
        self._moving: dict[str, Moving] = {}

    def records(self, of: str, rows: Sequence[sqlite3.Row], read: Callable[[sqlite3.Row], T]) -> list[T]:
        """The records of the list called `of`; those whose rows are as they were are the same objects as before."""
        raw = [tuple(row) for row in rows]
        before, known = self._kept.get(of, ([], []))
        if len(raw) == len(before):
            found = [
                old if new == last else read(row)
                for row, new, last, old in zip(rows, raw, before, cast("list[T]", known), strict=True)
            ]
        else:
            by_row: dict[tuple[Any, ...], T] = dict(zip(before, known, strict=True))
            found = [by_row[new] if new in by_row else read(row) for row, new in zip(rows, raw, strict=True)]
        self._kept[of] = raw, found
        return found

    def last_moved(self, of: str) -> int:
        """The number of the row that moved last in the list called `of`; -1 before the first look."""
        return self._moving[of].last if of in self._moving else -1

    def moved(
        self, of: str, rows: Sequence[sqlite3.Row], key: Sequence[str], read: Callable[[sqlite3.Row], T]
    ) -> list[T]:
        """The records of the list called `of`, by their keys, once `rows` moved."""
        known = self._moving.setdefault(of, Moving())
        found = {tuple(row[name] for name in key): read(row) for row in rows}
        joined = not found.keys() <= known.records.keys()
        known.records |= found
        if joined:
            known.records = dict(sorted(known.records.items(), key=lambda each: each[0]))
        known.last = max((int(row["moved"]) for row in rows), default=known.last)
        return cast("list[T]", list(known.records.values()))
