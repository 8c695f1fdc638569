"""From raw columns to what a released model takes: `numbers`, and `texts` where the task has words."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shared.tasks import Task

SCORES = "scores"
"""A model's one output: each class's probability, float32 of shape `(rows, classes)`."""

Feeds = dict[str, NDArray[Any]]


def to_feeds(task: Task, columns: Mapping[str, NDArray[Any]]) -> Feeds:
    """Raw columns by name, each of shape `(rows,)`, to `numbers` float32 and `texts` of shape `(rows, columns)`.

    Numbers are NaN where missing; words are `None` where missing and travel as the empty word.
    """
    rows = len(next(iter(columns.values()))) if columns else 0
    with np.errstate(over="ignore"):
        numbers = [columns[name].astype(np.float32) for name in task.numbers]
    feeds: Feeds = {"numbers": _table(numbers, rows, np.float32)}
    if task.texts:
        words = [["" if word is None else word for word in columns[name].tolist()] for name in task.texts]
        feeds["texts"] = _table(words, rows, object)
    return feeds


def _table(columns: Sequence[ArrayLike], rows: int, dtype: Any) -> NDArray[Any]:
    table = np.empty((rows, len(columns)), dtype=dtype)
    for index, column in enumerate(columns):
        table[:, index] = column
    return table
