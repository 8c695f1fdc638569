"""What a version answers to the fleet's rows, whole or day by day, and the counts that devices make of outcomes."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
from numpy.typing import NDArray

from server.losses import Loss, loss_of
from server.records import SurveyResult
from shared.drift import OUTCOMES, Histogram
from shared.tasks import Task, Window

Cells = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """Each row's score of the last class, its class, its time (microseconds since 1970) and its device; all `(rows,)`."""

    scores: NDArray[np.float64]
    labels: NDArray[np.int64]
    times: NDArray[np.int64]
    owner: NDArray[np.int64]
    devices: int

    def cells(self, day: date, *, bins: int) -> Cells:
        """Exact counts of a day's rows by device, class and score bin, `(devices, 2, bins)`; none of them is told by anyone."""
        inside = self.times // 86_400_000_000 == day.toordinal() - date(1970, 1, 1).toordinal()
        places = np.minimum((self.scores[inside] * bins).astype(np.int64), bins - 1)
        flat = (self.owner[inside] * 2 + self.labels[inside]) * bins + places
        return np.bincount(flat, minlength=self.devices * 2 * bins).reshape(self.devices, 2, bins)


def days(first: date, last: date) -> Sequence[date]:
    """Each day from `first` on, before `last`."""
    return [first + timedelta(days=number) for number in range((last - first).days)]


def one_day(day: date) -> Window:
    """That day."""
    return Window(start=str(day), end=str(day + timedelta(days=1)))


def exact_loss(task: Task, cells: Cells, day: date) -> Loss | None:
    """A day's loss as `server.losses` has it, had nobody added noise; cells of shape `(devices, 2, bins)`."""
    counts = cells.sum(axis=0).ravel()
    exact = Histogram(name=OUTCOMES, edges=edges(len(counts)), counts=tuple(map(float, counts)), noise=0.0)
    return loss_of(told(task, one_day(day), (exact,)), task)


def edges(cells: int) -> tuple[float, ...]:
    """Where cells are counted."""
    return tuple(map(float, range(cells + 1)))


def told(task: Task, window: Window, histograms: tuple[Histogram, ...]) -> SurveyResult:
    """A survey of histograms alone, for those who read them."""
    return SurveyResult(
        run_id=0, task=task.name, release=1, role="current", window=window, devices=1, histograms=histograms, at=0.0
    )
