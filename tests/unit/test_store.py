"""The coordinator's store: each act is whole, visible to other processes, and refused with a sentence."""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from server.records import Progress, SurveyRequest, SurveyResult
from server.schema import MIGRATIONS
from server.store import Store
from shared.database import connect, version_of
from shared.drift import Histogram
from shared.errors import InputError
from shared.models import Release
from shared.rounds import RoundPlan, RoundResult
from shared.tasks import Window

LATER = 4e9
SURVEY = SurveyRequest(
    task="flights", release=1, window=Window(), role="reference", features=False, quorum=1, deadline_seconds=1.0
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with closing(Store(tmp_path / "covey.db")) as opened:
        yield opened


def result(number: int, *, run_id: int = 1, base: int = 1) -> RoundResult:
    plan = RoundPlan(
        run_id=run_id, number=number, task="flights", revision=1, base_version=base, window=Window(), sample_rate=0.1,
        steps=1, normalizer=1.0, learning_rate=1.0, max_grad_norm=1.0, noise_multiplier=1.0, max_update_norm=1.0,
    )  # fmt: skip
    return RoundResult(
        plan=plan, cohort=("a", "b"), returned=("a",), refusals={"b": "budget"}, started_at=1.0, finished_at=2.0,
        outcome="committed",
    )  # fmt: skip


def test_an_invitation_admits_one_device_once(store: Store) -> None:
    store.add_invitation("hash", LATER)
    store.enrol("hash", "kiosk", b"key")
    assert [(d.name, d.state, d.public_key) for d in store.devices()] == [("kiosk", "pending", b"key")]
    with pytest.raises(InputError, match="used"):
        store.enrol("hash", "other", b"key 2")


def test_an_expired_or_unknown_invitation_admits_nobody(store: Store) -> None:
    store.add_invitation("old", 1.0)
    for token in ("old", "never"):
        with pytest.raises(InputError, match="expired"):
            store.enrol(token, "kiosk", b"key")
    assert store.devices() == []


@pytest.mark.parametrize(("name", "key"), [("kiosk", b"key 2"), ("other", b"key")])
def test_a_refused_enrolment_does_not_use_up_the_invitation(store: Store, name: str, key: bytes) -> None:
    store.add_invitation("one", LATER)
    store.add_invitation("two", LATER)
    store.enrol("one", "kiosk", b"key")
    with pytest.raises(InputError, match="already"):
        store.enrol("two", name, key)
    store.enrol("two", "third", b"key 3")
    assert len(store.devices()) == 2


def test_a_device_is_found_by_name_and_by_key(store: Store) -> None:
    store.add_invitation("hash", LATER)
    store.enrol("hash", "kiosk", b"key")
    store.set_device_state("kiosk", "approved", roster_signature=b"signature")
    store.set_node("kiosk", 7)
    store.touch_device("kiosk", at=5.0, bytes_up=10, bytes_down=20)
    store.touch_device("kiosk", at=6.0, bytes_up=1, bytes_down=2)
    store.set_installed("kiosk", 3, "fine")
    found = store.device("kiosk")
    assert found == store.device_by_key(b"key")
    assert (found.state, found.node_id, found.last_seen, found.release) == ("approved", 7, 6.0, 3)
    assert (found.bytes_up, found.bytes_down) == (11, 22)
    assert store.device_by_key(b"another") is None
    with pytest.raises(InputError, match="'nobody'"):
        store.device("nobody")


def test_a_task_has_one_run_at_a_time(store: Store) -> None:
    first = store.queue_run("flights", "survey", SURVEY)
    with pytest.raises(InputError, match="under way"):
        store.queue_run("flights", "train", SURVEY)
    store.queue_run("other", "survey", SURVEY)
    store.set_run_state(first, "finished")
    assert store.queue_run("flights", "train", SURVEY) > first


def test_a_run_remembers_when_it_first_started_and_when_it_ended(store: Store) -> None:
    number = store.queue_run("flights", "survey", SURVEY)
    store.set_run_state(number, "running")
    started = store.run(number).started_at
    store.set_run_state(number, "stopping")
    store.set_run_state(number, "running")
    assert store.run(number).started_at == started
    assert store.run(number).finished_at is None
    store.set_run_state(number, "failed", "the disk is full")
    run = store.run(number)
    assert (run.state, run.detail, run.finished_at is not None) == ("failed", "the disk is full", True)
    assert [run.id for run in store.runs("failed")] == [number]
    assert store.runs("queued", "running") == []
    with pytest.raises(InputError, match="no run 99"):
        store.run(99)


def test_progress_keeps_the_latest_word(store: Store) -> None:
    number = store.queue_run("flights", "survey", SURVEY)
    assert store.progress(number) is None
    for returned in (1, 2):
        progress = Progress(
            run_id=number, round_number=1, rounds=1, phase="counting", cohort=2, returned=returned, refused=0, at=1.0
        )
        store.set_progress(progress)
    assert store.progress(number) == progress


def test_a_round_and_its_version_are_committed_together(store: Store) -> None:
    store.add_initial_version("flights", 1, b"zero")
    version = store.commit_round(result(1), weights=b"one", momentum=b"momentum 1", revision=1)
    assert (version.number, version.parent, version.stage) == (2, 1, "candidate")
    assert store.rounds(1) == [result(1)]
    assert (store.weights(1), store.weights(2)) == (b"zero", b"one")
    assert store.momentum(1) == b"momentum 1"


def test_a_round_that_cannot_be_kept_leaves_no_version_behind(store: Store) -> None:
    store.add_initial_version("flights", 1, b"zero")
    store.commit_round(result(1), weights=b"one", momentum=b"m", revision=1)
    with pytest.raises(sqlite3.IntegrityError):
        store.commit_round(result(1), weights=b"two", momentum=b"n", revision=1)
    assert [version.number for version in store.versions()] == [1, 2]
    assert store.momentum(1) == b"m"
    store.commit_round(result(2, base=2), weights=b"two", momentum=b"n", revision=1)
    assert store.weights(store.versions()[-1].number) == b"two"


def test_an_abandoned_round_keeps_the_last_momentum(store: Store) -> None:
    store.commit_round(result(1), weights=b"one", momentum=b"m", revision=1)
    store.abandon_round(result(2))
    assert store.momentum(1) == b"m"
    assert len(store.rounds()) == 2
    assert store.rounds(2) == []


def test_equal_weights_are_kept_once(store: Store, tmp_path: Path) -> None:
    for _ in range(3):
        store.add_initial_version("flights", 1, b"same")
    with closing(sqlite3.connect(tmp_path / "covey.db")) as other:
        assert other.execute("SELECT count(*) FROM blobs").fetchone() == (1,)


def test_damaged_weights_are_never_handed_out(store: Store, tmp_path: Path) -> None:
    store.add_initial_version("flights", 1, b"good")
    with closing(sqlite3.connect(tmp_path / "covey.db")) as other, other:
        other.execute("UPDATE blobs SET data = x'00'")
    with pytest.raises(InputError, match="damaged"):
        store.weights(1)
    with pytest.raises(InputError, match="no version 9"):
        store.version(9)


def test_a_release_moves_its_version_on(store: Store) -> None:
    store.add_initial_version("flights", 1, b"zero")
    release = Release(number=1, task="flights", revision=1, version=1, trained_on=Window())
    store.add_release(release, [])
    assert store.releases("flights") == [release]
    assert store.releases("other") == []
    assert store.version(1).stage == "released"
    assert store.gates(1) == "[]"


def test_a_release_of_a_version_that_does_not_exist_is_not_kept(store: Store) -> None:
    with pytest.raises(sqlite3.IntegrityError):
        store.add_release(Release(number=1, task="flights", revision=1, version=5, trained_on=Window()), [])
    assert store.releases() == []


def test_a_survey_is_read_back_as_it_was_kept(store: Store) -> None:
    histogram = Histogram(name="score", edges=(0.0, 0.5, 1.0), counts=(-3.0, 5.0), noise=2.0)
    survey = SurveyResult(
        run_id=1, task="flights", release=1, role="current", window=Window(), devices=2, histograms=(histogram,), at=1.0
    )
    store.add_survey(survey)
    assert store.surveys("flights") == [survey]
    assert store.surveys("other") == []


def test_the_audit_log_is_newest_first(store: Store) -> None:
    for act in ("approve", "start", "stop"):
        store.audit("operator", act, "detail")
    assert [entry.act for entry in store.audit_log(2)] == ["stop", "start"]


def test_another_processs_commit_shows_as_a_change(store: Store, tmp_path: Path) -> None:
    other = Store(tmp_path / "covey.db")
    before = store.changes()
    assert store.changes() == before
    other.audit("operator", "start")
    assert store.changes() != before
    other.close()


def test_two_operators_cannot_queue_the_same_task_at_once(tmp_path: Path) -> None:
    Store(tmp_path / "covey.db").close()
    outcomes: list[str] = []

    def queue() -> None:
        mine = Store(tmp_path / "covey.db")
        try:
            mine.queue_run("flights", "survey", SURVEY)
            outcomes.append("queued")
        except InputError:
            outcomes.append("refused")
        finally:
            mine.close()

    threads = [threading.Thread(target=queue) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["queued"] + ["refused"] * 7


def test_many_openers_of_a_new_file_agree_on_one_schema(tmp_path: Path) -> None:
    failures: list[Exception] = []

    def open_it() -> None:
        try:
            Store(tmp_path / "new.db").close()
        except InputError as error:
            failures.append(error)

    threads = [threading.Thread(target=open_it) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    with closing(connect(tmp_path / "new.db", MIGRATIONS)) as opened:
        assert version_of(opened) == len(MIGRATIONS)


def test_a_store_of_a_newer_covey_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "covey.db"
    newer = connect(path, [*MIGRATIONS, "CREATE TABLE future (id INTEGER)"])
    newer.close()
    with pytest.raises(InputError, match="newer Covey"):
        Store(path)


def test_a_failed_migration_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "covey.db"
    connect(path, MIGRATIONS).close()
    with pytest.raises(InputError, match="cannot be opened"):
        connect(path, [*MIGRATIONS, "CREATE TABLE half (id INTEGER); CREATE NONSENSE"])
    with closing(connect(path, MIGRATIONS)) as opened:
        assert opened.execute("SELECT count(*) FROM sqlite_master WHERE name = 'half'").fetchone()[0] == 0


def test_a_store_that_must_be_there_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="it is not there; put it back, or restore a backup"):
        Store(tmp_path / "covey.db", create=False)
    assert list(tmp_path.iterdir()) == []
    Store(tmp_path / "covey.db").close()
    Store(tmp_path / "covey.db", create=False).close()


@pytest.mark.parametrize("content", [b"this is no database, just words" * 100, None])
def test_what_is_no_database_is_refused_by_name(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "covey.db"
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)
    with pytest.raises(InputError, match=r"covey\.db cannot be opened"):
        Store(path)


def test_a_number_that_no_row_can_hold_is_refused() -> None:
    store = Store(":memory:")
    with pytest.raises(InputError, match="a number is too large"):
        store.run(10**30)
    with pytest.raises(InputError, match="a number is too large"):
        store.version(10**30)
