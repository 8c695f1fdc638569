"""The measure that the private model is held against: the same rows, pooled, without any privacy.

It is a generous one: five seeds, two architectures, and the best epoch of each as the test rows themselves judge it.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from client.inputs import Examples
from shared.tasks import Task
from simulations import evaluation

SEEDS, EPOCHS = 5, 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Best:
    """The best of several trainings, and what it was."""

    auc: float
    architecture: str


def auc(scores: NDArray[np.floating], labels: NDArray[np.int64]) -> float:
    """Area under the ROC curve; both of shape `(rows,)`, labels 0 or 1. NaN where one class is missing."""
    found = evaluation.auc(scores, labels == 1)
    return math.nan if found is None else found


def best_central(task: Task, train: Examples, test: Examples) -> Best:
    """Train every architecture from every seed; keep the best AUC that any of them has after any epoch."""
    from simulations.pooled import trainings

    trials = (
        Best(auc=auc(scores[:, 1] - scores[:, 0], test.labels), architecture=name)
        for name, every in trainings(task, train, test, seeds=SEEDS, epochs=EPOCHS)
        for scores in every
    )
    return max(trials, key=lambda trial: trial.auc)


def pool(parts: list[Examples]) -> Examples:
    """Put several devices' rows into one heap, as nobody in the federation can."""
    return Examples(
        inputs=np.concatenate([part.inputs for part in parts]), labels=np.concatenate([part.labels for part in parts])
    )
