"""Keeps what was predicted until its outcome is known, off the path of the prediction itself.

A prediction is put into memory; a thread writes what waits there about once a second. A full disk or a locked
database never fails a prediction: what cannot be written waits for the next second, and beyond `CAPACITY` is dropped,
counted and said once.
"""

import logging
import time
from collections import deque
from collections.abc import Iterable, Mapping
from functools import cached_property
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING, Any, Self

from client.config import TaskHome
from shared.errors import InputError
from shared.models import Prediction

if TYPE_CHECKING:
    from client.predictions import PredictionLog
    from client.served import Served

log = logging.getLogger(__name__)

CAPACITY = 20_000
AT_ONCE = 2_000
FLUSH_SECONDS = 1.0

Waiting = tuple[float, Prediction, dict[str, Any]]


class Recorder:
    """What was predicted for one task; safe to use from several threads, closed by whoever made it."""

    def __init__(self, place: TaskHome, *, every: float = FLUSH_SECONDS) -> None:
        """Write to the task's log of predictions every so many seconds."""
        self._place, self._every = place, every
        self._waiting: deque[Waiting] = deque()
        self._stopping, self._writing = Event(), Lock()
        self._failing = False
        self.dropped = 0
        self._thread = Thread(target=self._run, name=f"recorder-{place.name}", daemon=True)
        self._thread.start()

    def note(self, prediction: Prediction, record: Mapping[str, Any]) -> None:
        """Keep one prediction and the raw record that it answered."""
        if len(self._waiting) < CAPACITY:
            self._waiting.append((time.time(), prediction, dict(record)))
        else:
            self.dropped += 1

    def note_all(self, answered: Iterable[tuple[Prediction, Mapping[str, Any]]]) -> None:
        """Keep many, and write whenever no more can wait: a row of one question never pushes another out."""
        for prediction, record in answered:
            if len(self._waiting) >= CAPACITY and not self._failing:
                self.flush()
            self.note(prediction, record)

    def outcome(self, prediction: str, label: str) -> bool:
        """Join a label to its prediction; False if that is not here, and the label waits. `InputError` if nothing is kept."""
        try:
            self._flush()
            with self._writing:
                return self._log.outcome(prediction, label)
        except Exception as error:
            raise InputError(f"the outcome was not kept: {error}; tell it again later") from error

    def flush(self) -> None:
        """Write what waits; a failure is logged once and nothing is lost by it yet."""
        try:
            self._flush()
            self._failing = False
        except Exception as error:  # noqa: BLE001 - whatever the disk says, predictions go on
            if not self._failing:
                log.warning("predictions of %s are not recorded now: %s", self._place.name, error)
            self._failing = True

    def close(self) -> None:
        """Write what waits and end."""
        self._stopping.set()
        self._thread.join(5)
        self.flush()
        if "_log" in self.__dict__:
            self._log.close()
        if self.dropped:
            log.warning("%d predictions of %s were never recorded", self.dropped, self._place.name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @cached_property
    def _log(self) -> "PredictionLog":
        from client.housekeeping import open_log

        return open_log(self._place)

    def _run(self) -> None:
        while not self._stopping.wait(self._every):
            self.flush()

    def _flush(self) -> None:
        with self._writing:
            while batch := [self._waiting[row] for row in range(min(len(self._waiting), AT_ONCE))]:
                self._log.add([_served(*one) for one in batch])
                for _ in batch:
                    self._waiting.popleft()


def _served(at: float, prediction: Prediction, record: Mapping[str, Any]) -> "Served":
    from client.served import Served

    return Served(
        id=prediction.id, at=at, release=prediction.release, version=prediction.model_version,
        record={name: _plain(value) for name, value in record.items()}, scores=tuple(prediction.scores.values()),
        label=None, labelled_at=None,
    )  # fmt: skip


def _plain(value: Any) -> float | str | None:
    return value if value is None or isinstance(value, str) else float(value)
