"""Made-up records, drawn from a task's declared bounds alone: what a model is calibrated and tried on.

No example comes near: the same task and seed give the same records everywhere.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.features import Bucket, Category, Cycle, Feature, Number
from shared.tasks import Task

MISSING_RATE = 0.1
WILD_NUMBERS = (np.inf, -np.inf, 0.0, -0.0, 1e30, -1e30, 1e-30)
WILD_WORDS = ("", "nobody declared this", "\N{BIRD}", " ")


def make_columns(task: Task, rows: int, *, seed: int, wild: bool = False) -> dict[str, NDArray[Any]]:
    """Raw columns by name, each of shape `(rows,)`; `wild` adds values that the task did not declare."""
    random = np.random.Generator(np.random.PCG64(seed))
    columns: dict[str, NDArray[Any]] = {}
    for name in task.numbers:
        columns[name] = _numbers([f for f in task.features if f.name == name], rows, random, wild=wild)
    for name in task.texts:
        columns[name] = _words([f for f in task.features if f.name == name], rows, random, wild=wild)
    return columns


def to_records(columns: dict[str, NDArray[Any]]) -> list[dict[str, Any]]:
    """The rows of `columns`, as an application would ask about them."""
    values = [column.tolist() for column in columns.values()]
    return [dict(zip(columns, row, strict=True)) for row in zip(*values, strict=True)]


def _numbers(features: list[Feature], rows: int, random: np.random.Generator, *, wild: bool) -> NDArray[np.float32]:
    bounds = [_span(feature) for feature in features]
    low, high = min(low for low, _ in bounds), max(high for _, high in bounds)
    margin = (high - low) if wild else 0.0
    values = random.uniform(low - margin, high + margin, rows).astype(np.float32)
    if wild:
        values = _sprinkle(values, WILD_NUMBERS, random)
    return _sprinkle(values, (np.nan,), random)


def _words(features: list[Feature], rows: int, random: np.random.Generator, *, wild: bool) -> NDArray[Any]:
    declared = [word for feature in features if isinstance(feature, Category) for word in feature.values]
    values = np.array(declared, dtype=object)[random.integers(len(declared), size=rows)]
    if wild:
        values = _sprinkle(values, WILD_WORDS, random)
    return _sprinkle(values, (None,), random)


def _sprinkle(values: NDArray[Any], others: Iterable[Any], random: np.random.Generator) -> NDArray[Any]:
    """Put one of `others` in place of about one value in ten."""
    choices = np.array(tuple(others), dtype=values.dtype)
    chosen = random.random(len(values)) < MISSING_RATE
    return np.where(chosen, choices[random.integers(len(choices), size=len(values))], values)


def _span(feature: Feature) -> tuple[float, float]:
    """The declared range of a numeric feature; for edges, half their span beyond either end."""
    match feature:
        case Number():
            return feature.low, feature.high
        case Cycle():
            return 0.0, feature.period
        case Bucket():
            margin = max(feature.edges[-1] - feature.edges[0], 1.0) / 2
            return feature.edges[0] - margin, feature.edges[-1] + margin
        case Category():
            raise TypeError(f"{feature.name} holds words")
