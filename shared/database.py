"""One way to open a SQLite file: WAL, foreign keys, a busy timeout, and numbered migrations."""

import sqlite3
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

from shared.errors import InputError

BUSY_SECONDS = 30.0


def connect(path: Path | str, migrations: Sequence[str], *, synchronous: str = "NORMAL") -> sqlite3.Connection:
    """Open `path` and bring its schema up to date; `migrations[n]` leads from version n to n + 1.

    `synchronous="FULL"` makes each commit durable against power loss, not only against a crash.
    """
    connection = _open(path)
    try:
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA synchronous = {synchronous}")
        connection.execute("PRAGMA foreign_keys = ON")
        _migrate(connection, migrations)
    except (sqlite3.Error, InputError) as error:
        connection.close()
        raise InputError(f"database {path} cannot be opened: {error}") from None
    return connection


def _open(path: Path | str) -> sqlite3.Connection:
    try:
        return sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    except sqlite3.Error as error:
        raise InputError(f"database {path} cannot be opened: {error}") from None


def _migrate(connection: sqlite3.Connection, migrations: Sequence[str]) -> None:
    if version_of(connection) > len(migrations):
        raise InputError(f"it was written by a newer Covey (schema {version_of(connection)}); upgrade Covey")
    while version_of(connection) < len(migrations):
        with transaction(connection):
            found = version_of(connection)
            if found < len(migrations):
                _apply(connection, migrations[found], found + 1)


def _apply(connection: sqlite3.Connection, script: str, version: int) -> None:
    """Run a script statement by statement, because `executescript` would commit the transaction."""
    for statement in filter(str.strip, script.split(";")):
        connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {version}")


def version_of(connection: sqlite3.Connection) -> int:
    """The schema's number."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


@contextmanager
def transaction(connection: sqlite3.Connection) -> Generator[None]:
    """All of it or none of it; takes the write lock at once, so nothing is read that another writer changes."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # SQLite has rolled back by itself where the disk was full.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
