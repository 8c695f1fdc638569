"""The open file, and the few verbs that every part of the store is written in."""

import hashlib
import sqlite3
from pathlib import Path
from typing import Any, cast

from server.schema import MIGRATIONS
from shared.database import connect
from shared.errors import InputError


class Rows:
    """An open store; each part of it adds its own reads and writes."""

    def __init__(self, path: Path | str) -> None:
        """Open or create the file at `path` (`:memory:` in tests)."""
        self._db = connect(path, MIGRATIONS)

    def close(self) -> None:
        """Release the file."""
        self._db.close()

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

    def _all(self, sql: str, *values: object) -> list[sqlite3.Row]:
        return self._run(sql, values).fetchall()

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
        self._do("INSERT OR IGNORE INTO blobs (sha256, data) VALUES (?, ?)", digest, data)
        return digest


def fields(row: sqlite3.Row) -> dict[str, Any]:
    """Turn a row into keyword arguments."""
    return {key: row[key] for key in row.keys()}  # noqa: SIM118 - a Row iterates over values, not keys
