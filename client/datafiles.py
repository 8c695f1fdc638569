"""The files that a device's rows lie in: one file or a directory of them, read in batches of raw rows.

Nothing is inferred from one row about another, and memory does not grow with the file. A directory is looked at
anew each time: new files and appended lines are picked up, what is not finished yet is left for the next look.
"""

import os
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shared.errors import InputError

SUFFIXES = (".parquet", ".csv")

ASIDE = (".quarantine.parquet", ".conflicts.parquet")
"""What the agent itself puts beside the data is never data."""

ROW = "@row"
"""Where a row stands: the line in a CSV file, the row in a Parquet file, both counted from 1; null if not known."""

BATCH_ROWS = 262_144
BLOCK_BYTES = 4 * 2**20

FEW = 16
"""A column has few words if each comes this often on average."""

_FIELD = rb'(?:[^",]*|"(?:[^"]|"")*")'
_QUOTED = re.compile(_FIELD + rb"(?:," + _FIELD + rb")*")
"""A whole line of CSV (RFC 4180): each field without quotes, or in quotes with those inside it doubled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Raw rows of one file, where each stands, and the CSV lines that are no row because their quotes do not match."""

    file: Path
    frame: pl.DataFrame
    places: Sequence[int]
    spoilt: tuple[int, ...] = ()

    def located(self) -> pl.DataFrame:
        """The rows with `ROW`."""
        known = self.frame.height == len(self.places)
        places = pl.Series(ROW, self.places, dtype=pl.UInt64) if known else pl.lit(None, pl.UInt64)
        return self.frame.with_columns(places.alias(ROW))


def data_files(path: Path) -> tuple[Path, ...]:
    """The file itself, or a directory's Parquet and CSV files by name; raise `InputError` if there is none to read.

    Hidden files, other endings and what the agent puts beside the data are passed over.
    """
    if path.is_dir():
        found = sorted(file for file in path.iterdir() if _is_data(file))
        if not found:
            raise InputError(f"data directory {path} holds no .parquet or .csv file")
        return tuple(found)
    if path.suffix not in SUFFIXES:
        raise InputError(f"data file {path} must end in .parquet or .csv, or be a directory of such files")
    if not path.is_file():
        raise InputError(f"data file {path} does not exist")
    return (path,)


def _is_data(file: Path) -> bool:
    hidden = file.name.startswith((".", "~", "_"))
    return not hidden and file.suffix in SUFFIXES and not file.name.endswith(ASIDE) and file.is_file()


def columns_in(file: Path) -> list[str]:
    """The names of a file's columns; raise `OSError` or a Polars error where they cannot be read."""
    if file.suffix == ".parquet":
        return list(pl.read_parquet_schema(file))
    with file.open("rb") as source:
        return _names(_header(file, source))


def batches(file: Path, columns: Sequence[str], *, floats: Collection[str] = ()) -> Iterator[Batch]:
    """Read a file's rows in order, the first batch without any; only the named columns.

    A Parquet file's are as they are typed, a CSV file's are words, but for `floats`, which are numbers or null. Raises
    `OSError`, `InputError` or a Polars error.
    """
    return _parquet(file, columns) if file.suffix == ".parquet" else _csv(file, columns, floats)


def rows_said(path: Path) -> int:
    """How many rows the Parquet files here say they hold, to lay out memory by; it may be wrong."""
    said = 0
    for file in data_files(path):
        if file.suffix == ".parquet":
            with suppress(OSError, pl.exceptions.PolarsError):
                said += pl.scan_parquet(file).select(pl.len()).collect().item()
    return said


def _parquet(file: Path, columns: Sequence[str]) -> Iterator[Batch]:
    rows, first = pl.scan_parquet(file).select(*columns), 1
    yield Batch(file=file, frame=rows.head(0).collect(), places=())
    for frame in rows.collect_batches(chunk_size=BATCH_ROWS, maintain_order=True):
        yield Batch(file=file, frame=frame, places=range(first, first + frame.height))
        first += frame.height


