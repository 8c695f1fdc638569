"""Bringing another file's rows into the device's data: whole or not at all, and nothing is lost."""

import hashlib
import io
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from client.datafiles import batches, columns_in, data_files
from client.dataset import WHEN, when_of
from shared.contract import NumberRule
from shared.errors import InputError
from shared.files import write_whole
from shared.tasks import Task

_ROW = "@other"


@dataclass(frozen=True, slots=True, kw_only=True)
class Merged:
    """What became of another file's rows: appended to `file`, skipped, or set aside in `conflicts`."""

    appended: int
    equal: int
    conflicting: int
    file: str
    conflicts: str


def merge(data: Path, other: Path, task: Task) -> Merged:
    """Append the rows of `other` whose key the data does not hold; all rows are held in memory meanwhile.

    The key is the contract's `unique`, or the whole row. Equal rows are skipped; one that has a known key and says
    something else goes, as words, to `NAME.conflicts.parquet` beside the data. A directory gets a new file. Raises
    `InputError` where the columns differ or the data changes meanwhile, with the data as it was.
    """
    files = data_files(data)
    before = [_state(file) for file in files]
    _check_columns(files, other)
    rows = _read(other)
    fresh, conflicting = _sort_out(_comparable([_read(file) for file in files], task), _comparable([rows], task), task)
    aside = (data if data.is_dir() else data.parent) / f"{other.name}.conflicts.parquet"
    if conflicting:
        _set_aside(rows[conflicting], aside)
    target = _target(data, other, rows[fresh], task) if fresh else None
    if [_state(file) for file in files] != before:
        raise InputError(f"{data} changed while {other} was being merged, so it was left as it is; try again")
    if target:
        _write(*target)
    return Merged(
        appended=len(fresh), equal=rows.height - len(fresh) - len(conflicting), conflicting=len(conflicting),
        file=str(target[0]) if target else "", conflicts=str(aside) if conflicting else "",
    )  # fmt: skip


def _state(file: Path) -> tuple[int, int, int]:
    status = file.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns


def _check_columns(files: Sequence[Path], other: Path) -> None:
    try:
        theirs = set(columns_in(*data_files(other)))
        for file in files:
            if ours := set(columns_in(file)) ^ theirs:
                raise InputError(f"{file} and {other} do not have the same columns: {sorted(ours)}")
    except (OSError, pl.exceptions.PolarsError, TypeError) as error:
        raise InputError(f"{other} cannot be merged: {str(error).splitlines()[0]}") from None


def _read(file: Path) -> pl.DataFrame:
    """All rows and columns of a file; raise `InputError` where part of it cannot be read, because it would be lost."""
    try:
        found = list(batches(file, columns_in(file)))
    except (OSError, pl.exceptions.PolarsError) as error:
        raise InputError(f"{file} cannot be read: {str(error).splitlines()[0]}") from None
    if lines := [line for batch in found for line in batch.spoilt]:
        raise InputError(f"{file} has lines whose quotes do not match: {lines[:10]}")
    return pl.concat([batch.frame for batch in found])


def _comparable(frames: Sequence[pl.DataFrame], task: Task) -> pl.DataFrame:
    """Rows in one form, whatever file they came from: numbers as numbers, moments as moments, the rest as words."""
    numbers = {*task.numbers, *(rule.name for rule in task.contract.columns if isinstance(rule, NumberRule))}
    names = sorted(frames[0].columns)
    parts: list[pl.DataFrame] = []
    for frame in frames:
        forms = [
            pl.col(name).cast(pl.Float64, strict=False).fill_nan(None)
            if name in numbers
            else pl.col(name).cast(pl.String)
            for name in names
        ]
        moment = when_of(frame.schema, task)
        parts.append(frame.select(moment, *forms) if task.timestamp else frame.select(*forms))
    rows = pl.concat(parts)
    return rows.drop(task.timestamp).rename({WHEN: task.timestamp}) if task.timestamp else rows


def _sort_out(mine: pl.DataFrame, theirs: pl.DataFrame, task: Task) -> tuple[list[int], list[int]]:
    """Which rows of theirs are new, and which contradict a row of mine or an earlier one of theirs, by their index."""
    columns = theirs.columns
    key = list(task.contract.unique) or columns
    rest = theirs.with_row_index(_ROW).join(mine, on=columns, how="anti", nulls_equal=True)
    rest = rest.unique(columns, keep="first", maintain_order=True)
    fresh = rest.join(mine, on=key, how="anti", nulls_equal=True).unique(key, keep="first", maintain_order=True)
    conflicting = rest.join(fresh, on=_ROW, how="anti")
    return sorted(fresh[_ROW]), sorted(conflicting[_ROW])


def _write(path: Path, content: bytes, mode: int) -> None:
    try:
        write_whole(path, content, mode=mode)
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror or error}") from None


def _set_aside(rows: pl.DataFrame, aside: Path) -> None:
    """Add rows to those that were set aside before."""
    words = rows.select(pl.all().cast(pl.String))
    if aside.exists():
        words = pl.concat([pl.read_parquet(aside), words], how="diagonal")
    buffer = io.BytesIO()
    words.unique(maintain_order=True).write_parquet(buffer)
    _write(aside, buffer.getvalue(), 0o600)


def _target(data: Path, other: Path, fresh: pl.DataFrame, task: Task) -> tuple[Path, bytes, int]:
    """The file that the new rows make: its path, its whole content, and its mode."""
    if data.is_dir():
        content = _as_parquet(fresh)
        return data / f"{other.stem}.{hashlib.sha256(content).hexdigest()[:8]}.parquet", content, 0o600
    mode = stat.S_IMODE(data.stat().st_mode)
    return data, (_longer_csv(data, fresh) if data.suffix == ".csv" else _longer_parquet(data, fresh, task)), mode


def _longer_csv(data: Path, fresh: pl.DataFrame) -> bytes:
    before = data.read_bytes()
    if not before.endswith(b"\n"):
        raise InputError(f"the last line of {data} is not finished; merge again once it is")
    words = fresh.select(pl.col(columns_in(data)).cast(pl.String))
    if any(words.select(pl.all().str.contains("[\r\n]").any()).row(0)):
        raise InputError("a word holds a line break, which a CSV file of ours cannot hold; keep the data as Parquet")
    return before + words.write_csv(include_header=False).encode()


def _longer_parquet(data: Path, fresh: pl.DataFrame, task: Task) -> bytes:
    before = pl.read_parquet(data)
    name = task.timestamp
    if name and fresh.schema[name] == pl.String and before.schema[name].is_temporal():
        moments = fresh.with_columns(when_of(fresh.schema, task).alias(name))
        if moments[name].null_count() > fresh[name].null_count():
            raise InputError(f"{name} holds moments that cannot be read, so {data} cannot take them")
        fresh = moments
    try:
        return _as_parquet(pl.concat([before, fresh.select(before.columns).cast({**before.schema})]))
    except pl.exceptions.PolarsError as error:
        raise InputError(f"rows cannot take the types of {data}: {str(error).splitlines()[0]}") from None


def _as_parquet(frame: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.write_parquet(buffer)
    return buffer.getvalue()
