"""The device's own rows: read column by column from Parquet or CSV, kept or dropped one row at a time.

Whether a row counts depends on that row and on the task alone (privacy rule 3): nothing is inferred from
other rows, neither a type nor a date's format, and a row that cannot be read spoils only itself.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
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


ISO_FORMATS = ("%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d")
"""How a timestamp may be written in CSV."""

_FIELD = rb'(?:[^",]*|"(?:[^"]|"")*")'
_QUOTED = re.compile(_FIELD + rb"(?:," + _FIELD + rb")*")
"""A whole line of CSV (RFC 4180): each field without quotes, or in quotes with those inside it doubled."""

UNKNOWN = -1
"""The label of a row whose outcome is not known, or not one of the task's."""


def read_examples(path: Path, task: Task, window: Window) -> Examples:
    """Encode the rows of a window whose label is known."""
    columns, labels = read_columns(path, task, window)
    known = labels != UNKNOWN
    inputs = encode_columns(task.features, {name: column[known] for name, column in columns.items()})
    return Examples(inputs=inputs, labels=labels[known])


def no_examples(task: Task) -> Examples:
    """Stand in for a device whose data cannot be read: it still returns noise, so nobody learns that."""
    return Examples(inputs=np.zeros((0, task.inputs), np.float32), labels=np.zeros(0, np.int64))


def read_columns(path: Path, task: Task, window: Window) -> tuple[dict[str, NDArray[Any]], NDArray[np.int64]]:
    """Read raw columns by name, and labels (`UNKNOWN` where there is none), of every row of a window.

    Numbers are float32 with NaN where missing, texts are objects with `None` where missing. Raises `InputError`
    when the file cannot be read and `ContractError` when it lacks a column, each naming the file.
    """
    try:
        frame = _select(_within(_scan(path, task), task, window), task).collect()
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
    frame = pl.scan_parquet(path) if path.suffix == ".parquet" else _scan_csv(path)
    present = frame.collect_schema().names()
    needed = (*task.numbers, *task.texts, task.label.column, *([task.timestamp] if task.timestamp else []))
    if missing := [name for name in needed if name not in present]:
        raise ContractError(f"data file {path} lacks the columns {missing} of task {task.name!r}")
    return frame


def _scan_csv(path: Path) -> pl.LazyFrame:
    """Open a CSV file as words, so that nothing is inferred across rows and a bad row spoils only itself.

    A row is a line. One whose quotes do not match is left out: read on, it would swallow the rows after it.
    """
    data = path.read_bytes()
    if b'"' in data:
        data = b"\n".join(
            line for line in data.split(b"\n") if b'"' not in line or _QUOTED.fullmatch(line.rstrip(b"\r"))
        )
    return pl.scan_csv(data, infer_schema=False, ignore_errors=True, truncate_ragged_lines=True, encoding="utf8-lossy")


def _select(frame: pl.LazyFrame, task: Task) -> pl.LazyFrame:
    """Select the task's columns in its types, and the label as `@label`."""
    numbers = [
        pl.col(name).cast(pl.Float64, strict=False).cast(pl.Float32).fill_null(float("nan")) for name in task.numbers
    ]
    return frame.select(*numbers, *(pl.col(name).cast(pl.String) for name in task.texts), _label(task))


def _within(frame: pl.LazyFrame, task: Task, window: Window) -> pl.LazyFrame:
    """Keep the rows of a window; a row without a readable timestamp is in no bounded one."""
    if task.timestamp is None:
        return frame
    when = pl.col(task.timestamp)
    if frame.collect_schema()[task.timestamp] == pl.String:
        when = pl.coalesce(when.str.to_datetime(form, strict=False, time_unit="us") for form in ISO_FORMATS)
    when = when.cast(pl.Datetime("us"))
    if window.start:
        frame = frame.filter(when >= _moment(window.start))
    if window.end:
        frame = frame.filter(when < _moment(window.end))
    return frame


def _moment(text: str) -> datetime:
    """Read a bound; one with a zone is compared in UTC."""
    moment = datetime.fromisoformat(text)
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment


def _label(task: Task) -> pl.Expr:
    """Give the class's number, or null where it is not known."""
    if isinstance(task.label, Threshold):
        value = pl.col(task.label.column).cast(pl.Float64, strict=False).fill_nan(None)
        return (value > task.label.above).cast(pl.Int64).fill_null(UNKNOWN).alias("@label")
    classes = list(task.label.classes)
    word = pl.col(task.label.column).cast(pl.String)
    numbers = list(range(len(classes)))
    return word.replace_strict(classes, numbers, default=UNKNOWN, return_dtype=pl.Int64).alias("@label")
