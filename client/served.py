"""One prediction that was served, how it is written before it is sealed, and what its outcome means to a task."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from shared.revisions import UNKNOWN, current_words, words_at
from shared.tasks import Measured, Task

Value = float | str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A prediction: when (UTC seconds), by which release of which version, for what, and each class's probability.

    `label` is what came of it: a class's word, or a number for a task with a threshold; None while nobody knows.
    """

    id: str
    at: float
    release: int
    version: int
    record: Mapping[str, Value]
    scores: tuple[float, ...]
    label: str | None = None
    labelled_at: float | None = None


def pack(one: Served) -> bytes:
    """Everything but the outcome, padded, so that a length tells little of the words in a record."""
    fields = [one.id, one.at, one.release, one.version, one.record, one.scores]
    return _padded(json.dumps(fields, separators=(",", ":"), default=float).encode(), 64)


def pack_outcome(label: str, at: float) -> bytes:
    """An outcome, padded, so that a length does not tell one class from another."""
    return _padded(json.dumps([label, at], separators=(",", ":")).encode(), 64)


def unpack(data: bytes) -> Served:
    """Undo `pack`."""
    prediction, at, release, version, record, scores = json.loads(data)
    return Served(id=prediction, at=at, release=release, version=version, record=record, scores=tuple(scores))


def with_outcome(one: Served, data: bytes) -> Served:
    """Undo `pack_outcome` and join it."""
    label, at = json.loads(data)
    return replace(one, label=label, labelled_at=at)


def word_of(label: object) -> str:
    """An outcome as it is kept: words as they are, numbers in words, a truth value as 1 or 0."""
    return str(int(label)) if isinstance(label, bool) else str(label)


def class_of(task: Task, outcome: str, *, at: float | None = None) -> int:
    """The number of the class that an outcome names, or `UNKNOWN`; in the words of the time `at` (UTC seconds), or today's.

    Where a number decides the label, an outcome that names no class may be that number.
    """
    words = current_words(task) if at is None else words_at(task, at)
    if outcome in words:
        return words[outcome]
    if isinstance(task.label, Measured) and not math.isnan(value := number_of(outcome)):
        return sum(value > cut for cut in task.label.cuts)
    return UNKNOWN


def number_of(value: Any) -> float:
    """A number, or one in words; NaN for anything else."""
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan


def _padded(data: bytes, step: int) -> bytes:
    """Fill up with spaces, which JSON does not mind, to a whole number of steps."""
    return data.ljust(-(-len(data) // step) * step)
