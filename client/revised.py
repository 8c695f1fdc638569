"""Batches of a data file in a task's own columns, whichever revision's names the file uses."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import polars as pl

from client.datafiles import Batch, batches, columns_in
from shared.errors import ContractError
from shared.revisions import sources
from shared.tasks import Task

FIRST_DAY, LAST_DAY = -719_162, 2_932_896
"""The years 1 to 9999, in days from 1970."""


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
        yield batch if read == needed else replace(batch, frame=_renamed(batch.frame, file, held, floats))


def _renamed(
    frame: pl.DataFrame, file: Path, held: Mapping[str, tuple[str, ...]], floats: Collection[str]
) -> pl.DataFrame:
    """The task's columns of one batch; no cast here may end at one row, because all others would go with it."""
    require_words(frame.schema, file)
    sound = frame.with_columns(readable_dates(frame.schema))
    return sound.select(_column(name, columns, sound.schema, floats) for name, columns in held.items())


def _column(name: str, columns: tuple[str, ...], schema: pl.Schema, floats: Collection[str]) -> pl.Expr:
    """The first of the columns that holds a value in this row; where they are of several types, as words or numbers."""
    if not columns:
        return pl.lit(None, pl.String).alias(name)
    if len({schema[column] for column in columns}) == 1:
        return pl.coalesce(columns).alias(name)
    kind = pl.Float64() if name in floats else pl.String()
    return pl.coalesce(pl.col(column).cast(kind, strict=False) for column in columns).alias(name)


def require_words(schema: pl.Schema, file: Path) -> None:
    """Raise `ContractError` for a column of bytes, whatever they are: one row that is no UTF-8 would end the reading."""
    if found := [name for name, kind in schema.items() if kind == pl.Binary]:
        raise ContractError(f"data file {file} holds bytes in the columns {found}; write them as words")


def readable_dates(schema: pl.Schema) -> list[pl.Expr]:
    """Date columns with null for what no calendar shows: Polars ends its work at one such value, and all rows with it."""
    return [
        pl.when(pl.col(name).to_physical().is_between(FIRST_DAY * a_day, LAST_DAY * a_day)).then(pl.col(name))
        for name, kind in schema.items()
        if (a_day := _a_day(kind))
    ]


def _a_day(kind: pl.DataType) -> int:
    """How many of a column's units make a day; 0 for what holds no dates, or none that reach beyond the calendar."""
    if isinstance(kind, pl.Datetime):
        return {"ms": 86_400_000, "us": 86_400_000_000}.get(kind.time_unit, 0)
    return int(kind == pl.Date)
