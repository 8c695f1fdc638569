"""A directory of data: new files and appended lines are picked up, what is not finished or not data is left."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from labelled import labelled_task
from machines import machine_rows, small_task

from client import datafiles, spool
from client.datafiles import batches, data_files
from client.dataset import read_columns, read_examples
from shared.contract import Contract, NumberRule
from shared.errors import ContractError, InputError
from shared.labelling import weak_labels
from shared.revisions import UNKNOWN
from shared.tasks import Window

HEADER = "load,hour,site,stops,at\n"
LINE = "0.5,3,north,1,2026-01-02\n"


def rows(path: Path) -> int:
    return len(read_examples(path, small_task(), Window()).labels)


def test_new_files_are_picked_up_and_what_is_no_data_is_not(tmp_path: Path) -> None:
    machine_rows(5).write_parquet(tmp_path / "b.parquet")
    (tmp_path / "a.csv").write_text(HEADER + LINE * 2)
    assert rows(tmp_path) == 7
    strangers = (".hidden.parquet", "~b.parquet", "b.parquet.tmp", "_new.csv", "x.machines.quarantine.parquet", "x.conflicts.parquet")  # fmt: skip
    for name in strangers:
        machine_rows(50).write_parquet(tmp_path / name)
    (tmp_path / "folder.csv").mkdir()
    assert rows(tmp_path) == 7
    (tmp_path / "c.csv").write_text(HEADER + LINE)
    assert rows(tmp_path) == 8
    assert [file.name for file in data_files(tmp_path)] == ["a.csv", "b.parquet", "c.csv"]


@pytest.mark.parametrize("end", ["0.2", "0.25,4,north,0,2026-01-0", "0.25,4,north,0,2026-01-02"])
def test_a_line_that_is_still_being_written_is_left_for_the_next_look(tmp_path: Path, end: str) -> None:
    data = tmp_path / "a.csv"
    data.write_text(HEADER + LINE + end)
    assert rows(data) == 1
    with data.open("a") as file:
        file.write("5,4,north,0,2026-01-02\n"[0 if end == "0.2" else -1 :])
    assert rows(data) == 2


def test_lines_appended_while_it_is_read_wait_for_the_next_look(tmp_path: Path) -> None:
    data = tmp_path / "a.csv"
    data.write_text(HEADER + LINE * 3)
    reader = batches(data, ["load"])
    next(reader)
    first = next(reader)
    with data.open("a") as file:
        file.write(LINE * 1000)
    assert first.frame.height + sum(batch.frame.height for batch in reader) == 3
    assert rows(data) == 1003


def test_a_file_that_cannot_be_read_costs_only_itself(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    whole = tmp_path / "whole.parquet"
    machine_rows(9).write_parquet(whole)
    (tmp_path / "half.parquet").write_bytes(whole.read_bytes()[:-200])
    machine_rows(9).drop("load").write_parquet(tmp_path / "other.parquet")
    (tmp_path / "begun.csv").write_text("load,hou")
    assert rows(tmp_path) == 9
    assert caplog.text.count("passed over") == 3


def test_a_directory_without_data_says_why(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds no \.parquet or \.csv file"):
        rows(tmp_path)
    machine_rows(9).drop("load").write_parquet(tmp_path / "other.parquet")
    with pytest.raises(ContractError, match=r"other\.parquet lacks the columns \['load'\]"):
        rows(tmp_path)


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_blocks_join_without_a_seam(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str) -> None:
    """Whatever the block's size, the same rows with the same line numbers."""
    lines = [f'{i / 100},{i % 24},"north",{i % 2},2026-01-02' if i % 7 else "" for i in range(90)]
    (tmp_path / "a.csv").write_text(ending.join(["load,hour,site,stops,at", *lines]) + ending, newline="")
    found: list[pl.DataFrame] = []
    for size in (1, 40, 64, 1000, 10**6):
        monkeypatch.setattr(datafiles, "BLOCK_BYTES", size)
        found.append(pl.concat([batch.located() for batch in batches(tmp_path / "a.csv", ["load", "site"])]))
    assert all(frame.equals(found[0]) for frame in found)
    assert found[0]["@row"].to_list() == [i + 2 for i in range(90) if i % 7]


