"""What a reader that looks often has read before: a row is turned into a record once, as long as it stays as it is."""

import sqlite3
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

T = TypeVar("T")


class Memory:
    """The records of each list, beside the rows that they were read from."""

    def __init__(self) -> None:
        """Nothing was read yet."""
        self._kept: dict[str, tuple[list[tuple[Any, ...]], list[Any]]] = {}

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
