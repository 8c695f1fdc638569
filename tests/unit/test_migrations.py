"""Databases that a released Covey wrote open in this one, with every row and every epsilon as they were."""

import shutil
import sqlite3
from pathlib import Path

import pytest
from machines import small_task

from client.ledger import Ledger
from client.policy import fingerprint
from client.store import AgentStore
from server.store import Store
from shared.database import connect, version_of
from shared.errors import InputError

RELEASED = sorted((Path(__file__).parents[1] / "fixtures").iterdir())


@pytest.mark.parametrize("folder", RELEASED, ids=lambda folder: folder.name)
def test_the_coordinators_store_keeps_every_row(folder: Path, tmp_path: Path) -> None:
    shutil.copy(folder / "covey.db", tmp_path / "covey.db")
    store = Store(tmp_path / "covey.db")
    assert [device.name for device in store.devices()] == ["ada", "ben", "cyd"]
    assert [(run.kind, run.state) for run in store.runs()] == [("train", "finished")]
    assert [(r.plan.number, r.outcome, r.returned) for r in store.rounds()] == [
        (number, "committed", ("ada", "ben", "cyd")) for number in (1, 2, 3, 4)
    ]
    assert [(v.number, v.parent, len(store.weights(v.number))) for v in store.versions()] == [
        (number, number - 1, 4 * 12) for number in (1, 2, 3, 4, 5)
    ]
    assert store.task("machines").revision == 1
    assert [release.version for release in store.releases()] == [5]
    assert [survey.shifts[0].psi for survey in store.surveys()] == [0.02]
    assert store.audit_log()[0].act == "promote"
    store.close()


@pytest.mark.parametrize("folder", RELEASED, ids=lambda folder: folder.name)
def test_the_ledger_keeps_what_was_spent(folder: Path, tmp_path: Path) -> None:
    shutil.copy(folder / "agent.db", tmp_path / "agent.db")
    store = AgentStore(tmp_path / "agent.db")
    spent = Ledger(store).spent(1e-5)
    assert spent.epsilon == pytest.approx(8.255145, abs=1e-6)
    assert spent.releases == 4
    assert [charge.state for charge in store.charges()] == ["sealed"] * 4
    assert len(Ledger(store).unsent()) == 4
    assert store.agreed("machines", fingerprint(small_task()))
    store.close()


def test_a_database_of_a_newer_covey_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "covey.db"
    newer = sqlite3.connect(path)
    newer.execute("PRAGMA user_version = 99")
    newer.close()
    with pytest.raises(
        InputError, match=r"covey\.db cannot be opened: it was written by a newer Covey \(schema 99\); upgrade Covey"
    ):
        Store(path)


def test_migrations_are_taken_one_after_another(tmp_path: Path) -> None:
    first = ("CREATE TABLE a (x INTEGER); INSERT INTO a VALUES (7);",)
    connect(tmp_path / "a.db", first).close()
    second = (*first, "ALTER TABLE a ADD COLUMN y INTEGER NOT NULL DEFAULT 1;")
    database = connect(tmp_path / "a.db", second)
    assert version_of(database) == 2
    assert tuple(database.execute("SELECT x, y FROM a").fetchone()) == (7, 1)
    database.close()


def test_a_migration_that_fails_changes_nothing(tmp_path: Path) -> None:
    first = ("CREATE TABLE a (x INTEGER);",)
    connect(tmp_path / "a.db", first).close()
    with pytest.raises(InputError):
        connect(tmp_path / "a.db", (*first, "CREATE TABLE b (x INTEGER); CREATE TABLE a (x INTEGER);"))
    database = connect(tmp_path / "a.db", first)
    assert database.execute("SELECT count(*) FROM sqlite_master WHERE name = 'b'").fetchone()[0] == 0
    database.close()
