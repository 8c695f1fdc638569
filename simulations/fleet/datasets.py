"""The data that ship with their tasks, and the ways in which each becomes a fleet."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl

from shared.errors import InputError
from shared.tasks import Task, Window
from simulations.fleet.loading import load
from simulations.fleet.partition import Partition, by_key, dirichlet, evenly, shards
from simulations.fleet.population import Rows

Way = Callable[[pl.DataFrame, int | None, float | None, int], Partition]
"""Deals out a table to so many devices (None: as many as there are), by an amount such as alpha, from a seed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """A task's own data: its table, the ways to deal it out (the first unless another is named), and its windows.

    `groups` are the columns by which rows are compared; a model learns from `learn` and is scored on `test`.
    """

    table: Callable[[], pl.DataFrame]
    ways: Mapping[str, Way]
    groups: tuple[str, ...]
    learn: Window
    test: Window

    def rows(self, task: Task, *, way: str = "", devices: int | None = None, seed: int = 0) -> Rows:
        """Load a population dealt out in a way such as `station` or `dirichlet:0.3`; raise `InputError` for another.

        `devices` are the largest so many of a natural partition, all of them unless said; 20 of one that is drawn.
        """
        frame = self.table()
        partition = self.partition(frame, way=way, devices=devices, seed=seed)
        return load(task, frame, device=partition, groups=self.groups)

    def partition(self, frame: pl.DataFrame, *, way: str = "", devices: int | None = None, seed: int = 0) -> Partition:
        """Whose each row of the table is, as `rows` deals them out."""
        kind, _, amount = (way or next(iter(self.ways))).partition(":")
        if kind not in self.ways:
            raise InputError(f"devices can be {', '.join(self.ways)}, not {kind!r}")
        return self.ways[kind](frame, devices, _amount(way, amount), seed)


def known(task_name: str) -> Dataset | None:
    """The data that ship for a task; None where a researcher brings their own."""
    return _KNOWN.get(task_name)


DRAWN = 20
"""Devices of a partition that is drawn, unless said."""


def _amount(way: str, amount: str) -> float | None:
    try:
        return float(amount) if amount else None
    except ValueError:
        raise InputError(f"{way!r} must end in a number, as in dirichlet:0.3 or shards:2") from None


def _flights() -> pl.DataFrame:
    """Every flight that arrived, with its aircraft's `tailnum`, shape `(327_346, 20)`.

    `flights.table` does not tell aircraft, so each of its rows is found again by its timetable and its delay; where
    those are the same, by turns.
    """
    from simulations import flights

    clock = pl.col("sched_dep_time")
    named = flights.flights().select(
        pl.concat_str("origin", "carrier", separator="-").alias("station"),
        pl.datetime(2013, pl.col("month"), pl.col("day"), clock // 100, clock % 100).alias("scheduled_departure"),
        pl.col("dest").alias("destination"),
        pl.col("arr_delay").cast(pl.Float64).alias("arrival_delay_minutes"),
        "tailnum",
    )
    key = [name for name in named.columns if name != "tailnum"]
    turn = pl.int_range(pl.len()).over(key).alias("@turn")
    table, named = flights.table().with_columns(turn), named.with_columns(turn)
    return table.join(named, on=[*key, "@turn"], how="left", maintain_order="left").drop("@turn")


def _digits() -> pl.DataFrame:
    from simulations import digits

    return digits.table()


def _key(column: str) -> Way:
    return lambda frame, devices, _amount, _seed: by_key(frame, column, most=devices)


def _labels(frame: pl.DataFrame) -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
    return frame["digit"].cast(pl.Int64).to_numpy()


_KNOWN = {
    "flights": Dataset(
        table=_flights,
        ways={
            "aircraft": _key("tailnum"),
            "station": _key("station"),
            "evenly": lambda frame, devices, _, seed: evenly(frame.height, devices or DRAWN, seed),
        },
        groups=("carrier", "origin"),
        learn=Window(start="2013-01-01", end="2013-03-01"),
        test=Window(start="2013-03-01", end="2013-04-01"),
    ),
    "digits": Dataset(
        table=_digits,
        ways={
            "dirichlet": lambda frame, devices, alpha, seed: dirichlet(
                _labels(frame), devices or DRAWN, 1.0 if alpha is None else alpha, seed
            ),
            "shards": lambda frame, devices, each, seed: shards(
                _labels(frame), devices or DRAWN, 2 if each is None else int(each), seed
            ),
            "evenly": lambda frame, devices, _, seed: evenly(frame.height, devices or DRAWN, seed),
        },
        groups=("digit",),
        learn=Window(start="1998-01-01", end="1998-08-01"),
        test=Window(start="1998-08-01", end="1998-09-01"),
    ),
}
