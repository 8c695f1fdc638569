"""Reads the words of an earlier revision of a task under the newer one: each row by itself, by the map that was signed."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TypeVar

from shared.tasks import Task

T = TypeVar("T")

UNKNOWN = -1
"""The class of a word that is none of the task's, or an old one that was split: nothing says into which part it fell."""


def current_words(task: Task) -> dict[str, int]:
    """Class numbers by word, in today's words; one that is no class any more can only mean what it meant before."""
    return {**_old(task), **{name: number for number, name in enumerate(task.label.classes)}}


def former_words(task: Task) -> dict[str, int]:
    """Class numbers by word, in the words of the revision that this one revises."""
    return {**{name: number for number, name in enumerate(task.label.classes)}, **_old(task)}


def words_at(task: Task, at: float) -> dict[str, int]:
    """The words in use at a time (UTC seconds)."""
    changed = changed_at(task)
    return (
        former_words(task)
        if changed is not None and at < changed.replace(tzinfo=UTC).timestamp()
        else current_words(task)
    )


def changed_at(task: Task) -> datetime | None:
    """When the words changed, in UTC without a zone; None where the task names no such time."""
    if task.revises is None or not task.revises.since:
        return None
    moment = datetime.fromisoformat(task.revises.since)
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment


def sources(task: Task, column: str, present: Sequence[str]) -> tuple[str, ...] | None:
    """Which of the columns that are `present` may hold a column's value, the first that does counts.

    Empty where a row of the earlier revision has none; None where the column is simply lacking.
    """
    earlier = task.revises.columns.get(column) if task.revises else None
    found = tuple(name for name in (column, *(earlier or ())) if name in present)
    return found if found or earlier == () else None


def value_of(task: Task, record: Mapping[str, T | None], column: str) -> T | None:
    """What a record says of a column, under its own name or an earlier one; None where nothing does."""
    held = (record[name] for name in sources(task, column, tuple(record)) or ())
    return next((value for value in held if value is not None), None)


def _old(task: Task) -> dict[str, int]:
    became = task.revises.classes if task.revises else {}
    numbers = {name: number for number, name in enumerate(task.label.classes)}
    return {old: numbers[new[0]] if len(new) == 1 else UNKNOWN for old, new in became.items()}
