"""How far a candidate's scores stand from those of the release in force: on the same rows, whichever there are.

Two charged evaluations over the same window are held against each other with the noise of both. Without them both
models score the same rows, the probe set's or made-up ones, and nothing is left to chance.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from server.drift import FLOOR, shifts
from server.estimates import Estimate
from server.gates.verdicts import exact, measured, unmeasured
from server.metrics import FEWEST_DEVIATIONS, Cells
from server.records import GateVerdict
from shared.drift import SCORE, Histogram
from shared.feeds import to_feeds
from shared.runtime import Scores, ask, open_model
from shared.synthetic import make_columns
from shared.tasks import Task

RECORDS = 4096
BINS = 10
NAME = "score drift"

Columns = dict[str, NDArray[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One of the two that are compared: its task, its verified fp32 file, and its evaluation's cells if there are any."""

    task: Task
    fp32: bytes
    cells: Cells | None = None


def hold(
    limit: float | None, candidate: Side, parent: Side | None, *, whose: str, probe: Columns | None
) -> Iterator[GateVerdict]:
    """One verdict where the task declares a limit and a release is in force; `whose` names that release."""
    if limit is None or parent is None:
        return
    parts = parts_of(parent.task, candidate.task)
    if parts is None:
        yield unmeasured(NAME, "at most", limit, f"the classes differ from those of {whose} and no map says how")
    elif candidate.cells and parent.cells and candidate.cells.edges == parent.cells.edges and len(parts) == 1:
        yield _counted(limit, candidate.cells, parent.cells, whose)
    else:
        usable = {*candidate.task.numbers, *candidate.task.texts, *parent.task.numbers, *parent.task.texts} <= set(
            probe or {}
        )
        columns = probe if probe and usable else _made_up(parent.task, candidate.task)
        note = f"{'the probe set' if columns is probe else f'{RECORDS:,} made-up records'}, against {whose}"
        yield exact(NAME, "at most", limit, _by_scores(candidate, parent, parts, columns), note=note)


def parts_of(old: Task, new: Task) -> tuple[int, ...] | None:
    """Which classes of `new` the last class of `old` became; None where nothing says so."""
    last, classes = old.label.classes[-1], new.label.classes
    if old.label.classes == classes:
        return (len(classes) - 1,)
    became = new.revises.classes if new.revises and new.revises.revision == old.revision else {}
    names = became.get(last, (last,) if new.revises else ())
    return tuple(classes.index(name) for name in names if name in classes) or None


def _counted(limit: float, candidate: Cells, parent: Cells, whose: str) -> GateVerdict:
    """What two evaluations say; one of hardly more rows than noise says nothing."""
    note = f"two evaluations of one window, against {whose}"
    if not (_is_told(candidate) and _is_told(parent)):
        return unmeasured(NAME, "at most", limit, f"too few rows beside the noise, {note}")
    return measured(NAME, "at most", limit, _by_counts(candidate, parent), note=note)


def _is_told(cells: Cells) -> bool:
    return bool(cells.counts.sum() > FEWEST_DEVIATIONS * np.sqrt(cells.noise.sum()))


def _by_counts(candidate: Cells, parent: Cells) -> Estimate:
    """The PSI between two noisy score histograms, less what noise adds; noise alone reaches as far as its band."""
    (shift,) = shifts([_histogram(parent)], [_histogram(candidate)], devices=0)
    value = max(0.0, shift.psi)
    return Estimate(value=value, low=max(0.0, shift.psi - shift.noise), high=max(value, shift.psi + shift.noise))


def _histogram(cells: Cells) -> Histogram:
    whole = cells.whole
    noise = float(np.sqrt(whole.noise[0].sum(axis=0).max()))
    return Histogram(name=SCORE, edges=cells.edges, counts=tuple(whole.counts[0].sum(axis=0).tolist()), noise=noise)


def _made_up(*tasks: Task) -> Columns:
    """Records of the columns of several tasks; where they share one, the last task's bounds count."""
    columns: Columns = {}
    for task in tasks:
        columns |= make_columns(task, RECORDS, seed=task.revision)
    return columns


def _by_scores(candidate: Side, parent: Side, parts: tuple[int, ...], columns: Columns) -> float:
    """The PSI between what both answer to the same rows: of the parent's last class, and of what became of it."""
    before, after = _scores(parent, columns)[:, -1], _scores(candidate, columns)[:, list(parts)].sum(axis=1)
    p, q = (_proportions(scores) for scores in (before, after))
    return float(((q - p) * np.log(q / p)).sum())


def _proportions(scores: Scores) -> NDArray[np.float64]:
    counts = np.histogram(np.clip(scores, 0.0, 1.0), BINS, (0.0, 1.0))[0]
    raised = np.maximum(counts / len(scores), FLOOR)
    return np.asarray(raised / raised.sum(), np.float64)


def _scores(side: Side, columns: Columns) -> Scores:
    return ask(open_model(side.fp32), to_feeds(side.task, columns))
