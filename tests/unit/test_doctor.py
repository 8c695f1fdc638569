"""`covey doctor`: each thing that can be wrong is found, said in words, and comes with what to do."""

import json
import os
import socket
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from coordinator import covey, free_port
from machines import small_task

from server.cli.founding import publish
from server.config import Federation, Settings
from server.doctor import examine, most_urgent, worst
from server.examined import Ending, Examined, Finding, Listening, State, Underway
from server.founding import found
from server.leftovers import occupied
from server.planning import campaign
from server.probes import look, packages
from server.store import Store
from shared.lock import only_one
from shared.tasks import Window

NOW = datetime(2026, 11, 28, tzinfo=UTC)
WELL = Examined(
    now=NOW.timestamp(), newest_record=NOW.timestamp() - 60, signed_at=NOW.timestamp() - 3600, free_bytes=50 * 10**9,
    log_bytes=10**6, coordinator=7, lock_names=0, python="3.11.7", wanted_python="3.11",
    packages={"tuf": ("7.0.1", "7.0.1")}, schema=4, newest_schema=4, backed_up_at=NOW.timestamp() - 3600,
    ports=(Listening(port=8443, process=7, ours=True),),
)  # fmt: skip


def ending(kind: str, left: timedelta, *, begins: datetime | None = None) -> dict[str, object]:
    return {"endings": (Ending(name=kind, kind=kind, begins=begins, ends=NOW + left, do="`covey renew`"),)}


WRONG: dict[str, tuple[dict[str, object], str, State, str, str]] = {
    "clock behind its own records": (
        {"newest_record": NOW.timestamp() + 7200}, "clock", "fail", "2.0 h behind its own newest record", "set the clock"
    ),
    "clock behind its own signature": ({"signed_at": NOW.timestamp() + 600}, "clock", "fail", "10.0 min behind", "clock"),
    "clock before a certificate": (
        ending("authority", timedelta(days=900), begins=NOW + timedelta(days=1)), "clock", "fail", "before authority", "clock"
    ),
    "root near its end": (ending("root", timedelta(days=20)), "root", "warn", "ends in 20 days", "covey renew"),
    "timestamp near its end": (ending("timestamp", timedelta(hours=3)), "timestamp", "warn", "in 3 hours", "covey renew"),
    "targets over": (ending("targets", -timedelta(days=1)), "targets", "fail", "it ended on 2026-11-27", "covey renew"),
    "signed by nobody": ({"unsigned": "snapshot signed by no key that counts"}, "signatures", "fail", "no key", "restore"),
    "disk low": ({"free_bytes": 10**9}, "disk", "warn", "1.0 GB are free", "covey models gc"),
    "disk full": ({"free_bytes": 10**8}, "disk", "fail", "0.1 GB are free", "make room"),
    "log large": ({"log_bytes": 10**9}, "store's log", "warn", "1000.0 MB", "close old"),
    "port of a stranger": (
        {"ports": (Listening(port=8443, process=9, ours=False, name="nginx"),)}, "port 8443", "fail",
        "process 9 (nginx) holds it", "change the port",
    ),
    "deaf coordinator": (
        {"ports": (Listening(port=8443, process=0, ours=False),)}, "port 8443", "fail", "nobody listens", "restart it"
    ),
    "lock left behind": ({"coordinator": None, "lock_names": 99}, "coordinator", "warn", "names process 99", "covey serve"),
    "old Python": ({"python": "3.9.2"}, "Python", "fail", "3.9.2, and Covey needs 3.11", "install Python"),
    "other package": ({"packages": {"tuf": ("6.0.0", "7.0.1")}}, "tuf", "warn", "6.0.0 is installed", "pip install tuf==7.0.1"),
    "missing package": ({"packages": {"torch": ("", "2.13.0")}}, "torch", "fail", "is missing", "pip install torch==2.13.0"),
    "older store": ({"schema": 3}, "store", "warn", "schema 3, and this Covey works with 4", "brought up to date"),
    "newer store": (
        {"schema": 5, "copies": ("covey.db.before-5",)}, "store", "fail", "of a newer Covey", "covey.db.before-5 back"
    ),
    "unsound store": ({"unsound": "row 3 missing from index"}, "store's pages", "fail", "row 3 missing", "covey restore"),
    "damaged weights": ({"damaged": ("ab" * 32,)}, "weights", "fail", "1 blob not what", "covey models verify"),
    "missing store": (
        {"schema": 0, "read": False, "unreadable": "covey.db is missing"}, "store", "fail", "is missing", "covey restore"
    ),
    "stuck round": (
        {"underway": (Underway(run=3, task="machines", deadline=300.0, silent=1000.0, process=77),)}, "run 3", "fail",
        "nothing new for 16.7 min", "kill 77",
    ),
    "lost certificate": ({"lost": {"certificate ca.crt": "is missing"}}, "certificate ca.crt", "fail", "missing", "restore"),
    "closed folder": ({"closed": ("keys/",)}, "keys", "warn", "keys/ may not be read by you", "ask the operator"),
    "half a backup": ({"leftovers": ("/mnt/.a.tar.0011aabb",)}, "leftovers", "warn", "/mnt/.a.tar.0011aabb", "covey backup"),
    "restored, not lifted": ({"restored_unlifted": True}, "restoration", "warn", "they refuse it", "covey renew --lift"),
    "exposed key": ({"exposed": ("keys/root1.key",)}, "keys/root1.key", "fail", "others may read it", "chmod 600"),
    "missing key": ({"missing_keys": ("keys/snapshot.key",)}, "keys/snapshot.key", "fail", "is not here", "put it back"),
    "devices ahead": ({"ahead": {"ada": 9}, "newest_release": 4}, "releases", "warn", "above 4, first ada (9)", "--lift"),
    "no backup": ({"backed_up_at": None}, "backup", "warn", "none is on record", "covey backup"),
    "old backup": ({"backed_up_at": NOW.timestamp() - 9 * 86400}, "backup", "warn", "9.0 d old", "covey backup"),
}  # fmt: skip