def _csv(file: Path, columns: Sequence[str], floats: Collection[str]) -> Iterator[Batch]:
    """Read block by block, so that a bad row spoils only itself.

    A row is a line that is not blank. One whose quotes do not match is left out: read on, it would swallow the rows
    after it. A last line without its line break is still being written, so it is left for the next look.
    """
    with file.open("rb") as source:
        header = _header(file, source)
        parse = partial(_parse, header, columns, dict.fromkeys(floats, pl.Float64))
        yield Batch(file=file, frame=parse(b""), places=())
        line = 2
        for block in _blocks(source):
            batch = _rows(file, block, first=line, parse=parse)
            yield batch
            line = batch.places.stop if isinstance(batch.places, range) else line + block.count(b"\n")


def _header(file: Path, source: BinaryIO) -> bytes:
    header = source.readline()
    if not header.endswith(b"\n") or not _QUOTED.fullmatch(header.rstrip(b"\r\n")):
        raise InputError(f"data file {file} cannot be read: its first line does not name the columns")
    return header


def _blocks(source: BinaryIO) -> Iterator[bytes]:
    """Whole lines, some megabytes at a time, as far as the file reached when it was opened.

    They are read into the same memory again and again: fresh memory costs as much as parsing does.
    """
    left = os.fstat(source.fileno()).st_size - source.tell()
    room, filled = bytearray(BLOCK_BYTES), 0
    while size := _fill(source, room, filled, left):
        end = room.rfind(b"\n", filled, filled + size) + 1
        filled, left = filled + size, left - size
        if end:
            yield bytes(memoryview(room)[:end])
            room[: filled - end] = room[end:filled]
            filled -= end
        elif filled == len(room):
            room += bytes(len(room))


def _fill(source: BinaryIO, room: bytearray, start: int, most: int) -> int:
    with memoryview(room) as whole, whole[start : start + most] as free:
        return source.readinto(free)  # type: ignore[attr-defined]


def _rows(file: Path, block: bytes, *, first: int, parse: Callable[[bytes], pl.DataFrame]) -> Batch:
    """Parse one block and say where each of its rows stands."""
    frame = parse(block) if b'"' not in block else None
    if frame is not None and not frame.select(pl.all_horizontal(pl.all().is_null()).any()).item():
        return Batch(file=file, frame=frame, places=range(first, first + frame.height))
    full = [(number, line) for number, line in enumerate(block.split(b"\n"), start=first) if line.removesuffix(b"\r")]
    sound = [(n, line) for n, line in full if b'"' not in line or _QUOTED.fullmatch(line.rstrip(b"\r"))]
    places = [number for number, _ in sound]
    spoilt = tuple(sorted({number for number, _ in full} - set(places)))
    frame = parse(b"".join(line + b"\n" for _, line in sound))
    return Batch(file=file, frame=frame, places=places, spoilt=spoilt)


def _parse(header: bytes, columns: Sequence[str], types: dict[str, Any], block: bytes) -> pl.DataFrame:
    """Read whole lines under the file's own header, so that no line decides how many columns the others have."""
    rows = pl.scan_csv(
        header + block, infer_schema=False, schema_overrides=types, ignore_errors=True, truncate_ragged_lines=True,
        encoding="utf8-lossy",
    )  # fmt: skip
    return rows.select(*columns).collect()


def _names(header: bytes) -> list[str]:
    return pl.scan_csv(header, infer_schema=False, encoding="utf8-lossy").collect_schema().names()


def words_of(column: pl.Series) -> NDArray[Any]:
    """Words as objects, and None; where few words come often, each is one object however often it comes."""
    different = column.unique().drop_nulls()
    if len(different) > len(column) // FEW:
        return column.to_numpy()
    numbers = column.cast(pl.Enum(different)).to_physical().fill_null(len(different))
    return np.array([*different, None], dtype=object)[numbers.to_numpy()]
