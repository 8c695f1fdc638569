"""Merging another file's rows: whole or not at all, and nothing is lost."""

import os
from pathlib import Path

import polars as pl
import pytest
from machines import machine_rows, small_task

from client import merging
from client.dataset import read_columns
from client.merging import merge
from shared.contract import Contract, NumberRule
from shared.errors import InputError
from shared.tasks import Window

TASK = small_task(contract=Contract(columns=(NumberRule(name="serial"),), unique=("serial",)))


def rows(serials: range, *, load: float = 0.5) -> pl.DataFrame:
    frame = machine_rows(len(serials)).with_columns(pl.Series("serial", serials), pl.lit(load).alias("load"))
    return frame.with_columns(hour=pl.col("serial").cast(pl.Float64) % 24)


def write(frame: pl.DataFrame, path: Path) -> Path:
    if path.suffix == ".csv":
        frame.with_columns(pl.col("at").dt.to_string("%Y-%m-%d")).write_csv(path)
    else:
        frame.write_parquet(path)
    return path


def serials(path: Path) -> list[int]:
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    frames = [pl.read_csv(file) if file.suffix == ".csv" else pl.read_parquet(file) for file in files]
    return sorted(int(serial) for frame in frames for serial in frame["serial"])


@pytest.mark.parametrize("mine", ["a.csv", "a.parquet"])
@pytest.mark.parametrize("theirs", ["b.csv", "b.parquet"])
def test_new_keys_are_appended_equal_rows_skipped_and_conflicts_set_aside(
    tmp_path: Path, mine: str, theirs: str
) -> None:
    at = rows(range(20)).select("serial", "at", "site", "stops")
    data = write(rows(range(10)).drop("at", "site", "stops").join(at, on="serial"), tmp_path / mine)
    data.chmod(0o640)
    new = rows(range(5, 15)).drop("at", "site", "stops").join(at, on="serial")
    other = write(new.with_columns(load=pl.when(pl.col("serial") == 7).then(0.9).otherwise("load")), tmp_path / theirs)
    found = merge(data, other, TASK)
    assert (found.appended, found.equal, found.conflicting) == (5, 4, 1)
    assert serials(data) == list(range(15))
    assert data.stat().st_mode & 0o777 == 0o640
    aside = pl.read_parquet(found.conflicts)
    assert (aside["serial"].to_list(), aside["load"].to_list()) == (["7"], ["0.9"])
    assert len(read_columns(data, TASK, Window())[1]) == 15
    again = merge(data, other, TASK)
    assert (again.appended, again.equal, again.conflicting) == (0, 9, 1)
    assert pl.read_parquet(found.conflicts).height == 1


def test_a_directory_gets_a_new_file_and_its_own_stay_as_they_are(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    before = write(rows(range(4)), data / "a.parquet").read_bytes()
    found = merge(data, write(rows(range(4, 9)), tmp_path / "b.parquet"), TASK)
    assert (found.appended, serials(data)) == (5, list(range(9)))
    assert (data / "a.parquet").read_bytes() == before
    assert len(read_columns(data, TASK, Window())[1]) == 9


def test_rows_of_the_other_file_may_contradict_each_other(tmp_path: Path) -> None:
    data = write(rows(range(2)), tmp_path / "a.parquet")
    twice = pl.concat([rows(range(5, 6)), rows(range(5, 6)), rows(range(5, 6), load=0.8)])
    found = merge(data, write(twice, tmp_path / "b.parquet"), TASK)
    assert (found.appended, found.equal, found.conflicting) == (1, 1, 1)


def test_without_a_key_a_row_is_known_or_new(tmp_path: Path) -> None:
    data = write(rows(range(4)), tmp_path / "a.parquet")
    found = merge(data, write(rows(range(4), load=0.1), tmp_path / "b.parquet"), small_task())
    assert (found.appended, found.equal, found.conflicting, found.conflicts) == (4, 0, 0, "")


def test_earlier_conflicts_are_not_lost(tmp_path: Path) -> None:
    data = write(rows(range(4)), tmp_path / "a.parquet")
    for load in (0.1, 0.2):
        found = merge(data, write(rows(range(1), load=load), tmp_path / "b.parquet"), TASK)
    assert sorted(pl.read_parquet(found.conflicts)["load"]) == ["0.1", "0.2"]


@pytest.mark.parametrize("kind", ["columns", "types", "unfinished", "break", "quotes", "none", "damaged"])
def test_what_cannot_be_merged_whole_is_not_merged_at_all(tmp_path: Path, kind: str) -> None:
    data, other = tmp_path / "a.csv", tmp_path / "b.parquet"
    write(rows(range(3)), data)
    write(rows(range(3, 6)), other)
    if kind == "columns":
        write(rows(range(3, 6)).with_columns(more=1), other)
    elif kind == "types":
        data = write(rows(range(3)).with_columns(stops=pl.lit(1.0)), tmp_path / "a.parquet")
        write(rows(range(3, 6)).with_columns(stops=pl.lit("never")), other)
    elif kind == "unfinished":
        data.write_bytes(data.read_bytes()[:-1])
    elif kind == "break":
        write(rows(range(3, 6)).with_columns(site=pl.lit("no\nrth")), other)
    elif kind == "quotes":
        other = tmp_path / "b.csv"
        write(rows(range(3, 6)), other)
        other.write_text(other.read_text() + '1,2,"nor"th,1,2026-01-01,9\n')
    elif kind == "damaged":
        other.write_bytes(b"PAR1")
    else:
        other.unlink()
    before = data.read_bytes()
    with pytest.raises(InputError):
        merge(data, other, TASK)
    assert data.read_bytes() == before
    assert {path.name for path in tmp_path.iterdir()} <= {"a.csv", "a.parquet", "b.csv", "b.parquet"}


def test_rows_appended_meanwhile_are_not_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = write(rows(range(3)), tmp_path / "a.csv")
    other = write(rows(range(3, 6)), tmp_path / "b.parquet")

    def slow(*arguments: object) -> object:
        with data.open("a") as file:
            file.write("0.1,2,north,1,2026-01-01,99\n")
        return monkeypatch.undo() or merging._target(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(merging, "_target", slow)
    with pytest.raises(InputError, match="changed while"):
        merge(data, other, TASK)
    assert data.read_text().count("\n") == 5


def test_a_full_disk_leaves_the_data_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = write(rows(range(3)), tmp_path / "a.parquet")
    before = data.read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match="No space"):
        merge(data, write(rows(range(3, 6)), tmp_path / "b.parquet"), TASK)
    assert data.read_bytes() == before
