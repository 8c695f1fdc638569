"""Batches of a data file in a task's own columns, whichever revision's names the file uses."""

from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path

import polars as pl

from client.datafiles import Batch, batches, columns_in
from shared.errors import ContractError
from shared.revisions import sources
from shared.tasks import Task


def task_batches(file: Path, task: Task, needed: tuple[str, ...], *, floats: Collection[str] = ()) -> Iterator[Batch]:
    """`client.datafiles.batches` of the `needed` columns, each read from where the task's map says it stands.

    Raise `ContractError` for a file that lacks a column.
    """
    present = columns_in(file)
    found = {name: sources(task, name, present) for name in needed}
    if missing := [name for name, columns in found.items() if columns is None]:
        raise ContractError(f"data file {file} lacks the columns {missing} of task {task.name!r}")
    held = {name: columns or () for name, columns in found.items()}
    read = tuple(dict.fromkeys(column for columns in held.values() for column in columns))
    numbers = {column for name, columns in held.items() if name in floats for column in columns}
    whole = {column for name, columns in held.items() if name not in floats for column in columns}
    for batch in batches(file, read, floats=numbers - whole):
        yield batch if read == needed else replace(batch, frame=batch.frame.select(*map(_column, held, held.values())))


def _column(name: str, columns: tuple[str, ...]) -> pl.Expr:
    """The first of the columns that holds a value in this row."""
    return (pl.coalesce(columns) if columns else pl.lit(None, pl.String)).alias(name)
