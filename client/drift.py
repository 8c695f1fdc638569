"""Answers a drift survey: counts rows between public edges, adds noise, and says nothing else.

The noise is the exact discrete Gaussian (`client/discrete.py`), from the operating system's random bits.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from client.config import TaskHome
from client.discrete import discrete_gaussian
from shared.drift import (
    AGREEMENT,
    CELLS,
    CONTRACT,
    OUTCOMES,
    Bins,
    DriftReport,
    Histogram,
    SurveyPlan,
    columns_of,
    edges_of,
)
from shared.errors import InputError
from shared.features import Category
from shared.tasks import Task

log = logging.getLogger(__name__)

T = TypeVar("T")
Columns = Mapping[str, NDArray[Any]]
Scores = NDArray[np.floating[Any]]
Counts = NDArray[np.int64]
Outcomes = Callable[[SurveyPlan, Task, TaskHome], Counts]
"""Counts labelled predictions, each in one cell: by the groups of `shared.drift.groups_of`, then label, then score."""


def answer(
    plan: SurveyPlan, task: Task, place: TaskHome, data: Path | None = None, *, outcomes: Outcomes | None = None
) -> DriftReport:
    """Count the plan's window of `data`, by default what the owner granted; charge `plan.events` to the ledger first.

    What cannot be read is counted as no rows, so that an answer of noise alone never tells why.
    """
    bins = {one.name: one for one in edges_of(task, plan)}
    columns, scores = _or_nothing(lambda: _scored(plan, task, place, data), (_no_columns(task), _no_scores(task)))
    cells: dict[str, Counts] = {}
    if CONTRACT in bins:
        cells[CONTRACT] = _or_nothing(lambda: _rules(plan, task, place, data), _no_counts(bins[CONTRACT]))
    if AGREEMENT in bins:
        nothing = _no_counts(bins[AGREEMENT])
        cells[AGREEMENT] = _or_nothing(lambda: _agreement(plan, task, place, columns, scores), nothing)
    if OUTCOMES in bins and outcomes is not None:
        size = bins[OUTCOMES].size
        cells[OUTCOMES] = _or_nothing(lambda: outcomes(plan, task, place).reshape(size), np.zeros(size, np.int64))
    return report(plan, task, columns=columns, scores=scores, cells=cells)


def answer_without_rows(plan: SurveyPlan, task: Task) -> DriftReport:
    """The answer of a device that has no rows: the same noise, on zeros."""
    return report(plan, task, columns=_no_columns(task), scores=_no_scores(task))


def _or_nothing(count: Callable[[], T], nothing: T) -> T:
    try:
        return count()
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # noqa: BLE001 - rows decided it, a panic in Polars too: no refusal (rule 4)
        log.warning("answering the survey with noise alone: %s", error)
        return nothing


def _scored(plan: SurveyPlan, task: Task, place: TaskHome, data: Path | None) -> tuple[Columns, Scores]:
    from client.dataset import read_columns
    from client.inference import Predictor

    columns, _ = read_columns(data or _granted(place), task, plan.window)
    # The release that the survey is about, whichever answers: one row may have made the device fall back.
    return columns, Predictor(place.releases / str(plan.release)).predict_alone(columns)


def _rules(plan: SurveyPlan, task: Task, place: TaskHome, data: Path | None) -> Counts:
    from client.dataset import count_rules

    return count_rules(data or _granted(place), task, plan.window)


def _agreement(plan: SurveyPlan, task: Task, place: TaskHome, columns: Columns, scores: Scores) -> Counts:
    """The cells (group, answer of the survey's release, answer of the one that is tried beside it) of the same rows.

    Whether that one is here is decided by the rollout and by made-up records, never by a row.
    """
    from client.groups import cells_of
    from client.inference import Predictor

    beside = Predictor(place.beside / str(plan.shadow)).predict_alone(columns)
    classes = len(task.label.classes)
    if {scores.shape[1], beside.shape[1]} != {classes}:
        raise InputError("a release of another revision answers other classes, so there is nothing to compare")
    return cells_of(task, columns, (_answers(scores), classes), (_answers(beside), classes))


def _answers(scores: Scores) -> Counts:
    """Each row's likeliest class; a model that answers NaN counts as having said the first one."""
    return np.nan_to_num(scores, nan=0.0).argmax(axis=1)


def _granted(place: TaskHome) -> Path:
    data = place.home.settings().tasks[place.name].data
    if not data:
        raise InputError(f"{place.name} learns from outcomes alone; it has no rows to count")
    return Path(data)


def _no_counts(bins: Bins) -> Counts:
    return np.zeros(bins.size, np.int64)


def _no_columns(task: Task) -> Columns:
    return dict.fromkeys((*task.numbers, *task.texts), np.zeros(0))


def _no_scores(task: Task) -> Scores:
    return np.zeros((0, len(task.label.classes)))


def report(
    plan: SurveyPlan, task: Task, *, columns: Columns, scores: Scores, cells: Mapping[str, Counts] | None = None
) -> DriftReport:
    """Count and add noise.

    `columns` are raw columns by name, each of shape `(rows,)`, as `shared.features.encode_columns` takes them;
    `scores` are the served model's probabilities, shape `(rows, classes)`; `cells` are the exact counts of the histograms
    `CELLS`, taken as zeros where they are not given.
    """
    bins = edges_of(task, plan)
    counts = count(plan, task, columns=columns, scores=scores[:, -1], cells=cells)
    histograms = tuple(
        _histogram(one, add_noise(found, scale=one.noise)) for one, found in zip(bins, counts, strict=True)
    )
    return DriftReport(run_id=plan.run_id, release=plan.release, histograms=histograms)


def count(
    plan: SurveyPlan, task: Task, *, columns: Columns, scores: Scores, cells: Mapping[str, Counts] | None = None
) -> tuple[Counts, ...]:
    """The exact counts in the order of `edges_of`; `scores` of the last class have shape `(rows,)`.

    Each row falls in exactly one bin of each histogram, whatever it holds. These counts never leave the device.
    """
    score, *others = edges_of(task, plan)
    # A model that answers NaN is counted as certain of the first class, so that no row goes uncounted.
    counts = [_tally(_interval(np.nan_to_num(scores, nan=0.0), score), score)]
    features = {feature.name: feature for feature in columns_of(task)}
    for bins in others:
        if bins.name in CELLS:
            counts.append((cells or {}).get(bins.name, _no_counts(bins)))
            continue
        column, feature = columns[bins.name], features[bins.name]
        index = _position(column, feature) if isinstance(feature, Category) else _interval(column, bins)
        counts.append(_tally(index, bins))
    return tuple(counts)


def _interval(values: NDArray[Any], bins: Bins) -> Counts:
    """Which interval each value falls in; NaN goes to the bin after the last."""
    numbers = values.astype(np.float64)
    inside = np.searchsorted(np.array(bins.edges[1:-1]), numbers, side="right")
    return np.where(np.isnan(numbers), len(bins.edges) - 1, inside)


def _position(words: NDArray[Any], feature: Category) -> Counts:
    """Where each word stands in the declared list; any other goes to the bin after the last."""
    place = {word: index for index, word in enumerate(feature.values)}
    return np.array([place.get(word, len(place)) for word in words], dtype=np.int64)


def _tally(index: Counts, bins: Bins) -> Counts:
    return np.bincount(index, minlength=bins.size)


def add_noise(counts: Sequence[int] | Counts, *, scale: float) -> tuple[float, ...]:
    """Add an independent discrete Gaussian of standard deviation `scale` to each count; negative ones stay."""
    noise = discrete_gaussian(len(counts), scale=scale)
    return tuple(float(int(exact) + drawn) for exact, drawn in zip(counts, noise, strict=True))


def _histogram(bins: Bins, counts: tuple[float, ...]) -> Histogram:
    return Histogram(name=bins.name, edges=bins.edges, counts=counts, noise=bins.noise)
