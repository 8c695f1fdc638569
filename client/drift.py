"""Answers a drift survey: counts rows between public edges, adds noise, and says nothing else.

The one file that knows OpenDP. Its noise is the exact discrete Gaussian; its random bits come from OpenSSL's
`rand_bytes` (OpenDP's source, `traits::samplers::fill_bytes` with the feature `use-openssl`, which its published
wheels link), a generator that seeds and reseeds itself from the operating system (OpenSSL's manual, RAND(7)).
There is no way to set a seed.
"""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from client.config import AgentHome
from shared.drift import Bins, DriftReport, Histogram, SurveyPlan, columns_of, edges_of
from shared.features import Category
from shared.tasks import Task

log = logging.getLogger(__name__)

Columns = Mapping[str, NDArray[Any]]


def answer(plan: SurveyPlan, task: Task, home: AgentHome, data: Path) -> DriftReport:
    """Count the plan's window of `data` under the served model; charge `plan.events` to the ledger first.

    What cannot be read is counted as no rows, so that an answer of noise alone never tells why.
    """
    try:
        columns, scores = _scored(plan, task, home, data)
    except Exception as error:  # noqa: BLE001 - rows decided it, so no kind of it may become a refusal (rule 4)
        log.warning("answering the survey with noise alone: %s", error)
        columns = dict.fromkeys((*task.numbers, *task.texts), np.zeros(0))
        scores = np.zeros((0, len(task.label.classes)))
    return report(plan, task, columns=columns, scores=scores)


def _scored(plan: SurveyPlan, task: Task, home: AgentHome, data: Path) -> tuple[Columns, NDArray[np.floating[Any]]]:
    from client.dataset import read_columns
    from client.inference import Predictor

    columns, _ = read_columns(data, task, plan.window)
    return columns, Predictor(home).predict_alone(columns)


def report(plan: SurveyPlan, task: Task, *, columns: Columns, scores: NDArray[np.floating[Any]]) -> DriftReport:
    """Count and add noise.

    `columns` are raw columns by name, each of shape `(rows,)`, as `shared.features.encode_columns` takes them;
    `scores` are the served model's probabilities, shape `(rows, classes)`.
    """
    bins = edges_of(task, plan)
    counts = count(plan, task, columns=columns, scores=scores[:, -1])
    histograms = tuple(
        _histogram(one, add_noise(found, scale=one.noise)) for one, found in zip(bins, counts, strict=True)
    )
    return DriftReport(run_id=plan.run_id, release=plan.release, histograms=histograms)


def count(
    plan: SurveyPlan, task: Task, *, columns: Columns, scores: NDArray[np.floating[Any]]
) -> tuple[NDArray[np.int64], ...]:
    """The exact counts in the order of `edges_of`; `scores` of the last class have shape `(rows,)`.

    Each row falls in exactly one bin of each histogram, whatever it holds. These counts never leave the device.
    """
    score, *others = edges_of(task, plan)
    # A model that answers NaN is counted as certain of the first class, so that no row goes uncounted.
    counts = [_tally(_interval(np.nan_to_num(scores, nan=0.0), score), score)]
    for bins, feature in zip(others, columns_of(task), strict=False):
        column = columns[feature.name]
        index = _position(column, feature) if isinstance(feature, Category) else _interval(column, bins)
        counts.append(_tally(index, bins))
    return tuple(counts)


def _interval(values: NDArray[Any], bins: Bins) -> NDArray[np.int64]:
    """Which interval each value falls in; NaN goes to the bin after the last."""
    numbers = values.astype(np.float64)
    inside = np.searchsorted(np.array(bins.edges[1:-1]), numbers, side="right")
    return np.where(np.isnan(numbers), len(bins.edges) - 1, inside)


def _position(words: NDArray[Any], feature: Category) -> NDArray[np.int64]:
    """Where each word stands in the declared list; any other goes to the bin after the last."""
    place = {word: index for index, word in enumerate(feature.values)}
    return np.array([place.get(word, len(place)) for word in words], dtype=np.int64)


def _tally(index: NDArray[np.int64], bins: Bins) -> NDArray[np.int64]:
    return np.bincount(index, minlength=bins.size)


def add_noise(counts: Sequence[int] | NDArray[np.int64], *, scale: float) -> tuple[float, ...]:
    """Add an independent discrete Gaussian of standard deviation `scale` to each count; negative ones stay."""
    # OpenDP's submodules, because its prelude takes seconds to import.
    from opendp.domains import atom_domain, vector_domain
    from opendp.measurements import make_gaussian
    from opendp.metrics import l2_distance
    from opendp.mod import enable_features

    enable_features("contrib")
    mechanism = make_gaussian(vector_domain(atom_domain(T="i64")), l2_distance(T="f64"), scale=scale)
    return tuple(float(noisy) for noisy in mechanism([int(exact) for exact in counts]))


def _histogram(bins: Bins, counts: tuple[float, ...]) -> Histogram:
    return Histogram(name=bins.name, edges=bins.edges, counts=counts, noise=bins.noise)
