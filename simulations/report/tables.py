"""The tables of a rehearsal's result folder, row by row: what was run, its rounds, its devices, its groups.

A figure that was not taken is None; it is null in the Parquet file and left out of `about.json`.
"""

import types
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any, get_args, get_type_hints

import polars as pl

from server.records import GateVerdict
from shared import wire
from shared.errors import InputError, WireError
from shared.files import write_whole
from shared.modes import Mode
from shared.privacy import Level, Trust


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundRow:
    """One round of one seed.

    `cohort` devices were asked; `returned`, `refused` and `failed` count their answers. `epsilon` is what a device has
    spent that took part in every round so far. `bytes_up` and `bytes_down` are over all devices of the round.
    `virtual_seconds` passed on the fleet's clock, `seconds` on this machine's. `auc` and `loss` are of the weights
    after the round, on the test rows.
    """

    seed: int
    round: int
    outcome: str
    cohort: int
    returned: int
    refused: int
    failed: int
    epsilon: float | None = None
    bytes_up: int = 0
    bytes_down: int = 0
    virtual_seconds: float = 0.0
    seconds: float = 0.0
    auc: float | None = None
    loss: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceRow:
    """One device of one seed: what it held, what its ledger says, and its own test rows before and after.

    `epsilon` is its ledger's; 0 where it paid for nothing. Losses and accuracies are None without test rows.
    """

    seed: int
    device: str
    rows: int
    rounds_paid: int
    epsilon: float
    refusals: int
    test_rows: int
    loss_before: float | None = None
    loss_after: float | None = None
    accuracy_before: float | None = None
    accuracy_after: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupRow:
    """Test rows that share a word in a column, such as a carrier; `auc` is of the last weights, None for one class."""

    seed: int
    column: str
    group: str
    rows: int
    auc: float | None = None
    loss_before: float | None = None
    loss_after: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """What the same test rows give without a federation; `about` says in words how it was trained.

    `auc` is None where the test rows hold one class only.
    """

    auc: float | None
    loss: float
    accuracy: float
    about: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Baselines:
    """All rows in one heap without privacy; each device alone on its own rows."""

    central: Baseline | None = None
    local: Baseline | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What was rehearsed.

    `rounds` were asked for, of each of `seeds`; `complete` is False while some are still to come. `delta`, `level` and
    `trust` say what the epsilon of the tables means. `trained_on` and `tested_on` are windows in words. `command` runs
    the rehearsal again and `start` runs its plan in deployment, where there is such a command. `gates` are a release's,
    held against the last weights of the last seed.
    """

    task: str
    revision: int
    plan_sha256: str
    seeds: tuple[int, ...]
    devices: int
    rounds: int
    mode: Mode
    engine: str
    complete: bool
    baselines: Baselines = field(default_factory=Baselines)
    title: str = ""
    classes: int = 2
    delta: float | None = None
    level: Level = "record"
    trust: Trust = "everyone"
    trained_on: str = ""
    tested_on: str = ""
    command: str = ""
    start: str = ""
    machine: str = ""
    gates: tuple[GateVerdict, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Tables:
    """The three tables, as data frames with the columns of their rows."""

    rounds: pl.DataFrame
    devices: pl.DataFrame
    groups: pl.DataFrame


ABOUT = "about.json"
_ROWS: dict[str, type] = {"rounds": RoundRow, "devices": DeviceRow, "groups": GroupRow}
_TYPES: dict[Any, pl.DataType] = {int: pl.Int64(), float: pl.Float64(), str: pl.String()}


def schema(row: type) -> dict[str, pl.DataType]:
    """The columns of a table, and their types."""
    return {name: _TYPES[_bare(hint)] for name, hint in get_type_hints(row).items()}


def frame(row: type, rows: Iterable[object]) -> pl.DataFrame:
    """Rows as a data frame with one column a field."""
    kept, columns = list(rows), schema(row)
    return pl.DataFrame({name: [getattr(one, name) for one in kept] for name in columns}, schema=columns)


def write_about(folder: Path, about: About) -> None:
    """Write what was run, whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / ABOUT, wire.to_json(about) + b"\n")


def read_about(folder: Path) -> About:
    """Read what was run; raise `InputError` that names the folder."""
    try:
        return wire.from_json(About, (folder / ABOUT).read_bytes(), what=ABOUT)
    except (OSError, WireError) as error:
        raise InputError(f"{folder} is not the result of a rehearsal: {error}") from None


def write_tables(
    folder: Path,
    rounds: Sequence[RoundRow] | pl.DataFrame,
    devices: Sequence[DeviceRow] | pl.DataFrame,
    groups: Sequence[GroupRow] | pl.DataFrame,
) -> None:
    """Write the three Parquet files, each whole or not at all; a million devices come quicker as a data frame."""
    folder.mkdir(parents=True, exist_ok=True)
    for (name, row), rows in zip(_ROWS.items(), (rounds, devices, groups), strict=True):
        table = _shaped(rows, row) if isinstance(rows, pl.DataFrame) else frame(row, rows)
        write_parquet(folder / f"{name}.parquet", table)


def read_tables(folder: Path) -> Tables:
    """Read the tables; one that is not there yet is empty. Raise `InputError` for one of another shape."""
    return Tables(**{name: read_parquet(folder / f"{name}.parquet", row) for name, row in _ROWS.items()})


def write_parquet(path: Path, table: pl.DataFrame) -> None:
    """Write one table, whole or not at all; a figure that is no number becomes null."""
    buffer = BytesIO()
    table.with_columns(pl.col(pl.Float64).fill_nan(None)).write_parquet(buffer)
    write_whole(path, buffer.getvalue())


def read_parquet(path: Path, row: type) -> pl.DataFrame:
    """Read one table with the columns of `row`; an absent file is an empty table."""
    if not path.exists():
        return frame(row, ())
    try:
        return _shaped(pl.read_parquet(path), row)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise InputError(f"{path} is not a table of a rehearsal: {error}") from None


def _shaped(table: pl.DataFrame, row: type) -> pl.DataFrame:
    """The columns of `row` alone, in its order and of its types."""
    return table.select(pl.col(name).cast(kind) for name, kind in schema(row).items())


def _bare(hint: Any) -> Any:
    """`float` of `float | None`."""
    return next(one for one in get_args(hint) if one is not types.NoneType) if get_args(hint) else hint
