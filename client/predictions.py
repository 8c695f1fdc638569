"""What was predicted here and what came of it: sealed row by row, joined on the device, and let go in time.

Which predictions teach is a function of each one by itself (privacy rule 3). It is let go by its own age. A cap on
rows would tie them together, because one row more pushes another out, so there is none: where there are too many, the
owner lowers `share`, and each prediction is kept or not by a draw of its own. The draw is its name, a keyed digest of
its id, so that it falls the same way however often it is looked at. `megabytes` is the disk's end brought forward: no
rule can keep without bound, so beyond it nothing more is recorded, and that, like a full disk, ties later rows to
earlier ones. It is logged, and a share that suits the traffic never gets there.
"""

import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from client import predictiondb
from client.served import Served, class_of, number_of, pack, pack_outcome, unpack, with_outcome, word_of
from client.vault import SealError, Vault
from shared.database import transaction
from shared.revisions import value_of
from shared.tasks import Task, Window

log = logging.getLogger(__name__)

HOUR = 3600
READ_ROWS = 2000
DELETE_ROWS = 10_000

T = TypeVar("T")
Row = tuple[bytes, int, bytes, bytes | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """How long predictions are kept, which share of them, and where the disk ends for them; all public constants."""

    days: float = 90.0
    share: float = 1.0
    megabytes: int = 1024

    def __post_init__(self) -> None:
        """Refuse what keeps nothing by mistake."""
        if not (self.days >= 0 and 0 < self.share <= 1 and self.megabytes >= 1):
            raise ValueError("days must not be negative, share must lie in (0, 1] and megabytes be at least 1")


class PredictionLog:
    """Predictions of one task. Safe to use from several threads, and from several processes at once.

    Every method raises `InputError`, with a sentence, when the disk is full or the vault's keyring is locked. A file
    that is damaged is kept aside, which is logged, and a new one is begun: predictions go on.
    """

    def __init__(self, path: Path, vault: Vault, retention: Retention = Retention()) -> None:
        """Open or create the file at `path`."""
        self._vault = vault
        self._retention = retention
        self._lock = threading.RLock()
        self._file = predictiondb.PredictionFile(path, megabytes=retention.megabytes)

    def close(self) -> None:
        """Release the file."""
        with self._lock:
            self._file.close()

    def add(self, served: Sequence[Served]) -> None:
        """Keep predictions, all or none; one that is there already stays as it is.

        An outcome that came before its prediction is joined; one that a prediction brings itself counts instead.
        """
        rows = [row for one in served if self._keeps((row := self._row(one))[0])]
        self._do(lambda db: _add(db, rows))

    def outcome(self, prediction: str, label: str | float) -> bool:
        """Join what came of a prediction, by its id; a later outcome replaces an earlier one, and that is logged.

        Returns False if the prediction is not here: the outcome then waits for it as long as a prediction is kept.
        """
        return self.outcomes([(prediction, label)])[0]

    def outcomes(self, pairs: Iterable[tuple[str, str | float]]) -> list[bool]:
        """Join many, as `outcome` does, all or none."""
        now = time.time()
        rows = [(name := self._name(prediction), self._seal_outcome(name, label, now)) for prediction, label in pairs]
        joined, replaced = self._do(lambda db: _join(db, rows, hour=int(now // HOUR), keeps=self._keeps))
        if replaced:
            log.info("%d outcomes replaced an earlier one of the same prediction", replaced)
        return joined

    def retract(self, prediction: str) -> bool:
        """Take back what was said of a prediction, as if nobody knew yet; False if it is not here."""
        query = "UPDATE served SET outcome = NULL WHERE name = ?"
        return self._do(lambda db: db.execute(query, (self._name(prediction),)).rowcount) == 1

    def recent(self, n: int) -> list[Served]:
        """The last `n` predictions, newest first."""
        query = "SELECT id, name, sealed, outcome FROM served ORDER BY id DESC LIMIT ?"
        return list(self._readable(self._do(lambda db: db.execute(query, (n,)).fetchall())))

    def unlabelled(self, since: float = 0.0) -> Iterator[Served]:
        """Every prediction since a time that has no outcome, oldest first and read piece by piece.

        There is no limit, so that a queue can choose each row by itself, against a fixed threshold.
        """
        return (one for one in self._within(since, np.inf, labelled=False) if one.at >= since)

    def judged(self, window: Window) -> Iterator[Served]:
        """Every prediction of a window whose outcome came, oldest first; its own timestamp decides."""
        start, end = _bounds(window)
        return (one for one in self._within(start, end, labelled=True) if start <= one.at < end)

    def labelled(self, task: Task, window: Window) -> tuple[dict[str, NDArray[Any]], NDArray[np.int64]]:
        """Raw columns by name, and labels (`UNKNOWN` for an outcome that the task does not know), as data files give.

        All of shape `(rows,)`: numbers are float32 with NaN where missing, texts objects with None where missing.
        """
        numbers: dict[str, list[float]] = {name: [] for name in task.numbers}
        texts: dict[str, list[str | None]] = {name: [] for name in task.texts}
        labels: list[int] = []
        for one in self.judged(window):
            labels.append(class_of(task, one.label or "", at=one.at))
            for name, column in numbers.items():
                column.append(number_of(value_of(task, one.record, name)))
            for name, words in texts.items():
                words.append(word if isinstance(word := value_of(task, one.record, name), str) else None)
        return _columns(numbers, texts), np.array(labels, dtype=np.int64)

    def expire(self, now: float) -> int:
        """Remove what is older than the policy keeps, up to an hour early, and what a lower share no longer keeps.

        Returns how many predictions went.
        """
        oldest = now - self._retention.days * 24 * HOUR
        self._file.forget_aside(before=oldest)
        gone = 0
        while step := self._do(lambda db: _delete(db, hour=int(oldest // HOUR), limit=self._limit)):
            gone += step
        return gone

    def erase(self) -> None:
        """Remove every prediction and outcome, and what was set aside."""
        with self._lock:
            self._file.erase()

    def _row(self, one: Served) -> Row:
        name = self._name(one.id)
        sealed = self._vault.seal(pack(one), about=_served(name))
        labelled_at = one.at if one.labelled_at is None else one.labelled_at
        outcome = None if one.label is None else self._seal_outcome(name, one.label, labelled_at)
        return name, int(one.at // HOUR), sealed, outcome

    def _seal_outcome(self, name: bytes, label: str | float, at: float) -> bytes:
        return self._vault.seal(pack_outcome(word_of(label), at), about=_outcome(name))

    def _name(self, prediction: str) -> bytes:
        return self._vault.digest(prediction, about="predictions")

    def _keeps(self, name: bytes) -> bool:
        return name < self._limit

    @property
    def _limit(self) -> bytes:
        """Names below this one are kept: a share of all, since digests are uniform."""
        return b"\xff" * 17 if self._retention.share == 1 else int(self._retention.share * 2**64).to_bytes(8, "big")

    def _within(self, start: float, end: float, *, labelled: bool) -> Iterator[Served]:
        """Predictions of the hours between two times, in pieces, so that neither memory nor the lock is held long."""
        last = 0
        while rows := self._do(lambda db, after=last: _read(db, after, start, end, labelled=labelled)):
            last = int(rows[-1]["id"])
            yield from self._readable(rows)

    def _readable(self, rows: Sequence[sqlite3.Row]) -> Iterator[Served]:
        lost = 0
        for row in rows:
            try:
                yield self._open(row)
            except SealError:
                lost += 1
        if lost:
            log.warning("%d predictions cannot be read: they are damaged, or their key is gone", lost)

    def _open(self, row: sqlite3.Row) -> Served:
        name: bytes = row["name"]
        one = unpack(self._vault.unseal(row["sealed"], about=_served(name)))
        if row["outcome"] is None:
            return one
        return with_outcome(one, self._vault.unseal(row["outcome"], about=_outcome(name)))

    def _do(self, act: Callable[[sqlite3.Connection], T]) -> T:
        with self._lock:
            return self._file.do(act)


def _served(name: bytes) -> str:
    return f"predictions/served/{name.hex()}"


def _outcome(name: bytes) -> str:
    return f"predictions/outcome/{name.hex()}"


def _add(db: sqlite3.Connection, rows: Sequence[Row]) -> None:
    with transaction(db):
        db.executemany("INSERT OR IGNORE INTO served (name, hour, sealed, outcome) VALUES (?, ?, ?, ?)", rows)
        if db.execute("SELECT EXISTS (SELECT 1 FROM waiting)").fetchone()[0]:
            names = [(row[0],) for row in rows]
            db.executemany(
                "UPDATE served SET outcome = waiting.outcome FROM waiting "
                "WHERE served.name = ? AND waiting.name = served.name AND served.outcome IS NULL",
                names,
            )
            db.executemany("DELETE FROM waiting WHERE name = ?", names)


def _join(
    db: sqlite3.Connection, rows: Iterable[tuple[bytes, bytes]], *, hour: int, keeps: Callable[[bytes], bool]
) -> tuple[list[bool], int]:
    """Which outcomes found their prediction, and how many of them replaced an earlier outcome."""
    joined: list[bool] = []
    replaced = 0
    with transaction(db):
        for name, outcome in rows:
            found = db.execute("SELECT outcome IS NOT NULL FROM served WHERE name = ?", (name,)).fetchone()
            joined.append(found is not None)
            if found is not None:
                replaced += found[0]
                db.execute("UPDATE served SET outcome = ? WHERE name = ?", (outcome, name))
            elif keeps(name):
                db.execute("INSERT OR REPLACE INTO waiting VALUES (?, ?, ?)", (name, hour, outcome))
    return joined, replaced


def _read(db: sqlite3.Connection, after: int, start: float, end: float, *, labelled: bool) -> list[sqlite3.Row]:
    query = (
        "SELECT id, name, sealed, outcome FROM served WHERE id > ? AND hour >= ? AND hour <= ? "
        "AND (outcome IS NOT NULL) = ? ORDER BY id LIMIT ?"
    )
    return db.execute(query, (after, _hour(start), _hour(end), labelled, READ_ROWS)).fetchall()


def _hour(moment: float) -> float:
    return moment // HOUR if np.isfinite(moment) else moment


def _delete(db: sqlite3.Connection, *, hour: int, limit: bytes) -> int:
    """Remove one piece of what is too old or no longer kept; returns how many predictions it held."""
    with transaction(db):
        db.execute("DELETE FROM waiting WHERE hour <= ? OR name >= ?", (hour, limit))
        query = "DELETE FROM served WHERE id IN (SELECT id FROM served WHERE hour <= ? OR name >= ? LIMIT ?)"
        return db.execute(query, (hour, limit, DELETE_ROWS)).rowcount


def _bounds(window: Window) -> tuple[float, float]:
    return (
        _seconds(window.start) if window.start else -np.inf,
        _seconds(window.end) if window.end else np.inf,
    )


def _seconds(text: str) -> float:
    """A bound in UTC seconds; one without a zone is UTC."""
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _columns(numbers: dict[str, list[float]], texts: dict[str, list[str | None]]) -> dict[str, NDArray[Any]]:
    with np.errstate(over="ignore"):
        floats = {name: np.array(column, dtype=np.float64).astype(np.float32) for name, column in numbers.items()}
    return floats | {name: np.array(words, dtype=object) for name, words in texts.items()}
