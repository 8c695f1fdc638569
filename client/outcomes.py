"""Outcomes from a file: what came of earlier predictions, one `id` and `label` a row, each read by itself."""

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, cast

from client.predictions import PredictionLog
from client.served import class_of, word_of
from shared.errors import InputError
from shared.revisions import UNKNOWN
from shared.tasks import Task

NAMED = 20
"""How many bad rows a report names; it counts all."""

BATCH = 1000

Row = tuple[str, Any, Any] | str
"""Where a row stands, its id and its label, as they were written; or why it cannot be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What came of a file: outcomes that found their prediction, ones that wait for it, and rows left out."""

    joined: int
    waiting: int
    bad: int
    reasons: tuple[str, ...]


def import_outcomes(log: PredictionLog, task: Task, path: Path) -> Imported:
    """Join every outcome of a .csv, .parquet or .jsonl file that has the columns `id` and `label`.

    A bad row is counted and named and spoils only itself. Raise `InputError` if the file cannot be read or the log
    cannot be written; importing it again then finishes what was begun and changes nothing else.
    """
    reasons: list[str] = []
    joined = taken = 0
    pairs = _good(_rows(path), task, reasons)
    while batch := list(islice(pairs, BATCH)):
        joined += sum(log.outcomes(batch))
        taken += len(batch)
    return Imported(joined=joined, waiting=taken - joined, bad=len(reasons), reasons=tuple(reasons[:NAMED]))


def check_label(task: Task, label: object) -> str:
    """An outcome in words; raise `InputError` if it is none of the task's."""
    if isinstance(label, (str, int, float)) and class_of(task, word_of(label)) != UNKNOWN:
        return word_of(label)
    raise InputError(
        f"label {ascii(label)[:40]} is no outcome of task {task.name!r}; it knows {list(task.label.classes)}"
    )


def _good(rows: Iterator[Row], task: Task, reasons: list[str]) -> Iterator[tuple[str, str]]:
    for row in rows:
        try:
            yield _checked(row, task)
        except InputError as reason:
            reasons.append(str(reason))


def _checked(row: Row, task: Task) -> tuple[str, str]:
    if isinstance(row, str):
        raise InputError(row)
    where, prediction, label = row
    if not isinstance(prediction, str) or not prediction:
        raise InputError(f"{where} has no id")
    if label is None or label == "":
        raise InputError(f"{where} has no label")
    try:
        return prediction, check_label(task, label)
    except InputError as error:
        raise InputError(f"{where}: {error}") from None


def _rows(path: Path) -> Iterator[Row]:
    readers = {".csv": _csv_rows, ".jsonl": _json_rows, ".parquet": _parquet_rows}
    if path.suffix not in readers:
        raise InputError(f"outcomes file {path} must end in .csv, .jsonl or .parquet")
    try:
        yield from readers[path.suffix](path)
    except OSError as error:
        raise InputError(f"outcomes file {path} cannot be read: {error.strerror or error}") from None


def _lines(path: Path) -> Iterator[tuple[str, str | None]]:
    """Each line that is not blank, None if it is not UTF-8, and where it stands."""
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                text = line.decode("utf-8-sig" if number == 1 else "utf-8").strip("\r\n")
            except UnicodeDecodeError:
                text = None
            if text is None or text.strip():
                yield f"{path.name}, line {number}", text


def _csv_rows(path: Path) -> Iterator[Row]:
    """A line is a row, so that a stray quote swallows none of those after it."""
    lines = _lines(path)
    header = _fields(next(lines, ("", None))[1])
    if not {"id", "label"} <= set(header):
        raise InputError(f"outcomes file {path} must name the columns id and label in its first line")
    for where, line in lines:
        row = dict(zip(header, fields, strict=True)) if len(fields := _fields(line)) == len(header) else None
        yield (where, row["id"], row["label"]) if row else f"{where} does not have {len(header)} fields"


def _fields(line: str | None) -> list[str]:
    """A line's fields; none if its quotes do not match."""
    try:
        return next(csv.reader([line or ""], strict=True), [])
    except csv.Error:
        return []


def _json_rows(path: Path) -> Iterator[Row]:
    for where, line in _lines(path):
        try:
            document: Any = json.loads(line or "")
        except (ValueError, RecursionError):
            document = None
        if isinstance(document, dict):
            fields = cast(dict[str, Any], document)
            yield where, fields.get("id"), fields.get("label")
        else:
            yield f"{where} is not a JSON object"


def _parquet_rows(path: Path) -> Iterator[Row]:
    import polars as pl

    try:
        frame = pl.read_parquet(path, columns=["id", "label"])
    except (FileNotFoundError, pl.exceptions.PolarsError) as error:
        raise InputError(f"outcomes file {path} cannot be read: {str(error).splitlines()[0]}") from None
    for number, (prediction, label) in enumerate(frame.iter_rows(), start=1):
        yield f"{path.name}, row {number}", prediction, label
