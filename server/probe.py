"""The operator's own public rows with known outcomes: what a version answers to them, counted as an evaluation counts."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from server.metrics import Cells
from shared.drift import group_values, groups_of
from shared.errors import InputError
from shared.features import Bucket, Category
from shared.feeds import to_feeds
from shared.runtime import ask, open_model
from shared.tasks import Measured, Task

BINS = 50
UNKNOWN = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """Labelled rows: raw columns by name, each row's class by number, and its group by its place among the task's."""

    columns: dict[str, NDArray[Any]]
    labels: NDArray[np.int64]
    groups: NDArray[np.int64]
    left_out: int = 0

    @property
    def said(self) -> str:
        """What stands beside a figure that came of these rows."""
        return f"probe set of {len(self.labels):,} rows"


def read_probe(file: Path, task: Task) -> Probe:
    """The rows of a CSV or Parquet file whose outcome is known; raise `InputError` where it cannot be used."""
    try:
        frame = pl.read_parquet(file) if file.suffix == ".parquet" else pl.read_csv(file, infer_schema=False)
        numbers = frame.select(pl.col(name).cast(pl.Float64, strict=False) for name in task.numbers)
        words = frame.select(pl.col(name).cast(pl.String) for name in task.texts)
        labels = frame.select(_label(task)).to_series().to_numpy().astype(np.int64)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise InputError(f"probe set {file} cannot be used: {str(error).splitlines()[0]}") from None
    known = labels != UNKNOWN
    if not known.any():
        raise InputError(f"probe set {file} holds no row whose {task.label.column!r} is known")
    columns: dict[str, NDArray[Any]] = {
        **{column.name: column.fill_null(float("nan")).to_numpy()[known] for column in numbers},
        **{column.name: np.array(column.to_list(), dtype=object)[known] for column in words},
    }
    return Probe(
        columns=columns,
        labels=labels[known],
        groups=_groups(task, columns, int(known.sum())),
        left_out=int((~known).sum()),
    )


def cells_of(probe: Probe, task: Task, fp32: bytes) -> Cells:
    """What the file answers, as cells without noise: bounds read off them are those of plain sampling."""
    scores = ask(open_model(fp32), to_feeds(task, probe.columns))[:, -1]
    bins = np.clip((scores * BINS).astype(np.int64), 0, BINS - 1)
    last = (probe.labels == len(task.label.classes) - 1).astype(np.int64)
    counts = np.zeros((len(groups_of(task)), 2, BINS))
    np.add.at(counts, (probe.groups, last, bins), 1.0)
    edges = tuple(bin_ / BINS for bin_ in range(BINS + 1))
    return Cells(groups=groups_of(task), counts=counts, noise=np.zeros_like(counts), edges=edges)


def _label(task: Task) -> pl.Expr:
    """Each row's class by number, `UNKNOWN` where the outcome is none of the task's."""
    column = pl.col(task.label.column)
    if isinstance(task.label, Measured):
        value = column.cast(pl.Float64, strict=False).fill_nan(None)
        return sum(((value > cut).cast(pl.Int64) for cut in task.label.cuts), pl.lit(0)).fill_null(UNKNOWN)
    classes = list(task.label.classes)
    return column.cast(pl.String).replace_strict(
        classes, list(range(len(classes))), default=UNKNOWN, return_dtype=pl.Int64
    )


def _groups(task: Task, columns: dict[str, NDArray[Any]], rows: int) -> NDArray[np.int64]:
    """Each row's place in `groups_of`: the columns `task.groups` combined, the last one turning fastest."""
    place = np.zeros(rows, np.int64)
    for name in task.groups:
        place = place * len(group_values(task, name)) + _values(task, name, columns, rows)
    return place


def _values(task: Task, name: str, columns: dict[str, NDArray[Any]], rows: int) -> NDArray[np.int64]:
    """Each row's place among what a group column declares; what is missing or not declared comes last."""
    other = len(group_values(task, name)) - 1
    for feature in task.features:
        if feature.name == name and isinstance(feature, Category):
            numbers = {word: number for number, word in enumerate(feature.values)}
            return np.array([numbers.get(word, other) for word in columns[name]], np.int64)
        if feature.name == name and isinstance(feature, Bucket):
            values = columns[name].astype(np.float64)
            return np.where(np.isnan(values), other, np.searchsorted(feature.edges, values, side="right"))
    return np.full(rows, other, np.int64)
