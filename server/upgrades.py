"""Upgrading Covey: before its store is brought up to date, the file as it was is copied aside, for the way back."""

import secrets
import sqlite3
from contextlib import closing
from pathlib import Path

from server.schema import MIGRATIONS
from shared.database import copy_whole, version_of
from shared.errors import InputError
from shared.files import sync
from shared.lock import holder, is_held_here

KEPT = 2
"""Copies that are kept; the older ones go when a new one is made."""


def keep_before_migrating(database: Path) -> Path | None:
    """Copy a store of an older schema to `covey.db.before-N`, N being the schema that it gets; None if it needs none.

    Raise `InputError` while a coordinator, which knows the older schema alone, works on the file.
    """
    found = schema_of(database) if database.is_file() else 0
    if not 0 < found < len(MIGRATIONS):
        return None
    lock = database.with_name("coordinator.lock")
    if (running := holder(lock)) is not None and not is_held_here(lock):
        raise InputError(
            f"an older Covey's coordinator (process {running}) works on {database}; stop it, then its store can be "
            "brought up to date"
        )
    copy = database.with_name(f"{database.name}.before-{len(MIGRATIONS)}")
    draft = database.with_name(f".{copy.name}.{secrets.token_hex(8)}")
    try:
        copy_whole(database, draft)
        if schema_of(draft, at_rest=True) == len(MIGRATIONS):
            return None  # another process brought the store up to date meanwhile, and made its copy before
        draft.replace(copy)
        sync(copy.parent)
    finally:
        draft.unlink(missing_ok=True)
    for old in copies(database)[:-KEPT]:
        old.unlink(missing_ok=True)
    return copy


def copies(database: Path) -> list[Path]:
    """The copies that were made before upgrades, by the schema they gave way to."""
    found = [file for file in database.parent.glob(f"{database.name}.before-*") if _number(file) > 0]
    return sorted(found, key=_number)


def schema_of(database: Path, *, at_rest: bool = False) -> int:
    """The schema's number of a file, without opening it for writing; 0 where it is no store yet, or cannot be read.

    A file `at_rest`, that nobody else knows of, is read without SQLite's files beside it.
    """
    how = "mode=ro&immutable=1" if at_rest else "mode=ro"
    try:
        with closing(sqlite3.connect(f"{database.absolute().as_uri()}?{how}", uri=True)) as connection:
            return version_of(connection)
    except sqlite3.Error:
        return 0


def _number(copy: Path) -> int:
    number = copy.name.rpartition("-")[2]
    return int(number) if number.isascii() and number.isdigit() else 0