def found_by(name: str, examined: Examined) -> Finding:
    return next(finding for finding in examine(examined) if finding.name == name)


@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_wrong_is_found_and_comes_with_what_to_do(wrong: str) -> None:
    changes, name, state, what, do = WRONG[wrong]
    finding = found_by(name, replace(WELL, **changes))  # type: ignore[arg-type]
    assert finding.state == state
    assert what in finding.what
    assert do in finding.do
    assert worst(examine(replace(WELL, **changes))) == state  # type: ignore[arg-type]


def test_where_all_is_well_nothing_is_to_be_done() -> None:
    findings = examine(WELL)
    assert worst(findings) == "ok"
    assert {finding.do for finding in findings} == {""}


def test_a_round_within_its_deadline_is_not_stuck() -> None:
    waiting = Underway(run=3, task="machines", deadline=300.0, silent=400.0)
    assert found_by("runs", replace(WELL, underway=(waiting,))).state == "ok"


def test_what_is_wrong_comes_first() -> None:
    findings = most_urgent(examine(replace(WELL, free_bytes=10**8, backed_up_at=None)))
    assert [finding.name for finding in findings[:2]] == ["disk", "backup"]


# -- what is looked at ----------------------------------------------------------------------------


@pytest.fixture
def federation(tmp_path: Path) -> Federation:
    federation = found(tmp_path / "federation", Settings(name="works", port=free_port(), admin_port=free_port()))
    with closing(Store(federation.database)) as store:
        publish(federation, store, small_task())
    return federation


def states(federation: Federation) -> dict[str, State]:
    return {finding.name: finding.state for finding in examine(look(federation, say=lambda _: None))}


def expose(federation: Federation) -> None:
    (federation.keys / "root1.key").chmod(0o644)


def lose_a_key(federation: Federation) -> None:
    (federation.keys / "timestamp.key").unlink()


def damage_weights(federation: Federation) -> None:
    with closing(sqlite3.connect(federation.database)) as store, store:
        store.execute("UPDATE blobs SET data = X'00' WHERE length(data) > 0")


def be_of_the_future(federation: Federation) -> None:
    with closing(sqlite3.connect(federation.database)) as store:
        store.execute("PRAGMA user_version = 99")


def be_signed_by_a_stranger(federation: Federation) -> None:
    file = federation.repository / "metadata" / "timestamp.json"
    document = json.loads(file.read_text())
    document["signatures"][0]["sig"] = "00" * 64
    file.write_text(json.dumps(document))


def be_ahead_of_the_clock(federation: Federation) -> None:
    with closing(sqlite3.connect(federation.database)) as store, store:
        store.execute("INSERT INTO audit (at, actor, act, detail) VALUES (?, 'x', 'y', '')", (time.time() + 9000,))


def run_another_past(federation: Federation) -> None:
    with closing(Store(federation.database)) as store:
        store.add_invitation("t", 4e9)
        store.enrol("t", "ada", b"a key")
        store.set_device_state("ada", "approved")
        store.set_installed("ada", 40, "")


def lose_the_store(federation: Federation) -> None:
    federation.database.unlink()


def empty_the_store(federation: Federation) -> None:
    federation.database.write_bytes(b"")


def overwrite_the_store(federation: Federation) -> None:
    federation.database.write_bytes(b"a picture of a partridge" * 400)


def lose_a_certificate(federation: Federation) -> None:
    (federation.tls / "ca.crt").unlink()


def kill_a_backup(federation: Federation) -> None:
    (federation.home / ".backup-ab12cd_x").mkdir(mode=0o700)


