"""The contract, held against a table: which rule each row breaks first, and the rows set aside with their reasons."""

import io
import logging
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl

from client.datafiles import ROW, Batch
from shared.contract import Contract, Rule
from shared.files import write_whole

log = logging.getLogger(__name__)

BROKEN = "@broken"
"""The number of the first rule that a row breaks by itself, in the order of `Contract.row_rules`; else null."""

WHEN = "@when"
"""The row's own timestamp, in UTC without a zone; null where there is none to read."""

MOST_ROWS = 100_000
"""How many rows of one file are set aside at most, so that memory does not grow with what is wrong."""

OURS = ("file", "row", "reasons")
"""The columns that tell of a row set aside; one of the data's that is called so gets a space behind its name."""

QUOTES = "quotes do not match"


def first_broken(contract: Contract, columns: Sequence[str], *, now: datetime) -> pl.Expr:
    """`BROKEN` for rows with `WHEN` and some of the contract's columns; rules about other columns do not apply."""
    conditions = [
        pl.when(broken).then(pl.lit(index, pl.UInt16))
        for index, (rule, broken) in enumerate(_conditions(contract, now=now))
        if not rule.column or rule.column in columns
    ]
    return (pl.coalesce(conditions) if conditions else pl.lit(None, pl.UInt16)).alias(BROKEN)


def reasons(contract: Contract, *, now: datetime) -> pl.Expr:
    """Every rule that a row breaks by itself, as one line of text."""
    found = [pl.when(broken).then(pl.lit(rule.name)) for rule, broken in _conditions(contract, now=now)]
    return pl.concat_str(found, separator="; ", ignore_nulls=True) if found else pl.lit("")


def _conditions(contract: Contract, *, now: datetime) -> Iterator[tuple[Rule, pl.Expr]]:
    """Each rule about one row with the expression that is true where it is broken, and never null."""
    for column in contract.columns:
        raw = pl.col(column.name)
        word = raw.cast(pl.String, strict=False)
        value = raw.cast(pl.Float64, strict=False)
        missing = raw.is_null() | (word == "")
        if column.kind == "number":
            missing = missing | value.is_nan().fill_null(value=False)
        for rule in column.rules():
            match rule.kind:
                case "missing":
                    broken = missing
                case "number":
                    broken = value.is_null() & ~missing
                case "range" if column.kind == "number":
                    low, high = column.low, column.high
                    below = value < low if low is not None else pl.lit(value=False)
                    above = value > high if high is not None else pl.lit(value=False)
                    broken = (below | above) & ~missing
                case _:
                    broken = ~missing & ~word.is_in(column.values if column.kind == "word" else ())
            yield rule, broken.fill_null(value=False)
    if contract.max_age_days is not None:
        oldest = now - timedelta(days=contract.max_age_days)
        yield contract.row_rules[-1], (pl.col(WHEN) < oldest).fill_null(value=True)


class Quarantine:
    """The rows of one data file that break the contract, put in a Parquet beside it: whole or absent, 0600.

    The name ends so that it is never taken for data. The same rows give the same file; where none breaks the
    contract any more, the file goes.
    """

    def __init__(self, file: Path, task: str, contract: Contract, *, now: datetime) -> None:
        """Nothing is written before `close`."""
        self.path = file.with_name(f"{file.name}.{task}.quarantine.parquet")
        self._reasons = reasons(contract, now=now).alias("reasons")
        self._parts: list[pl.DataFrame] = []
        self._kept, self.rows = 0, 0

    def add(self, batch: Batch, broken: pl.DataFrame) -> None:
        """Take the broken rows of a batch, raw as they were read, and its lines that are no rows."""
        spoilt = pl.DataFrame({"row": batch.spoilt, "reasons": QUOTES}, schema={"row": pl.UInt64, "reasons": pl.String})
        if broken.is_empty() and spoilt.is_empty():
            return
        self.rows += broken.height + spoilt.height
        raw = pl.exclude(ROW, WHEN, BROKEN).name.map(lambda name: f"{name} " if name in OURS else name)
        told = broken.select(pl.col(ROW).alias("row"), self._reasons, raw)
        part = pl.concat([told, spoilt], how="diagonal").head(max(0, MOST_ROWS - self._kept))
        self._kept += part.height
        self._parts.append(part.select(pl.lit(batch.file.name).alias("file"), pl.all()))

    def close(self) -> None:
        """Write the file, or remove one that is out of date; where that fails, training goes on without it."""
        try:
            self._write()
        except OSError as error:
            log.warning("%d rows break the contract, but %s cannot be written: %s", self.rows, self.path, error)

    def _write(self) -> None:
        if not self.rows:
            self.path.unlink(missing_ok=True)
            return
        if self.rows > self._kept:
            log.warning("%s: %d rows break the contract, the first %d are kept", self.path, self.rows, self._kept)
        buffer = io.BytesIO()
        pl.concat(self._parts).sort("row", maintain_order=True).write_parquet(buffer)
        if not self.path.exists() or self.path.read_bytes() != buffer.getvalue():
            write_whole(self.path, buffer.getvalue(), mode=0o600)
