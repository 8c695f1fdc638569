"""Kills, full disks and damaged files cost predictions at most; they never stop one from being answered."""

import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from predicted import NOON, prediction_log, served

from client.predictions import PredictionLog
from shared.errors import InputError

ROOT = Path(__file__).parents[2]
BATCH = 50

ADD = """
import sys
from pathlib import Path
from predicted import prediction_log, served
with prediction_log(Path(sys.argv[1])) as log:
    for start in range(0, 100_000, 50):
        log.add([served(number) for number in range(start, start + 50)])
        print(start, flush=True)
"""

KILLED_BEFORE_COMMIT = """
import os, signal, sys
from pathlib import Path
from predicted import prediction_log, served
from client import predictions
log = predictions.PredictionLog(Path(sys.argv[1]) / "predictions.db", predictions.Vault(Path(sys.argv[1]) / "keys" / "vault.key"))
act = getattr(predictions, sys.argv[2])
def killed(db, *arguments, **named):
    db.set_authorizer(lambda code, what, *_: os.kill(os.getpid(), signal.SIGKILL) if what == "COMMIT" else 0)
    return act(db, *arguments, **named)
setattr(predictions, sys.argv[2], killed)
log.add([served(1)]) if sys.argv[2] == "_add" else log.outcome("prediction-0", "runs")
"""

FULL_DISK = """
import resource, sys
from pathlib import Path
from predicted import prediction_log, served
from shared.errors import InputError
limit = lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
def fill(log):
    limit(400_000)
    for number in range(10**6):
        try:
            log.add([served(number)])
        except InputError as error:
            return number, error
with prediction_log(Path(sys.argv[1])) as log:
    kept, error = fill(log)
    print(error)
    assert [one.id for one in log.recent(10**6)] == [f"prediction-{n}" for n in reversed(range(kept))], "lost"
    for act in (lambda: log.add([served(kept)]), lambda: log.outcome("unknown", "runs")):
        try:
            act()
        except InputError:
            pass
    limit(resource.RLIM_INFINITY)
    log.add([served(10**6)])
    assert log.recent(1) == [served(10**6)]
    log.erase()
    fill(log)
    log.erase()
    print(kept, log.recent(9))
"""


def child(script: str, *arguments: str | Path) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"}
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize("batches", [1, 20])
def test_a_kill_keeps_whole_batches_and_outcomes_still_join(tmp_path: Path, batches: int) -> None:
    with child(ADD, tmp_path) as service:
        assert service.stdout is not None
        for _ in range(batches):
            service.stdout.readline()
        service.kill()
    with prediction_log(tmp_path) as log:
        kept = len(log.recent(100_000))
        assert kept >= batches * BATCH
        assert kept % BATCH == 0
        assert log.outcome("prediction-0", "runs") is True
        assert log.recent(kept)[-1].label == "runs"


@pytest.mark.parametrize("act", ["_add", "_join"])
def test_a_kill_before_the_commit_leaves_all_as_it_was(tmp_path: Path, act: str) -> None:
    with prediction_log(tmp_path) as log:
        log.add([served(0)])
        log.outcome("prediction-1", "stops")
    with child(KILLED_BEFORE_COMMIT, tmp_path, act) as agent:
        agent.communicate()
    assert agent.returncode == -signal.SIGKILL
    with prediction_log(tmp_path) as log:
        assert log.recent(9) == [served(0)]
        log.add([served(1)])
        assert log.recent(1)[0].label == "stops"
        assert log.outcome("prediction-0", "runs") is True


def test_a_full_disk_is_said_loses_nothing_and_passes(tmp_path: Path) -> None:
    with child(FULL_DISK, tmp_path) as service:
        output, _ = service.communicate()
    assert service.returncode == 0
    said, ended = output.splitlines()
    assert said.startswith(
        f"predictions in {tmp_path / 'predictions.db'} cannot be kept or read: disk I/O error; make room"
    )
    kept, rest = ended.split(" ", 1)
    assert int(kept) > 10
    assert rest == "[]"


def fill(log: PredictionLog) -> None:
    for start in range(0, 100_000, BATCH):
        log.add([served(number, at=NOON + number * 60) for number in range(start, start + BATCH)])


