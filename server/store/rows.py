"""The open file, and the few verbs that every part of the store is written in."""

import hashlib
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

from server.schema import MIGRATIONS
from server.store.memory import Memory
from server.upgrades import keep_before_migrating
from shared.database import connect, connect_read_only
from shared.errors import InputError

T = TypeVar("T")


class Rows:
    """An open store; each part of it adds its own reads and writes."""

    def __init__(self, path: Path | str, *, read_only: bool = False, create: bool = True) -> None:
        """Open or create the file at `path` (`:memory:` in tests).

        With `read_only`, or without `create`, it must be there: raise `InputError` where it is not. With `read_only` it
        is not written to.

        A file of an older schema is copied aside before it is brought up to date.
        """
        if read_only:
            self._db = connect_read_only(Path(path), MIGRATIONS)
        else:
            keep_before_migrating(Path(path))
            self._db = connect(path, MIGRATIONS, create=create)
        self._memory: Memory | None = None
        self._path = str(path)

    def close(self) -> None:
        """Release the file."""
        self._db.close()

    def remember(self) -> None:
        """Read each row of a list once, as long as it stays as it is: for those who look often."""
        self._memory = Memory()

    def changes(self) -> int:
        """Return a number that moves whenever another connection commits; cheap enough to ask often."""
        return int(self._db.execute("PRAGMA data_version").fetchone()[0])

    def stamp(self) -> tuple[int, int]:
        """Two numbers that move together with anything written, by another connection or by this one."""
        return self.changes(), self._db.total_changes

    def _run(self, sql: str, values: tuple[object, ...]) -> sqlite3.Cursor:
        """Execute one statement; a number that no row can hold is refused, not raised at a person."""
        try:
            return self._db.execute(sql, values)
        except OverflowError:
            raise InputError("a number is too large: the store counts to 9223372036854775807") from None
        except sqlite3.DatabaseError as error:
            error.add_note(self._path)  # SQLite names no file
            raise

    def _all(self, sql: str, *values: object) -> list[sqlite3.Row]:
        return self._run(sql, values).fetchall()

    def _records(self, of: str, rows: Sequence[sqlite3.Row], read: Callable[[sqlite3.Row], T]) -> list[T]:
        """Rows as records; `of` names the list for a store that remembers."""
        return self._memory.records(of, rows, read) if self._memory else [read(row) for row in rows]

    def _moved(
        self, of: str, sql: str, key: Sequence[str], read: Callable[[sqlite3.Row], T], *values: object
    ) -> list[T]:
        """Rows that are never taken away, in the order of their `key`; of a list that is remembered only those read that moved.

        The first place in `sql` is for the number after which a row moved.
        """
        if self._memory is None:
            return [read(row) for row in self._all(f"{sql} ORDER BY {', '.join(key)}", -1, *values)]
        return self._memory.moved(of, self._all(sql, self._memory.last_moved(of), *values), key, read)

    def _one(self, sql: str, *values: object) -> sqlite3.Row | None:
        return cast("sqlite3.Row | None", self._run(sql, values).fetchone())

    def _do(self, sql: str, *values: object) -> int:
        return self._run(sql, values).rowcount

    def _insert(self, sql: str, *values: object) -> int:
        """Insert one row and return its number."""
        return int(self._run(sql, values).lastrowid or 0)

    def _keep(self, data: bytes) -> str:
        """Keep bytes under their own SHA-256 and return it."""
        digest = hashlib.sha256(data).hexdigest()
        self._do(
            "INSERT INTO blobs (sha256, data) VALUES (?, ?) "
            "ON CONFLICT (sha256) DO UPDATE SET data = excluded.data WHERE length(blobs.data) = 0",  # collected before
            digest, data,
        )  # fmt: skip
        return digest


def fields(row: sqlite3.Row) -> dict[str, Any]:
    """Turn a row into keyword arguments."""
    return {key: row[key] for key in row.keys()}  # noqa: SIM118 - a Row iterates over values, not keys
