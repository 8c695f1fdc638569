"""Reading a device's own file: Parquet and CSV alike, one row at a time, bad files refused by name."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from machines import machine_rows, small_task

from client.dataset import read_columns, read_examples
from shared.errors import ContractError, InputError
from shared.revisions import UNKNOWN
from shared.tasks import Classes, Window

JANUARY_HALF = Window(start="2026-01-01", end="2026-01-16")


def test_parquet_and_csv_give_the_same_examples(tmp_path: Path) -> None:
    frame, task = machine_rows(200), small_task()
    frame.write_parquet(tmp_path / "a.parquet")
    frame.with_columns(pl.col("at").dt.to_string("iso")).write_csv(tmp_path / "a.csv")
    left, right = (read_examples(tmp_path / name, task, JANUARY_HALF) for name in ("a.parquet", "a.csv"))
    assert len(left.labels) == (frame["at"].dt.day() < 16).sum()
    assert np.array_equal(left.labels, right.labels)
    assert np.allclose(left.inputs, right.inputs, atol=1e-6)


def test_a_row_with_no_label_is_left_out_and_a_missing_number_is_nan(tmp_path: Path) -> None:
    frame = machine_rows(10).with_columns(
        stops=pl.when(pl.int_range(10) == 3).then(None).otherwise(pl.col("stops")),
        load=pl.when(pl.int_range(10) == 0).then(None).otherwise(pl.col("load")),
        site=pl.when(pl.int_range(10) == 1).then(None).otherwise(pl.col("site")),
    )
    frame.write_parquet(tmp_path / "a.parquet")
    columns, labels = read_columns(tmp_path / "a.parquet", small_task(), Window())
    assert labels[3] == UNKNOWN
    assert len(read_examples(tmp_path / "a.parquet", small_task(), Window()).labels) == 9
    assert np.isnan(columns["load"][0])
    assert columns["site"][1] is None


def test_one_more_row_changes_no_other_row(tmp_path: Path) -> None:
    frame, task = machine_rows(50), small_task()
    frame.write_parquet(tmp_path / "a.parquet")
    frame.head(49).write_parquet(tmp_path / "b.parquet")
    more, fewer = (read_examples(tmp_path / name, task, Window()) for name in ("a.parquet", "b.parquet"))
    assert np.array_equal(more.inputs[:49], fewer.inputs)
    assert np.array_equal(more.labels[:49], fewer.labels)


def test_words_as_classes(tmp_path: Path) -> None:
    task = small_task(label=Classes(column="grade", classes=("good", "fair", "poor")), timestamp=None)
    frame = machine_rows(4).with_columns(grade=pl.Series(["poor", "good", "unheard-of", "fair"]))
    frame.write_csv(tmp_path / "a.csv")
    assert read_examples(tmp_path / "a.csv", task, Window()).labels.tolist() == [2, 0, 1]


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    machine_rows(5).drop("load", "stops").write_parquet(tmp_path / "a.parquet")
    with pytest.raises(ContractError, match=r"a\.parquet lacks the columns \['load', 'stops'\] of task 'machines'"):
        read_examples(tmp_path / "a.parquet", small_task(), Window())


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.parquet", b"PAR1 but not really", r"a\.parquet cannot be read"),
        ("a.parquet", b"", r"a\.parquet cannot be read"),
        ("a.csv", b"", r"a\.csv cannot be read"),
        ("a.xlsx", b"x", r"must end in \.parquet or \.csv"),
        ("none.csv", None, r"none\.csv does not exist"),
    ],
)
def test_a_bad_file_is_refused_by_name(tmp_path: Path, name: str, content: bytes | None, says: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=says):
        read_examples(tmp_path / name, small_task(), Window())


def test_words_where_numbers_belong_count_as_missing(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("load,hour,site,stops,at\nfull,3,north,1,2026-01-02\n0.2,x,south,0,2026-01-02\n")
    columns, labels = read_columns(tmp_path / "a.csv", small_task(), Window())
    assert np.isnan(columns["load"][0])
    assert np.isnan(columns["hour"][1])
    assert labels.tolist() == [1, 0]


GOOD = "0.2,3,north,1,2026-01-02\n"
BAD_ROWS = {
    "too many fields": b"0.1,2,north,1,2026-01-02,more,and,more\n",
    "too few fields": b"0.1,2\n",
    "not UTF-8": b"0.1,2,\xff\xfe,1,2026-01-02\n",
    "a date in another form": b"0.1,2,north,1,02.01.2026\n",
    "a huge number": b"1e999,2,north,1,2026-01-02\n",
    "nothing": b",,,,\n",
}


@pytest.mark.parametrize("bad", BAD_ROWS)
@pytest.mark.parametrize("place", ["first", "last"])
def test_a_bad_csv_row_spoils_only_itself(tmp_path: Path, bad: str, place: str) -> None:
    """Rule 3: adding one row, however broken, changes no other row's features, label or selection."""
    header, good = b"load,hour,site,stops,at\n", GOOD.encode() * 3
    body = BAD_ROWS[bad] + good if place == "first" else good + BAD_ROWS[bad]
    (tmp_path / "a.csv").write_bytes(header + body)
    (tmp_path / "b.csv").write_bytes(header + good)
    window = Window(start="2026-01-01", end="2026-02-01")
    spoilt, clean = (read_examples(tmp_path / name, small_task(), window) for name in ("a.csv", "b.csv"))
    kept = spoilt.inputs[-3:] if place == "first" else spoilt.inputs[:3]
    assert np.array_equal(kept, clean.inputs)
    assert len(clean.labels) == 3
    assert 3 <= len(spoilt.labels) <= 4


def test_a_window_may_name_a_zone(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("load,hour,site,stops,at\n0.1,2,north,1,2026-01-02T00:30:00\n")
    inside = Window(start="2026-01-02T01:00:00+01:00", end="2026-01-02T02:00:00+01:00")
    assert len(read_examples(tmp_path / "a.csv", small_task(), inside).labels) == 1