def test_at_its_bound_the_log_takes_no_more_until_there_is_room(tmp_path: Path) -> None:
    with prediction_log(tmp_path, megabytes=1) as log:
        with pytest.raises(InputError, match="database or disk is full; make room on the disk, or keep fewer"):
            fill(log)
        kept = len(log.recent(100_000))
        assert kept > 500
        assert kept % BATCH == 0
        assert sum(path.stat().st_size for path in tmp_path.glob("predictions.db")) <= 1_000_000
        log.expire(NOON + 90 * 86_400 + kept * 60)
        log.add([served(1)])
        assert log.recent(1) == [served(1)]


@pytest.mark.parametrize("content", [b"not a database", b"SQLite format 3\0" + b"\xff" * 8000, b"\0" * 5000])
def test_a_damaged_file_is_said_and_kept_aside(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "predictions.db"
    path.write_bytes(content)
    with prediction_log(tmp_path) as log:
        log.add([served(0)])
        assert log.recent(9) == [served(0)]
    aside = tmp_path / "predictions.db.damaged"
    assert aside.read_bytes() == content
    assert [record.getMessage() for record in caplog.records] == [
        f"the predictions in {path} are damaged; the file is kept as {aside} and a new one is begun"
    ]


def test_damage_that_shows_while_the_log_is_open_costs_no_new_prediction(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with prediction_log(tmp_path) as log:
        log.add([served(number) for number in range(500)])
    path = tmp_path / "predictions.db"
    data = path.read_bytes()
    path.write_bytes(data[:4096] + b"\x5a" * (len(data) - 4096))
    with prediction_log(tmp_path) as log, prediction_log(tmp_path) as other:
        log.add([served(0)])
        other.add([served(1)])
        assert log.recent(9) == other.recent(9) == [served(1), served(0)]
    assert caplog.text.count("are damaged") == 1
    assert (tmp_path / "predictions.db.damaged").stat().st_size == len(data)


def test_a_new_file_of_another_process_is_not_set_aside(tmp_path: Path) -> None:
    damaged = sqlite3.DatabaseError("database disk image is malformed")
    damaged.sqlite_errorcode = sqlite3.SQLITE_CORRUPT

    def found_damaged_by_both(db: sqlite3.Connection) -> int:
        if not (tmp_path / "predictions.db.damaged").exists():
            (tmp_path / "predictions.db").rename(tmp_path / "predictions.db.damaged")
            with prediction_log(tmp_path) as other:
                other.add([served(1)])
            raise damaged
        return int(db.execute("SELECT count(*) FROM served").fetchone()[0])

    with prediction_log(tmp_path) as log:
        log.add([served(0)])
        assert log._do(found_damaged_by_both) == 1
        assert log.recent(9) == [served(1)]


def test_what_was_set_aside_goes_with_its_age(tmp_path: Path) -> None:
    aside = tmp_path / "predictions.db.damaged"
    aside.write_bytes(b"x")
    os.utime(aside, (NOON, NOON))
    with prediction_log(tmp_path, days=2) as log:
        log.expire(NOON + 86_400)
        assert aside.exists()
        log.expire(NOON + 3 * 86_400)
        assert not aside.exists()


def test_a_file_of_a_newer_covey_is_no_damage(tmp_path: Path) -> None:
    path = tmp_path / "predictions.db"
    with closing(sqlite3.connect(path)) as newer:
        newer.execute("PRAGMA user_version = 99")
    with pytest.raises(InputError, match="written by a newer Covey"), prediction_log(tmp_path):
        pass
    assert not (tmp_path / "predictions.db.damaged").exists()


def test_a_file_that_is_removed_under_the_log_is_begun_anew(tmp_path: Path) -> None:
    with prediction_log(tmp_path) as log:
        log.add([served(0)])
        for path in tmp_path.glob("predictions.db*"):
            path.unlink()
        log.add([served(1)])
        assert log.recent(9) == [served(1)]
    with prediction_log(tmp_path) as log:
        assert log.recent(9) == [served(1)]


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(InputError, match="predictions cannot be kept in"), prediction_log(tmp_path / "file" / "x"):
        pass
