"""Snapshots: which rows taught which version, what changed between two, sealed, and never more than needed."""

import hashlib
import re
from dataclasses import fields, is_dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from machines import machine_rows, small_task

from client import rowprints, snapshots
from client.rowprints import row_prints
from client.snapshots import Snapshot, Snapshots, difference
from shared import drift, enrolment, rounds
from shared.errors import InputError
from shared.tasks import Window

WINDOW = Window(start="2026-01-01")


def record(store: Snapshots, data: Path, version: int) -> Snapshot:
    return store.record(
        data, small_task(), window=WINDOW, request=f"r{version}", run=3, round_number=version, version=version
    )


def test_the_owner_can_ask_which_rows_taught_which_version(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    rows = machine_rows(30)
    rows.head(10).write_parquet(data / "a.parquet")
    store = Snapshots(tmp_path / "snapshots.db")
    first = record(store, data, 1)
    rows.head(10).tail(8).write_parquet(data / "a.parquet")
    rows.tail(5).write_parquet(data / "b.parquet")
    record(store, data, 2)
    store.close()
    store = Snapshots(tmp_path / "snapshots.db")
    assert [(one.version, one.request, one.run, one.window) for one in store.log()] == [
        (1, "r1", 3, WINDOW), (2, "r2", 3, WINDOW),
    ]  # fmt: skip
    found = difference(store.read(1), store.read(2))
    assert (found.added, found.removed) == (5, 2)
    assert found.added_at == tuple(("b.parquet", row) for row in range(1, 6))
    assert found.removed_at == (("a.parquet", 1), ("a.parquet", 2))
    assert (found.new_files, found.gone_files, found.changed_files) == (("b.parquet",), (), ("a.parquet",))
    assert difference(store.read(1), store.read(1)).added == 0
    assert store.read(1).fingerprint == first.fingerprint != store.read(2).fingerprint
    with pytest.raises(InputError, match="no snapshot 9"):
        store.read(9)
    store.close()


def test_a_row_more_of_the_same_counts_and_a_row_that_moved_does_not(tmp_path: Path) -> None:
    rows, store = machine_rows(6), Snapshots(":memory:")
    for version, frame in enumerate((rows, rows.reverse(), pl.concat([rows, rows.head(1)])), start=1):
        frame.write_parquet(tmp_path / "a.parquet")
        record(store, tmp_path / "a.parquet", version)
    moved, doubled = (difference(store.read(1), store.read(number)) for number in (2, 3))
    assert (moved.added, moved.removed, moved.changed_files) == (0, 0, ("a.parquet",))
    assert (doubled.added, doubled.added_at) == (1, (("a.parquet", 7),))
    store.close()


def test_what_did_not_change_is_not_read_again_nor_kept_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine_rows(6).write_parquet(tmp_path / "a.parquet")
    store = Snapshots(":memory:")
    first = record(store, tmp_path / "a.parquet", 1)
    monkeypatch.setattr(rowprints, "_print", None)
    second = record(store, tmp_path / "a.parquet", 2)
    assert second.fingerprint == first.fingerprint
    assert store._db.execute("SELECT count(*) FROM prints").fetchone()[0] == 1
    assert difference(first, second).added == 0
    store.close()


def test_old_snapshots_keep_their_fingerprint_and_lose_their_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshots, "MOST_PRINTED", 2)
    store = Snapshots(":memory:")
    for version in range(1, 5):
        machine_rows(6, seed=version).write_parquet(tmp_path / "a.parquet")
        record(store, tmp_path / "a.parquet", version)
    assert store._db.execute("SELECT count(*) FROM prints").fetchone()[0] == 2
    assert difference(store.read(1), store.read(4)).unread == ("a.parquet",)
    assert difference(store.read(3), store.read(4)).added == 6
    assert len(store.log()) == 4
    store.erase()
    assert store.log() == ()
    store.close()


class Backwards:
    """Seals by reversing, and holds each thing to what it is about."""

    def seal(self, data: bytes, *, about: str) -> bytes:
        return (about.encode() + b"|" + data)[::-1]

    def unseal(self, sealed: bytes, *, about: str) -> bytes:
        name, _, data = sealed[::-1].partition(b"|")
        assert name == about.encode()
        return data


def test_with_a_vault_nothing_of_the_rows_lies_open(tmp_path: Path) -> None:
    data = tmp_path / "secret-name.parquet"
    machine_rows(50).write_parquet(data)
    store = Snapshots(tmp_path / "s.db", Backwards())
    made = record(store, data, 1)
    assert difference(store.read(1), made).added == 0
    store.close()
    bare = (
        (tmp_path / "s.db").read_bytes() + (tmp_path / "s.db-wal").read_bytes()
        if (tmp_path / "s.db-wal").exists()
        else (tmp_path / "s.db").read_bytes()
    )
    digest = hashlib.sha256(data.read_bytes()).hexdigest()
    assert made.files[0].sha256 == digest
    for word in (digest, "secret-name", made.fingerprint, "r1"):
        assert word.encode() not in bare
    assert made.files[0].rows is not None
    assert made.files[0].rows.tobytes() not in bare


def test_a_rows_print_depends_on_that_row_alone_and_on_every_value(tmp_path: Path) -> None:
    rows = machine_rows(40).with_columns(pl.Series("count", range(40)), pl.Series("flag", [True, None] * 20))
    prints = row_prints(rows)
    assert len(set(prints.tolist())) == 40
    assert np.array_equal(row_prints(rows[7:9]), prints[7:9])
    for name, value in (("load", 9.0), ("site", "x"), ("count", 99), ("flag", False), ("load", None), ("site", None)):
        changed = rows.with_columns(pl.when(pl.int_range(40) == 3).then(pl.lit(value)).otherwise(name).alias(name))
        assert (row_prints(changed) != prints).nonzero()[0].tolist() == [3]
    assert row_prints(rows.select("load"))[0] != row_prints(rows.select(pl.col("load").alias("hour"), "load"))[0]


def test_prints_are_the_same_on_every_run() -> None:
    """They are compared with prints of other days, under other versions of Polars."""
    frame = pl.DataFrame({"a": [1.5, None], "b": ["north", None], "c": [7, -1]})
    assert [f"{one:016x}" for one in row_prints(frame)] == PRINTED


PRINTED = ["be1231f1f4c25a1c", "2b76ce9298c4cf6a"]


def test_rule_12_no_message_has_a_place_for_a_fingerprint() -> None:
    messages = [
        one for module in (rounds, drift, enrolment) for one in vars(module).values() if is_dataclass(one)
    ]  # fmt: skip
    names = {field.name for one in messages for field in fields(one)}  # type: ignore[arg-type]
    assert names
    assert not [name for name in names if re.search(r"print|(^|_)sha(\d|_|$)|snapshot", name)]