def restore_without_lifting(federation: Federation) -> None:
    with closing(Store(federation.database)) as store:
        store.audit("operator", "restore", "the backup of yesterday")


SPOILT: dict[str, tuple[Callable[[Federation], None], str, State]] = {
    "exposed key": (expose, "keys/root1.key", "fail"),
    "missing key": (lose_a_key, "keys/timestamp.key", "fail"),
    "damaged weights": (damage_weights, "weights", "fail"),
    "newer store": (be_of_the_future, "store", "fail"),
    "missing store": (lose_the_store, "store", "fail"),
    "empty store": (empty_the_store, "store", "fail"),
    "overwritten store": (overwrite_the_store, "store", "fail"),
    "lost certificate": (lose_a_certificate, "certificate ca.crt", "fail"),
    "killed backup": (kill_a_backup, "leftovers", "warn"),
    "restored, not lifted": (restore_without_lifting, "restoration", "warn"),
    "stranger's signature": (be_signed_by_a_stranger, "signatures", "fail"),
    "clock": (be_ahead_of_the_clock, "clock", "fail"),
    "devices ahead": (run_another_past, "releases", "warn"),
}


@pytest.mark.parametrize("how", SPOILT)
def test_a_real_federation_is_looked_at(federation: Federation, how: str) -> None:
    spoil, name, state = SPOILT[how]
    assert states(federation).get(name, "ok") == "ok"
    spoil(federation)
    assert states(federation)[name] == state


def test_what_lies_in_a_missing_store_is_not_called_sound(federation: Federation) -> None:
    lose_the_store(federation)
    for log in federation.home.glob("covey.db-*"):
        log.unlink()
    found = {finding.name: finding.what for finding in examine(look(federation, say=lambda _: None))}
    assert found["store"] == "covey.db is missing"
    assert {found[name] for name in ("store's pages", "weights", "runs", "backup")} == {"not looked at"}
    assert not list(federation.home.glob("covey.db*"))


def test_a_backup_under_way_is_not_left_over(federation: Federation) -> None:
    kill_a_backup(federation)
    with occupied(federation.home / ".backup-ab12cd_x"):
        assert "leftovers" not in states(federation)


def test_an_act_of_saving_counts_once_it_is_done(federation: Federation) -> None:
    with closing(Store(federation.database)) as store:
        store.audit("operator", "backup", "/mnt/all.tar, with keys")
    assert states(federation)["backup"] == "warn"
    with closing(Store(federation.database)) as store:
        store.audit("operator", "backed up", "/mnt/all.tar, with keys")
    assert states(federation)["backup"] == "ok"


def test_a_stranger_on_the_port_is_named(federation: Federation) -> None:
    port = federation.settings().port
    with socket.create_server(("127.0.0.1", port)):
        finding = next(f for f in examine(look(federation, say=lambda _: None)) if f.name == f"port {port}")
    assert finding.state == "fail"
    assert f"process {os.getpid()}" in finding.what


def test_a_run_that_shows_nothing_new_is_stuck(federation: Federation) -> None:
    with closing(Store(federation.database)) as store:
        task = store.task("machines")
        request = campaign(
            store, task, window=Window(), training=task.training, base_version=None, quorum=1, cohort=1,
            deadline_seconds=30.0,
        )  # fmt: skip
        run = store.queue_run("machines", "train", request)
        store.set_run_state(run, "running")
    with closing(sqlite3.connect(federation.database)) as file, file:
        file.execute("UPDATE runs SET started_at = started_at - 600")
    with only_one(federation.lock, what="a coordinator"):
        assert states(federation)["run 1"] == "fail"


def test_nothing_is_written(federation: Federation) -> None:
    before = {path: path.stat().st_mtime_ns for path in federation.home.rglob("*") if path.is_file()}
    look(federation, say=lambda _: None)
    after = {path: path.stat().st_mtime_ns for path in federation.home.rglob("*") if path.is_file()}
    assert {path: after[path] for path in before} == before


def test_the_packages_that_covey_pins_are_known() -> None:
    found_ones = packages()
    assert {"flwr", "torch", "tuf", "onnxruntime", "textual"} <= found_ones.keys()
    assert found_ones["tuf"] == ("7.0.1", "7.0.1")


def test_a_failure_is_told_by_the_exit_status(federation: Federation) -> None:
    well = covey(federation.home, "doctor", "--json")
    assert well.returncode == 0, well.stderr
    assert {finding["state"] for finding in json.loads(well.stdout)} == {"ok", "warn"}
    expose(federation)
    ill = covey(federation.home, "doctor")
    assert ill.returncode == 1
    assert "chmod 600 keys/root1.key" in ill.stdout
    assert ill.stderr.endswith("checks fail: keys/root1.key\n")
