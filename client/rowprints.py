"""Fingerprints of the device's files and rows: what tells that the data changed, and which rows did.

They are the owner's own and never leave the device (privacy rule 12): a short row can be guessed from its print.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from client.datafiles import data_files
from client.dataset import needed_columns
from client.revised import task_batches
from shared.errors import InputError
from shared.tasks import Task

MOST_ROWS = 5_000_000
"""Rows of one file that are printed one by one; of a longer file only the whole is, so that memory stays bounded."""

OUTCOMES = "@outcomes"
"""Stands for a file's name where rows are predictions with their outcome."""

Prints = NDArray[np.uint64]


@dataclass(frozen=True, slots=True, kw_only=True)
class FilePrint:
    """One file as it was: its bytes' SHA-256, and where it was not too long a number for each row, in order.

    `kept` names the rows' prints where they lie in a store already.
    """

    name: str
    size: int
    modified_ns: int
    sha256: str
    rows: Prints | None
    kept: str = ""

    def is_of(self, file: Path) -> bool:
        """Whether the file looks untouched since."""
        status = file.stat()
        return (file.name, status.st_size, status.st_mtime_ns) == (self.name, self.size, self.modified_ns)


def print_files(path: Path, task: Task, known: tuple[FilePrint, ...] = ()) -> tuple[FilePrint, ...]:
    """Fingerprint a data file or each file of a directory, over the columns that the task reads.

    A file that looks as it did in `known` is not read again; one that cannot be read is left out.
    """
    found: list[FilePrint] = []
    for file in data_files(path):
        earlier = next((one for one in known if one.name == file.name and one.is_of(file)), None)
        try:
            found.append(earlier or _print(file, task))
        except (OSError, InputError, pl.exceptions.PolarsError):
            continue
    return tuple(found)


def print_outcomes(columns: Mapping[str, NDArray[Any]], labels: NDArray[np.int64]) -> FilePrint:
    """Fingerprint the predictions whose outcome came, raw columns and labels, as if they were a file."""
    plain = {name: pl.Series(column.tolist(), dtype=_dtype(column)) for name, column in columns.items()}
    rows = row_prints(pl.DataFrame({**plain, OUTCOMES: labels}))
    digest = hashlib.sha256(rows.tobytes()).hexdigest()
    return FilePrint(name=OUTCOMES, size=rows.nbytes, modified_ns=0, sha256=digest, rows=rows)


def _dtype(column: NDArray[Any]) -> type[pl.String] | type[pl.Float64]:
    return pl.String if column.dtype == object else pl.Float64


def whole(files: tuple[FilePrint, ...]) -> str:
    """One SHA-256 over all files' names and bytes."""
    return hashlib.sha256("\n".join(f"{file.sha256} {file.name}" for file in files).encode()).hexdigest()


def _print(file: Path, task: Task) -> FilePrint:
    status = file.stat()
    with file.open("rb") as source:
        digest = hashlib.file_digest(source, "sha256").hexdigest()
    rows = _rows(file, task)
    return FilePrint(
        name=file.name, size=status.st_size, modified_ns=status.st_mtime_ns, sha256=digest, rows=rows
    )  # fmt: skip


def _rows(file: Path, task: Task) -> Prints | None:
    parts: list[Prints] = []
    count = 0
    for batch in task_batches(file, task, needed_columns(task)):
        count += batch.frame.height
        if count > MOST_ROWS:
            return None
        parts.append(row_prints(batch.frame))
    return np.concatenate(parts)


def row_prints(frame: pl.DataFrame) -> Prints:
    """A 64-bit number for each row, shape `(rows,)`; it depends on that row alone and is the same on every run."""
    prints = np.zeros(frame.height, np.uint64)
    for index, column in enumerate(frame.iter_columns()):
        prints = _mix(prints ^ _mix(_numbers(column) + np.uint64(index)))
    return prints


def _numbers(column: pl.Series) -> Prints:
    """Each value as 64 bits; zero stands for missing."""
    if column.dtype.is_float():
        bits = column.cast(pl.Float64).fill_null(float("nan")).to_numpy().view(np.uint64)
    elif column.dtype.is_integer() or column.dtype.is_temporal():
        bits = column.to_physical().cast(pl.Int64, strict=False).fill_null(0).to_numpy().view(np.uint64)
    else:
        bits = _words(column.cast(pl.String))
    return np.where(column.is_null().to_numpy(), np.uint64(0), _mix(bits + np.uint64(1)))


def _words(column: pl.Series) -> Prints:
    different = column.drop_nulls().unique()
    digests = [int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest()) for word in different]
    numbers = pl.Series(digests, dtype=pl.UInt64)
    return column.replace_strict(different, numbers, default=0, return_dtype=pl.UInt64).to_numpy()


def _mix(bits: NDArray[Any]) -> Prints:
    """The finalizer of SplitMix64 (Steele, Lea & Flood, 2014): neighbouring numbers become unlike."""
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))
