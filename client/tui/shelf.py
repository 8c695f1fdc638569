"""One task's predictions, kept open while the window is: the last ones, and those that wait for a label."""

import time
from contextlib import suppress
from pathlib import Path

from client.config import TaskHome
from client.predictions import PredictionLog, Retention
from client.queue import LabelQueue, read_queue
from client.served import Served
from client.vault import Vault
from shared.errors import CoveyError
from shared.tasks import Task

RECENT = 200
QUEUE_SECONDS = 20.0
"""How often the queue is read anew at most; one that took long to read is read more rarely still."""


class Shelf:
    """Opens the log when there is one; raise as `PredictionLog` does."""

    def __init__(self, place: TaskHome) -> None:
        """Show the predictions of `place`."""
        self._place = place
        self._log: PredictionLog | None = None
        self._queue: LabelQueue | None = None
        self._stamp: tuple[int, ...] = ()
        self._due = 0.0

    def close(self) -> None:
        """Release the file."""
        if self._log is not None:
            self._log.close()
        self._log = None

    @property
    def stamp(self) -> tuple[int, ...]:
        """Moves when a prediction or an outcome was written."""
        with suppress(CoveyError):  # opening moves the files beside a database, and reading will say what is wrong
            self._opened()
        return moved(self._place.predictions)

    @property
    def due(self) -> bool:
        """Whether the queue may have changed and may be read again."""
        return self.stamp != self._stamp and time.monotonic() >= self._due

    def recent(self) -> tuple[Served, ...]:
        """The last predictions, newest first."""
        log = self._opened()
        return tuple(log.recent(RECENT)) if log else ()

    def queue(self, task: Task, now: float) -> LabelQueue | None:
        """What waits for a label, as it was when it was last due; None where nothing was ever predicted."""
        log = self._opened()
        if log and self.due:
            self._stamp, began = self.stamp, time.monotonic()
            self._queue = read_queue(log, task, now=now)
            took = time.monotonic() - began
            self._due = began + max(QUEUE_SECONDS, 20 * took)
        return self._queue

    def _opened(self) -> PredictionLog | None:
        if self._log is None and self._place.predictions.exists():
            self._log = open_log(self._place)
        return self._log


def open_log(place: TaskHome) -> PredictionLog:
    """The log of a task's predictions, as the agent itself opens it."""
    retention = Retention(days=place.home.settings().keep.days)
    return PredictionLog(place.predictions, Vault.open(place.home), retention)


def moved(database: Path) -> tuple[int, ...]:
    """A number for each time that a database, or the journal beside it, was written."""
    return tuple(part for file in (database, database.with_name(f"{database.name}-wal")) for part in stamp_of(file))


def stamp_of(file: Path) -> tuple[int, int]:
    """When a file was last written, and its size; zeros where it is not."""
    try:
        found = file.stat()
    except OSError:
        return 0, 0
    return found.st_mtime_ns, found.st_size