def test_parquet_in_batches_is_the_same_rows_in_the_same_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine_rows(1000).write_parquet(tmp_path / "a.parquet", row_group_size=64)
    monkeypatch.setattr(datafiles, "BATCH_ROWS", 37)
    frames = [batch.located() for batch in batches(tmp_path / "a.parquet", ["load"])]
    assert len(frames) > 10
    assert pl.concat(frames)["load"].equals(machine_rows(1000)["load"])
    assert pl.concat(frames)["@row"].to_list() == list(range(1, 1001))


# -- many rows -------------------------------------------------------------------------------


def test_examples_above_the_threshold_lie_in_a_file_without_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine_rows(500).write_parquet(tmp_path / "a.parquet")
    monkeypatch.setattr(datafiles, "BATCH_ROWS", 50)
    expected = read_examples(tmp_path / "a.parquet", small_task(), Window())
    monkeypatch.setattr(spool, "IN_MEMORY_ROWS", 120)
    found = read_examples(tmp_path / "a.parquet", small_task(), Window(), scratch=tmp_path / "scratch")
    assert np.array_equal(found.inputs, expected.inputs)
    assert np.array_equal(found.labels, expected.labels)
    assert (tmp_path / "scratch").is_dir()
    assert not list((tmp_path / "scratch").iterdir())
    assert type(found.inputs.base) is not type(expected.inputs.base)
    found.inputs[0, 0] = 7.0  # a trainer may write to it


def test_a_full_disk_ceiling_is_an_error_that_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine_rows(500).write_parquet(tmp_path / "a.parquet")
    monkeypatch.setattr(spool, "IN_MEMORY_ROWS", 120)
    for ceiling, fits in ((500 * (small_task().inputs + 2) * 4, True), (9000, False)):
        if fits:
            read_examples(tmp_path / "a.parquet", small_task(), Window(), scratch=tmp_path / "s", ceiling=ceiling)
            continue
        with pytest.raises(InputError, match="the owner's ceiling"):
            read_examples(tmp_path / "a.parquet", small_task(), Window(), scratch=tmp_path / "s", ceiling=ceiling)


def test_a_scratch_that_cannot_be_written_is_an_error_that_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine_rows(50).write_parquet(tmp_path / "a.parquet")
    (tmp_path / "scratch").write_text("a file stands here")
    monkeypatch.setattr(spool, "IN_MEMORY_ROWS", 10)
    with pytest.raises(InputError, match="cannot be kept in"):
        read_examples(tmp_path / "a.parquet", small_task(), Window(), scratch=tmp_path / "scratch")


# -- rows that no file holds -----------------------------------------------------------------


def test_outcomes_teach_beside_the_file_and_alone(tmp_path: Path) -> None:
    machine_rows(6).write_parquet(tmp_path / "a.parquet")
    task = small_task(contract=Contract(columns=(NumberRule(name="load", low=0.0, high=1.0),), max_age_days=1e5))
    columns, labels = read_columns(tmp_path / "a.parquet", task, Window())
    labels[0] = -1
    columns["load"][1] = 5.0
    both = read_examples(tmp_path / "a.parquet", task, Window(), extra=(columns, labels))
    alone = read_examples(None, task, Window(), extra=(columns, labels))
    assert (len(both.labels), len(alone.labels)) == (10, 4)
    assert np.array_equal(both.inputs[6:], alone.inputs)
    assert np.array_equal(alone.inputs, both.inputs[2:6])
    assert len(read_examples(None, replace(task), Window()).labels) == 0


def test_labelling_rules_decide_only_rows_whose_outcome_is_not_known(tmp_path: Path) -> None:
    task = labelled_task()
    rows = machine_rows(200)
    unknown = pl.int_range(200) % 2 == 0
    rows.with_columns(stops=pl.when(unknown).then(None).otherwise("stops")).write_parquet(tmp_path / "a.parquet")
    columns, labels = read_columns(tmp_path / "a.parquet", task, Window())
    decided = weak_labels(task.labelling, columns) if task.labelling else labels
    expected = np.where(labels == UNKNOWN, decided, labels)
    found = read_examples(tmp_path / "a.parquet", task, Window())
    assert 100 < len(found.labels) < 200
    assert found.labels.tolist() == expected[expected != UNKNOWN].tolist()
