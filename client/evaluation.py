"""Answers an evaluation: scores labelled rows under weights that came with it, counts them in cells, and adds noise.

The network is NumPy's (`client/light`), so that every device can answer, and the weights are as they were committed: a
release would have been signed for them only if they had been found good. The noise is the exact discrete Gaussian.
"""

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from client.config import TaskHome
from client.drift import add_noise
from client.groups import cells_of
from shared.drift import Histogram
from shared.evaluation import EvaluationPlan, EvaluationReport, bins_of
from shared.features import encode_columns
from shared.revisions import UNKNOWN
from shared.tasks import Task

log = logging.getLogger(__name__)

Weights = NDArray[np.float32]
Scores = NDArray[np.float32]
Counts = NDArray[np.int64]
Columns = Mapping[str, NDArray[Any]]


def answer(plan: EvaluationPlan, task: Task, place: TaskHome, weights: Weights) -> EvaluationReport:
    """Count what the owner granted; charge `plan.event` to the ledger first. `weights` have shape `(size,)`.

    What cannot be read is counted as no rows, so that an answer of noise alone never tells why.
    """
    try:
        counts = _counted(plan, task, place, weights)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # noqa: BLE001 - rows decided it, a panic in Polars too: no refusal (rule 4)
        log.warning("answering the evaluation with noise alone: %s", error)
        return answer_without_rows(plan, task)
    return report(plan, task, counts)


def answer_without_rows(plan: EvaluationPlan, task: Task) -> EvaluationReport:
    """The answer of a device that has no rows: the same noise, on zeros."""
    return report(plan, task, np.zeros(bins_of(task, plan).size, np.int64))


def report(plan: EvaluationPlan, task: Task, counts: Counts) -> EvaluationReport:
    """Add noise to exact counts of shape `(cells,)`."""
    bins = bins_of(task, plan)
    noisy = add_noise(counts, scale=bins.noise)
    cells = Histogram(name=bins.name, edges=bins.edges, counts=noisy, noise=bins.noise)
    return EvaluationReport(run_id=plan.run_id, version=plan.version, cells=cells)


def count(task: Task, columns: Columns, labels: Counts, scores: NDArray[np.floating[Any]], *, bins: int) -> Counts:
    """Exact counts of shape `(cells,)`; they never leave without noise and a charge.

    `columns` are raw, `labels` classes and `scores` those of the last class, each of shape `(rows,)`. A row falls in one
    cell, whatever it holds and whatever rows stand beside it, so that one row more changes one count by one (rule 13).
    """
    # A row whose score is NaN counts as certain of the first class, as in a survey, so that none goes uncounted.
    places = np.clip(np.nan_to_num(scores, nan=0.0) * bins, 0, bins - 1).astype(np.int64)
    return cells_of(task, columns, (labels, len(task.label.classes)), (places, bins))


def scored(task: Task, weights: Weights, inputs: NDArray[np.float32]) -> Scores:
    """Each row's score of the last class, shape `(rows,)`, for encoded inputs of shape `(rows, inputs)`.

    Row by row, from one place in memory: a product of matrices may round a row by what stands beside it, and in
    another cell it would count twice (rule 3).
    """
    from client.light.network import Network

    network, row = Network(task, weights), np.empty(task.inputs, np.float32)
    scores = np.empty(len(inputs), np.float32)
    with np.errstate(all="ignore"):  # the coordinator chooses the weights: what overflows is NaN, and counted so
        for place, values in enumerate(inputs):
            row[:] = values
            scores[place] = network.score(row)[-1]
    return scores


def _counted(plan: EvaluationPlan, task: Task, place: TaskHome, weights: Weights) -> Counts:
    """Rows of the owner's file, and predictions whose outcome came; a label that a rule guessed is no truth."""
    from client.dataset import labelled
    from client.examples import outcomes_of

    data = place.home.settings().tasks[place.name].data
    counts = np.zeros(bins_of(task, plan).size, np.int64)
    known = replace(task, labelling=None)
    for columns, labels in labelled(
        Path(data) if data else None, known, plan.window, outcomes_of(place, task, plan.window)
    ):
        told = labels != UNKNOWN
        rows = {name: column[told] for name, column in columns.items()}
        scores = scored(task, weights, encode_columns(task.features, rows))
        counts += count(task, rows, labels[told], scores, bins=plan.score_bins)
    return counts
