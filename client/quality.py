"""How well predictions did, once their outcomes came: for this device's owner, and counts for a charged mechanism.

A prediction's scores were fixed before its outcome was known, so each is judged on a row held out from the model that
made it. A report is computed and shown on the device only; nothing of it is ever sent.
"""

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from client.config import TaskHome
from client.housekeeping import open_log
from client.predictions import PredictionLog
from client.served import Served, Value, class_of, number_of
from shared.drift import SurveyPlan, group_values
from shared.features import Bucket
from shared.revisions import UNKNOWN, value_of
from shared.tasks import Task, Window

ALL_TIME = Window()

Judged = tuple[Served, int]
"""A prediction whose outcome came, and its class."""

SMALLEST_PROBABILITY = 1e-7
"""A model that was certain and wrong loses this much and not infinity: float32 tells no less from 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DayLoss:
    """The predictions made on one day (UTC) whose outcome came: means over its rows.

    `brier` sums the squared errors over all classes, so that it lies in [0, 2].
    """

    day: str
    rows: int
    log_loss: float
    brier: float
    accuracy: float


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupRates:
    """One value of a group column: how many rows, how many of the last class, and how often that was found.

    A rate is None where no row could show it.
    """

    column: str
    value: str
    rows: int
    positives: int
    true_positive_rate: float | None
    false_positive_rate: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """Delayed loss by day, oldest first, and rates by group in the task's order; for the owner's eyes only."""

    days: tuple[DayLoss, ...]
    groups: tuple[GroupRates, ...]


def report(log: PredictionLog, task: Task, window: Window = ALL_TIME) -> Quality:
    """Judge every prediction of a window whose outcome came. Raises `InputError` as the log does."""
    values = [group_values(task, column) for column in task.groups]
    days: dict[str, NDArray[np.float64]] = defaultdict(lambda: np.zeros(4))
    groups = [np.zeros((len(names), 2, 2), np.int64) for names in values]
    for one, label in judged(log, task, window):
        days[datetime.fromtimestamp(one.at, UTC).date().isoformat()] += _losses(one.scores, label)
        found = (int(label == len(one.scores) - 1), int(_likeliest(one.scores) == len(one.scores) - 1))
        for column, names, counts in zip(task.groups, values, groups, strict=True):
            counts[(_group(task, column, names, one.record), *found)] += 1
    rates = (
        _rates(column, name, counts[index])
        for column, names, counts in zip(task.groups, values, groups, strict=True)
        for index, name in enumerate(names)
    )
    return Quality(days=tuple(_day(day, days[day]) for day in sorted(days)), groups=tuple(rates))


def outcomes(plan: SurveyPlan, task: Task, place: TaskHome) -> NDArray[np.int64]:
    """Count for a survey: the outcomes of predictions made since its release was installed, as that release scores them.

    Which release answered at the time is left aside, because rows may have made the device fall back from one; and
    rows from before could have taught this one.
    """
    from client.inference import Predictor

    directory = place.releases / str(plan.release)
    installed_at = (directory / "release.json").stat().st_mtime
    with closing(open_log(place)) as log:
        rows = [row for row in judged(log, task, plan.window) if row[0].at >= installed_at]
    scores = Predictor(directory).predict_alone(_columns(task, rows))[:, -1] if rows else np.zeros(0)
    return outcome_cells(task, rows, scores, bins=plan.score_bins)


def outcome_cells(
    task: Task, rows: Sequence[Judged], scores: NDArray[np.floating[Any]], *, bins: int
) -> NDArray[np.int64]:
    """Exact counts of shape `(groups, classes, bins)`; they never leave without noise and a charge.

    `scores` are each row's score of the last class, shape `(rows,)`; `bins` part them evenly over [0, 1]. Groups stand
    in the order of `shared.drift.groups_of`. A row falls in one cell, whatever it holds, so that adding or removing
    one changes one count by one (privacy rule 13).
    """
    values = [group_values(task, column) for column in task.groups]
    cells = np.zeros((*map(len, values), len(task.label.classes), bins), np.int64)
    for (one, label), score in zip(rows, scores.tolist(), strict=True):
        group = (_group(task, *pair, one.record) for pair in zip(task.groups, values, strict=True))
        cells[(*group, label, _bin(score, bins))] += 1
    return cells.reshape(-1, len(task.label.classes), bins)


def _columns(task: Task, rows: Sequence[Judged]) -> dict[str, NDArray[Any]]:
    """Raw columns; a value that the task no longer takes counts as missing, in its own row alone."""
    records = [one.record for one, _ in rows]
    numbers = {name: np.array([number_of(value_of(task, record, name)) for record in records]) for name in task.numbers}
    words = {name: [value_of(task, record, name) for record in records] for name in task.texts}
    texts = {
        name: np.array([word if isinstance(word, str) else None for word in column], dtype=object)
        for name, column in words.items()
    }
    return numbers | texts


def _group(task: Task, column: str, names: tuple[str, ...], record: Mapping[str, Value]) -> int:
    """Which of a column's groups a record falls in; the last is for what is missing or not declared."""
    value, last = value_of(task, record, column), len(names) - 1
    edges = next((f.edges for f in task.features if f.name == column and isinstance(f, Bucket)), None)
    if edges is None:
        return names.index(value) if value in names[:last] else last
    number = number_of(value)
    return last if math.isnan(number) else int(np.searchsorted(edges, number, side="right"))


def judged(log: PredictionLog, task: Task, window: Window) -> Iterator[Judged]:
    """Predictions whose outcome is one of the task's, with its class."""
    for one in log.judged(window):
        label = class_of(task, one.label or "", at=one.at)
        if label != UNKNOWN and len(one.scores) == len(task.label.classes):
            yield one, label


def _losses(scores: tuple[float, ...], label: int) -> NDArray[np.float64]:
    """One row: log loss, Brier score, whether it was right, and 1 to count it."""
    probabilities = np.nan_to_num(np.array(scores, dtype=np.float64))
    log_loss = -math.log(min(max(probabilities[label], SMALLEST_PROBABILITY), 1.0))
    brier = float(np.sum((probabilities - (np.arange(len(scores)) == label)) ** 2))
    return np.array([log_loss, brier, _likeliest(scores) == label, 1.0])


def _likeliest(scores: tuple[float, ...]) -> int:
    return scores.index(max(scores))


def _bin(score: float, bins: int) -> int:
    """Which bin a score falls in; NaN counts as certain of the first class, as in a survey."""
    return 0 if math.isnan(score) else min(int(min(max(score, 0.0), 1.0) * bins), bins - 1)


def _day(day: str, sums: NDArray[np.float64]) -> DayLoss:
    log_loss, brier, accuracy = (sums[:3] / sums[3]).tolist()
    return DayLoss(day=day, rows=int(sums[3]), log_loss=log_loss, brier=brier, accuracy=accuracy)


def _rates(column: str, value: str, counts: NDArray[np.int64]) -> GroupRates:
    """From counts by (is of the last class, was said to be)."""
    negatives, positives = counts.sum(axis=1).tolist()
    return GroupRates(
        column=column,
        value=value,
        rows=negatives + positives,
        positives=positives,
        true_positive_rate=int(counts[1, 1]) / positives if positives else None,
        false_positive_rate=int(counts[0, 1]) / negatives if negatives else None,
    )
