"""One way to open a SQLite file: WAL, foreign keys, a busy timeout, and numbered migrations."""

import os
import sqlite3
from collections.abc import Callable, Generator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from shared.errors import InputError
from shared.files import sync

BUSY_SECONDS = 30.0
COPY_PAGES = 4096
"""How many pages of a database are copied before its writers get a turn."""


def connect(
    path: Path | str, migrations: Sequence[str], *, synchronous: str = "NORMAL", create: bool = True
) -> sqlite3.Connection:
    """Open `path` and bring its schema up to date; `migrations[n]` leads from version n to n + 1.

    `synchronous="FULL"` makes each commit durable against power loss, not only against a crash. Without `create` the
    file must be there; raise `InputError` where it is not.
    """
    connection = _open(path) if create else _open_there(Path(path))
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


def connect_read_only(path: Path, migrations: Sequence[str]) -> sqlite3.Connection:
    """Open the file at `path` so that nothing can be written to it, not even by mistake or without permission to.

    Raise `InputError` where it is missing, cannot be read, or has another schema than `migrations` lead to.
    """
    try:
        connection = _open_read_only(path)
    except sqlite3.Error as error:
        raise InputError(f"database {path} cannot be read: {error}") from None
    connection.row_factory = sqlite3.Row
    if (found := version_of(connection)) != len(migrations):
        connection.close()
        does = "upgrade Covey" if found > len(migrations) else "a command that may write brings it up to date"
        raise InputError(f"database {path} has schema {found}, and this Covey reads {len(migrations)}: {does}")
    return connection


def _open_read_only(path: Path) -> sqlite3.Connection:
    """The file itself; a copy of it in memory where nobody has it open and the log that SQLite wants cannot be made."""
    where = path.absolute().as_uri()
    connection = sqlite3.connect(f"{where}?mode=ro", uri=True, timeout=BUSY_SECONDS, isolation_level=None,
                                 check_same_thread=False)  # fmt: skip
    try:
        connection.execute("PRAGMA query_only = ON")
        version_of(connection)
    except sqlite3.OperationalError:
        connection.close()
        if not path.is_file() or path.with_name(f"{path.name}-wal").exists():
            raise
        connection = _in_memory(f"{where}?mode=ro&immutable=1")
    return connection


def _in_memory(uri: str) -> sqlite3.Connection:
    with closing(sqlite3.connect(uri, uri=True)) as file:
        connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        file.backup(connection)
    connection.execute("PRAGMA query_only = ON")
    return connection


def copy_whole(source: Path, target: Path, *, progress: Callable[[int, int], None] | None = None) -> None:
    """Copy a database that others may be writing to, as it is at one moment; the copy is whole or absent, and 0600.

    `progress` is told how many pages are left, of how many.
    """
    draft = target.with_name(f".{target.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    os.close(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))

    def told(_status: int, left: int, of: int) -> None:
        if progress is not None:
            progress(left, of)

    try:
        # Not `mode=ro`: a connection that may not write leaves SQLite's log behind when it is the last to close.
        where = source.absolute().as_uri() + "?mode=rw"
        with closing(sqlite3.connect(where, uri=True)) as file, closing(sqlite3.connect(draft)) as copy:
            # Held open, this reader sees one moment; else every write by others would begin the copy anew.
            file.execute("BEGIN")
            version_of(file)
            file.backup(copy, pages=COPY_PAGES, progress=told)
        sync(draft)
        draft.replace(target)
        sync(target.parent)
    except sqlite3.DatabaseError as error:
        error.add_note(f"{source}, copied to {target.parent}")  # SQLite names no file
        raise
    finally:
        draft.unlink(missing_ok=True)


def _open(path: Path | str) -> sqlite3.Connection:
    try:
        return sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    except sqlite3.Error as error:
        raise InputError(f"database {path} cannot be opened: {error}") from None


def _open_there(path: Path) -> sqlite3.Connection:
    """The file itself, and never a new one: an empty database in place of a lost one would hide the loss."""
    try:
        where = path.absolute().as_uri() + "?mode=rw"
        return sqlite3.connect(where, uri=True, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    except sqlite3.Error as error:
        missing = "it is not there; put it back, or restore a backup" if not path.exists() else error
        raise InputError(f"database {path} cannot be opened: {missing}") from None


def _migrate(connection: sqlite3.Connection, migrations: Sequence[str]) -> None:
    if version_of(connection) > len(migrations):
        raise InputError(f"it was written by a newer Covey (schema {version_of(connection)}); upgrade Covey")
    if version_of(connection) < len(migrations):
        with transaction(connection):  # one for all of them: nobody ever sees a schema in between
            for found in range(version_of(connection), len(migrations)):
                _apply(connection, migrations[found], found + 1)


def _apply(connection: sqlite3.Connection, script: str, version: int) -> None:
    """Run a script statement by statement, because `executescript` would commit the transaction."""
    for statement in _statements(script):
        connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {version}")


def _statements(script: str) -> Generator[str]:
    """The statements of a script; a trigger is one, with those inside it."""
    begun = ""
    for part in script.split(";"):
        begun += f"{part};"
        if sqlite3.complete_statement(begun):
            yield begun
            begun = ""


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
