"""The device's own rows: read column by column from Parquet or CSV, kept or dropped one row at a time.

Whether a row counts depends on that row and on the task alone (privacy rule 3): it lies in the window and
its label is known.
"""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shared.errors import ContractError, InputError
from shared.features import encode_columns
from shared.tasks import Task, Threshold, Window


@dataclass(frozen=True, slots=True, kw_only=True)
class Examples:
    """What a network learns from: inputs of shape `(rows, task.inputs)`, labels of shape `(rows,)`."""

    inputs: NDArray[np.float32]
    labels: NDArray[np.int64]


def read_examples(path: Path, task: Task, window: Window) -> Examples:
    """Encode the labelled rows of a window."""
    columns, labels = read_columns(path, task, window)
    return Examples(inputs=encode_columns(task.features, columns), labels=labels)


def no_examples(task: Task) -> Examples:
    """Stand in for a device whose data cannot be read: it still returns noise, so nobody learns that."""
    return Examples(inputs=np.zeros((0, task.inputs), np.float32), labels=np.zeros(0, np.int64))


def read_columns(path: Path, task: Task, window: Window) -> tuple[dict[str, NDArray[Any]], NDArray[np.int64]]:
    """Read raw columns by name, and labels, of the labelled rows of a window.

    Numbers are float32 with NaN where missing, texts are objects with `None` where missing. Raises `InputError`
    when the file cannot be read and `ContractError` when it lacks a column, each naming the file.
    """
    try:
        frame = _labelled(_scan(path, task), task, window).collect()
    except (OSError, pl.exceptions.PolarsError) as error:
        raise InputError(f"data file {path} cannot be read: {str(error).splitlines()[0]}") from None
    numbers = {name: frame[name].to_numpy().astype(np.float32) for name in task.numbers}
    texts = {name: np.array(frame[name].to_list(), dtype=object) for name in task.texts}
    return numbers | texts, frame["@label"].to_numpy().astype(np.int64)


def _scan(path: Path, task: Task) -> pl.LazyFrame:
    """Open the file and check that it has the task's columns; nothing is loaded yet."""
    if path.suffix not in (".parquet", ".csv"):
        raise InputError(f"data file {path} must end in .parquet or .csv")
    if not path.is_file():
        raise InputError(f"data file {path} does not exist")
    frame = pl.scan_parquet(path) if path.suffix == ".parquet" else pl.scan_csv(path, infer_schema=False)
    present = frame.collect_schema().names()
    needed = (*task.numbers, *task.texts, task.label.column, *([task.timestamp] if task.timestamp else []))
    if missing := [name for name in needed if name not in present]:
        raise ContractError(f"data file {path} lacks the columns {missing} of task {task.name!r}")
    return frame


def _labelled(frame: pl.LazyFrame, task: Task, window: Window) -> pl.LazyFrame:
    """Select the task's columns in its types, the label as `@label`, and the rows that count."""
    numbers = [
        pl.col(name).cast(pl.Float64, strict=False).cast(pl.Float32).fill_null(float("nan")) for name in task.numbers
    ]
    texts = [pl.col(name).cast(pl.String) for name in task.texts]
    return _within(frame, task, window).with_columns(_label(task)).filter(pl.col("@label").is_not_null()).select(
        *numbers, *texts, pl.col("@label")
    )  # fmt: skip


def _within(frame: pl.LazyFrame, task: Task, window: Window) -> pl.LazyFrame:
    if task.timestamp is None:
        return frame
    when = pl.col(task.timestamp)
    if frame.collect_schema()[task.timestamp] == pl.String:
        when = when.str.to_datetime(strict=False)
    when = when.cast(pl.Datetime("us"))
    if window.start:
        frame = frame.filter(when >= datetime.fromisoformat(window.start))
    if window.end:
        frame = frame.filter(when < datetime.fromisoformat(window.end))
    return frame


def _label(task: Task) -> pl.Expr:
    """Give the class's number, or null where it is not known."""
    if isinstance(task.label, Threshold):
        value = pl.col(task.label.column).cast(pl.Float64, strict=False).fill_nan(None)
        return (value > task.label.above).cast(pl.Int64).alias("@label")
    classes = list(task.label.classes)
    word = pl.col(task.label.column).cast(pl.String)
    return word.replace_strict(classes, list(range(len(classes))), default=None, return_dtype=pl.Int64).alias("@label")
