"""The loss of predictions whose outcome is known, survey by survey: read off noisy cells of (group, label, score bin).

A row's score is taken as the middle of its bin, and its loss is -ln of what that gives to its own class: of the last
class, or of all others together. Only already noisy counts go in.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from server.metrics import FEWEST_DEVIATIONS, read
from server.records import SurveyResult
from shared.drift import OUTCOMES
from shared.tasks import Task, Window


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """The mean log loss of a window's rows in nats, and its standard deviation: of the noise and of who came by."""

    window: Window
    value: float
    deviation: float


def loss_of(survey: SurveyResult, task: Task) -> Loss | None:
    """A survey's loss; None where it counted no outcomes, or too few rows to stand out of their noise.

    Raise `InputError` where its cells are of another revision of the task.
    """
    found = next((each for each in survey.histograms if each.name == OUTCOMES), None)
    if found is None:
        return None
    cells = read(found, task, task.drift.score_bins)
    rows = float(cells.counts.sum())
    if rows <= FEWEST_DEVIATIONS * math.sqrt(float(cells.noise.sum())):
        return None
    middles = (np.array(cells.edges[:-1]) + np.array(cells.edges[1:])) / 2
    each = -np.log(np.stack([1 - middles, middles]))
    value = float((cells.counts * each).sum()) / rows
    variance = float(((each - value) ** 2 * (cells.noise + np.maximum(cells.counts, 0.0))).sum())
    return Loss(window=survey.window, value=value, deviation=math.sqrt(variance) / rows)


def losses(surveys: Iterable[SurveyResult], task: Task) -> tuple[Loss, ...]:
    """The losses of those surveys that tell one, in their order."""
    return tuple(loss for loss in (loss_of(survey, task) for survey in surveys) if loss is not None)
