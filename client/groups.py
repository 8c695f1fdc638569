"""Which of the declared groups a device's own rows fall in: each row by itself, whatever it holds."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.drift import group_values
from shared.features import Bucket, Category
from shared.tasks import Task

Indices = NDArray[np.int64]


def cells_of(task: Task, columns: Mapping[str, NDArray[Any]], *places: tuple[Indices, int]) -> Indices:
    """Exact counts of the cells (group, then each of `places`), flat, in the order of `shared.drift.groups_of`.

    `columns` are raw, by name; each of `places` is where every row stands, shape `(rows,)`, and how many places there are.
    A row falls in one cell, so that one row more changes one count by one; what stands beyond the last place is in it.
    """
    nothing = np.zeros(len(places[0][0]))
    groups = [(group_of(task, n, columns.get(n, nothing)), len(group_values(task, n))) for n in task.groups]
    indices, sizes = zip(*groups, *places, strict=True)
    return np.bincount(np.ravel_multi_index(indices, sizes, mode="clip"), minlength=int(np.prod(sizes)))


def group_of(task: Task, name: str, column: NDArray[Any]) -> Indices:
    """Which of a column's groups each row falls in; the last is for what is missing or not declared."""
    for feature in task.features:
        if feature.name == name and isinstance(feature, Category):
            place = {word: index for index, word in enumerate(feature.values)}
            return np.array([place.get(word, len(place)) for word in column], dtype=np.int64)
        if feature.name == name and isinstance(feature, Bucket):
            numbers = column.astype(np.float64)
            inside = np.searchsorted(np.array(feature.edges), numbers, side="right")
            return np.where(np.isnan(numbers), len(feature.edges) + 1, inside).astype(np.int64)
    return np.zeros(len(column), np.int64)
