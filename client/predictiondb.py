"""The file under the prediction log: its schema, its bound on the disk, and what happens when it is damaged or full."""

import fcntl
import logging
import os
import sqlite3
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from shared.database import connect, transaction
from shared.errors import InputError

log = logging.getLogger(__name__)

MIGRATIONS = (
    """
    CREATE TABLE served (
        id INTEGER PRIMARY KEY, name BLOB NOT NULL UNIQUE, hour INTEGER NOT NULL, sealed BLOB NOT NULL, outcome BLOB
    );
    CREATE INDEX served_by_hour ON served (hour);
    CREATE TABLE waiting (name BLOB PRIMARY KEY, hour INTEGER NOT NULL, outcome BLOB NOT NULL) WITHOUT ROWID;
    """,
)
"""In clear: the hour, and a name that says nothing without the key. All that tells of an example is sealed."""

LEFTOVER_WAL_BYTES = 4_000_000

_DAMAGE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_SUFFIXES = ("", "-wal", "-shm")
T = TypeVar("T")


class PredictionFile:
    """One SQLite file that may be damaged, full or gone without stopping predictions."""

    def __init__(self, path: Path, *, megabytes: int) -> None:
        """Open or create `path`, which never grows beyond `megabytes`; a damaged one is kept aside."""
        self._path = path
        self._megabytes = megabytes
        self._inode = 0
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"predictions cannot be kept in {path}: {error.strerror}") from None
        self._db: sqlite3.Connection | None = self._open()

    def close(self) -> None:
        """Release the file."""
        if self._db:
            self._db.close()
        self._db = None

    def do(self, act: Callable[[sqlite3.Connection], T]) -> T:
        """Act on the database; in a new one if this one turns out to be damaged. Raises `InputError`."""
        try:
            try:
                return act(self._current())
            except sqlite3.DatabaseError as error:
                if _code(error) not in _DAMAGE:
                    raise
                self.close()
                self._db = self._begin_anew()
                return act(self._db)
        except sqlite3.Error as error:
            raise InputError(f"predictions in {self._path} cannot be kept or read: {error}; {_advice(error)}") from None

    def erase(self) -> None:
        """Remove every row, here and for other processes that have the file open, and what was set aside."""
        self.forget_aside()
        try:
            _wipe(self._current())
        except sqlite3.Error:
            # A full disk or a damaged file: the file itself goes.
            self.close()
            for suffix in _SUFFIXES:
                _beside(self._path, suffix).unlink(missing_ok=True)
            self._db = self._connect()

    def forget_aside(self, *, before: float | None = None) -> None:
        """Remove the damaged file that was set aside, if it was last written before a time, or whenever."""
        for suffix in _SUFFIXES:
            one = _beside(self._aside, suffix)
            with suppress(FileNotFoundError):
                if before is None or one.stat().st_mtime < before:
                    one.unlink()

    @property
    def _aside(self) -> Path:
        return self._path.with_name(f"{self._path.name}.damaged")

    def _current(self) -> sqlite3.Connection:
        """The open database, unless another process has put a new one in its place."""
        if self._db is None or _inode(self._path) != self._inode:
            self.close()
            self._db = self._open()
        return self._db

    def _open(self) -> sqlite3.Connection:
        try:
            return self._connect()
        except InputError:
            if not _is_damaged(self._path):
                raise
        return self._begin_anew()

    def _connect(self) -> sqlite3.Connection:
        try:
            self._path.touch(mode=0o600)
        except OSError as error:
            raise InputError(f"predictions cannot be kept in {self._path}: {error.strerror}") from None
        self._inode = _inode(self._path)
        db = connect(self._path, MIGRATIONS)
        size = int(db.execute("PRAGMA page_size").fetchone()[0])
        db.execute(f"PRAGMA max_page_count = {self._megabytes * 1_000_000 // size}")
        db.execute(f"PRAGMA journal_size_limit = {LEFTOVER_WAL_BYTES}")
        db.execute("PRAGMA secure_delete = ON")
        return db

    def _begin_anew(self) -> sqlite3.Connection:
        """Set the damaged file aside, unless another process just did, and begin a new one."""
        with _alone(self._path.parent):
            if _inode(self._path) == self._inode:
                self._set_aside()
            return self._connect()

    def _set_aside(self) -> None:
        for suffix in reversed(_SUFFIXES):
            with suppress(FileNotFoundError):
                _beside(self._path, suffix).replace(_beside(self._aside, suffix))
        log.warning(
            "the predictions in %s are damaged; the file is kept as %s and a new one is begun", self._path, self._aside
        )


def _wipe(db: sqlite3.Connection) -> None:
    with transaction(db):
        db.execute("DELETE FROM served")
        db.execute("DELETE FROM waiting")
    db.execute("VACUUM")
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _inode(path: Path) -> int:
    """Which file has this name; 0 if none has."""
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return 0


def _is_damaged(path: Path) -> bool:
    try:
        with closing(sqlite3.connect(path)) as db:
            db.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.DatabaseError as error:
        return _code(error) in _DAMAGE
    return False


def _code(error: sqlite3.Error) -> int:
    """SQLite's primary result code; its extended ones keep more in the higher bytes."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _advice(error: sqlite3.Error) -> str:
    if _code(error) in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
        return "make room on the disk, or keep fewer; predictions are answered but not recorded until then"
    return "predictions are answered but not recorded until it is put right"


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


@contextmanager
def _alone(folder: Path) -> Generator[None]:
    """Only one process at a time sets a file aside."""
    handle = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
