"""Upgrading Covey copies its store aside first; putting the copy back is the way down, and every released schema can take it."""

import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest

from server import upgrades
from server.schema import MIGRATIONS
from server.store import Store
from server.upgrades import KEPT, copies, keep_before_migrating, schema_of
from shared.database import connect, version_of
from shared.errors import InputError
from shared.lock import only_one

RELEASED = sorted((Path(__file__).parents[1] / "fixtures").iterdir())
NEWEST = len(MIGRATIONS)


def tables(database: Path) -> set[str]:
    with closing(sqlite3.connect(database)) as file:
        return {row[0] for row in file.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


def rows(database: Path, table: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(database)) as file:
        return file.execute(f"SELECT * FROM {table}").fetchall()


@pytest.fixture(params=RELEASED, ids=lambda folder: folder.name)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A store that a released Covey wrote."""
    return Path(shutil.copy(request.param / "covey.db", tmp_path / "covey.db"))


def test_a_released_store_comes_up_to_the_newest_schema(database: Path, tmp_path: Path) -> None:
    Store(database).close()
    Store(tmp_path / "new.db").close()
    assert schema_of(database) == NEWEST
    assert tables(database) == tables(tmp_path / "new.db")


def test_the_file_as_it_was_is_kept_and_is_the_way_back(database: Path) -> None:
    before, old = rows(database, "rounds"), schema_of(database)
    with closing(Store(database)) as store:
        store.audit("operator", "note", "after the upgrade")
    (copy,) = copies(database)
    assert copy.name == f"covey.db.before-{NEWEST}"
    assert copy.stat().st_mode & 0o777 == 0o600
    assert (schema_of(copy), rows(copy, "rounds")) == (old, before)
    # The older Covey, with the copy in its place: what `docs/operations.md` says.
    shutil.copy(copy, database)
    connect(database, MIGRATIONS[:old]).close()
    assert rows(database, "rounds") == before
    assert "after the upgrade" not in str(rows(database, "audit"))


def test_an_older_covey_refuses_the_newer_store_until_the_copy_is_back(database: Path) -> None:
    old = schema_of(database)
    Store(database).close()
    with pytest.raises(InputError, match=rf"written by a newer Covey \(schema {NEWEST}\)"):
        connect(database, MIGRATIONS[:old])


def test_two_copies_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    database = tmp_path / "covey.db"
    connect(database, MIGRATIONS[:1]).close()
    for newest in range(2, NEWEST + 1):
        monkeypatch.setattr(upgrades, "MIGRATIONS", MIGRATIONS[:newest])
        assert keep_before_migrating(database) is not None
        connect(database, MIGRATIONS[:newest]).close()
    assert [copy.name for copy in copies(database)] == [
        f"covey.db.before-{n}" for n in range(NEWEST - KEPT + 1, NEWEST + 1)
    ]
    assert [schema_of(copy) for copy in copies(database)] == list(range(NEWEST - KEPT, NEWEST))


def test_whoever_opens_it_at_the_same_time_keeps_the_old_file_too(database: Path) -> None:
    old = schema_of(database)
    failures: list[Exception] = []

    def open_it() -> None:
        try:
            Store(database).close()
        except (InputError, OSError) as error:
            failures.append(error)

    openers = [threading.Thread(target=open_it) for _ in range(8)]
    for opener in openers:
        opener.start()
    for opener in openers:
        opener.join()
    assert failures == []
    assert schema_of(database) == NEWEST
    assert [schema_of(copy) for copy in copies(database)] == [old]
    assert list(database.parent.glob(".*")) == []


def test_a_new_store_and_an_up_to_date_one_are_not_copied(tmp_path: Path) -> None:
    for _ in range(2):
        Store(tmp_path / "covey.db").close()
    assert copies(tmp_path / "covey.db") == []


def test_a_store_is_not_changed_under_an_older_coordinator(database: Path) -> None:
    """The older one is another process that holds the lock: a real one, because a lock is a process's."""
    lock, old = database.with_name("coordinator.lock"), schema_of(database)
    held = "import sys; from pathlib import Path; from shared.lock import only_one\nwith only_one(Path(sys.argv[1]), what='it'): print('held', flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", held, os.fspath(lock)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]
    ) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(InputError, match=rf"an older Covey's coordinator \(process {other.pid}\) works on"):
            Store(database)
        other.stdin.close()
        other.wait()
    assert schema_of(database) == old
    assert copies(database) == []


def test_the_coordinator_that_holds_the_lock_itself_may(database: Path) -> None:
    with only_one(database.with_name("coordinator.lock"), what="the coordinator"):
        Store(database).close()
    assert schema_of(database) == NEWEST


def test_a_copy_that_fails_changes_nothing(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    old = schema_of(database)
    monkeypatch.setattr(upgrades, "copy_whole", full)
    with pytest.raises(OSError, match="No space left"):
        Store(database)
    with closing(sqlite3.connect(database)) as file:
        assert version_of(file) == old
