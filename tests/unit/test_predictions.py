"""The prediction log: outcomes are joined whenever they come, and what teaches reads as a data file would."""

import logging
import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from machines import small_task
from predicted import NOON, prediction_log, served

from client.dataset import read_columns
from client.predictions import PredictionLog, Retention
from client.served import class_of, word_of
from shared.revisions import UNKNOWN
from shared.tasks import Classes, Label, Threshold, Window

STOPS = Threshold(column="stops", above=0.5, classes=("runs", "stops"))
WORDS = Classes(column="state", classes=("good", "bad", "1"))


def labels(log: PredictionLog) -> dict[str, str | None]:
    return {one.id: one.label for one in log.recent(100)}


def everything(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.glob("predictions.db*")))


def test_what_was_served_is_kept_as_it_was(tmp_path: Path) -> None:
    rows = [
        served(0),
        served(1, record={"load": float("inf"), "hour": None, "site": 'Zürich "x"\n'}),
        served(2, at=0.5),
    ]
    with prediction_log(tmp_path) as log:
        log.add(rows)
    with prediction_log(tmp_path) as log:
        assert log.recent(10) == rows[::-1]
        assert log.recent(1) == rows[:1:-1]


def test_numbers_of_numpy_are_numbers(tmp_path: Path) -> None:
    with prediction_log(tmp_path) as log:
        log.add([served(0, record={"load": np.float32(0.5)}, scores=tuple(np.array([0.25, 0.75], np.float32)))])
        (one,) = log.recent(1)
        assert (one.record, one.scores) == ({"load": 0.5}, (0.25, 0.75))


def test_an_outcome_joins_before_its_prediction_is_flushed_and_long_after(tmp_path: Path) -> None:
    with prediction_log(tmp_path) as log:
        assert log.outcome("prediction-0", "stops") is False
        log.add([served(0), served(1)])
        assert labels(log) == {"prediction-0": "stops", "prediction-1": None}
    with prediction_log(tmp_path) as log:
        assert log.outcome("prediction-1", "runs") is True
        assert labels(log) == {"prediction-0": "stops", "prediction-1": "runs"}
        assert all(one.labelled_at is not None for one in log.recent(2))


def test_the_last_of_two_outcomes_counts_and_that_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with prediction_log(tmp_path) as log:
        log.outcome("prediction-0", "runs")
        log.outcome("prediction-0", "stops")
        log.add([served(0)])
        assert labels(log) == {"prediction-0": "stops"}
        assert caplog.text == ""
        assert log.outcome("prediction-0", "runs") is True
        assert labels(log) == {"prediction-0": "runs"}
        assert "1 outcomes replaced an earlier one" in caplog.text


def test_a_prediction_that_brings_its_outcome_keeps_it(tmp_path: Path) -> None:
    with prediction_log(tmp_path) as log:
        log.outcome("prediction-0", "runs")
        log.add([served(0, label="stops", labelled_at=NOON + 9)])
        assert log.recent(1) == [served(0, label="stops", labelled_at=NOON + 9)]


def test_a_batch_that_is_flushed_twice_counts_once(tmp_path: Path) -> None:
    with prediction_log(tmp_path) as log:
        log.add([served(0), served(1)])
        log.outcome("prediction-0", "runs")
        log.add([served(0, at=NOON + 99), served(1), served(2)])
        assert labels(log) == {"prediction-0": "runs", "prediction-1": None, "prediction-2": None}
        assert log.recent(3)[-1].at == NOON


def test_two_processes_may_hold_the_log(tmp_path: Path) -> None:
    with prediction_log(tmp_path) as service, prediction_log(tmp_path) as agent:
        service.add([served(0)])
        assert agent.outcome("prediction-0", "runs") is True
        assert labels(service) == {"prediction-0": "runs"}


def test_labelled_rows_read_as_those_of_a_data_file(tmp_path: Path) -> None:
    task = small_task()
    rows = [
        ({"load": 0.25, "hour": 3.0, "site": "north"}, "1"),
        ({"load": None, "hour": 1e300, "site": None}, "0.5"),
        ({"load": float("nan"), "hour": -1.0, "site": "elsewhere"}, "0.75"),
        ({"load": 1.0, "hour": 2.0, "site": ""}, "nan"),
    ]
    with prediction_log(tmp_path) as log:
        log.add([served(number, record=record) for number, (record, _) in enumerate(rows)])
        log.outcomes([(f"prediction-{number}", label) for number, (_, label) in enumerate(rows)])
        columns, found = log.labelled(task, Window())
    at = datetime.fromtimestamp(NOON, UTC).replace(tzinfo=None)
    pl.DataFrame([record | {"stops": float(label), "at": at} for record, label in rows]).write_parquet(
        tmp_path / "a.parquet"
    )
    expected, expected_labels = read_columns(tmp_path / "a.parquet", task, Window())
    assert columns.keys() == expected.keys()
    for name, column in expected.items():
        assert columns[name].dtype == column.dtype
        np.testing.assert_array_equal(columns[name], column)
    assert found.dtype == expected_labels.dtype
    assert found.tolist() == expected_labels.tolist() == [1, 0, 1, UNKNOWN]


def test_fields_that_a_record_lacks_or_mistypes_are_missing(tmp_path: Path) -> None:
    with prediction_log(tmp_path) as log:
        log.add([served(0, record={"load": "much", "site": 7.0}, label="runs")])
        columns, found = log.labelled(small_task(), Window())
    assert np.isnan(columns["load"]).all()
    assert np.isnan(columns["hour"]).all()
    assert columns["site"].tolist() == [None]
    assert found.tolist() == [0]


def test_no_rows_still_have_columns(tmp_path: Path) -> None:
    with prediction_log(tmp_path) as log:
        columns, found = log.labelled(small_task(), Window())
    assert {name: (column.shape, column.dtype.kind) for name, column in columns.items()} == {
        "load": ((0,), "f"), "hour": ((0,), "f"), "site": ((0,), "O")
    }  # fmt: skip
    assert found.shape == (0,)


@pytest.mark.parametrize(
    ("window", "expected"),
    [
        (Window(), [0, 1, 2, 3]),
        (Window(start="2026-01-09"), [1, 2, 3]),
        (Window(end="2026-01-10"), [0, 1, 2]),
        (Window(start="2026-01-09T12:00:00", end="2026-01-10"), [1, 2]),
        (Window(start="2026-01-09T13:00:00+01:00", end="2026-01-09T12:00:00.500+00:00"), [1]),
        (Window(start="2027-01-01"), []),
    ],
)
def test_a_predictions_own_timestamp_decides_its_window(tmp_path: Path, window: Window, expected: list[int]) -> None:
    times = [NOON - 12 * 3600 - 0.001, NOON, NOON + 12 * 3600 - 0.001, NOON + 12 * 3600]
    with prediction_log(tmp_path) as log:
        log.add([served(number, at=at, record={"load": float(number)}) for number, at in enumerate(times)])
        log.outcomes([(f"prediction-{number}", "runs") for number in range(4)])
        assert log.labelled(small_task(), window)[0]["load"].tolist() == expected


@pytest.mark.parametrize(
    ("label", "outcome", "expected"),
    [
        (STOPS, "stops", 1), (STOPS, "runs", 0), (STOPS, 0.5, 0), (STOPS, 0.75, 1), (STOPS, "0.75", 1), (STOPS, True, 1),
        (STOPS, "nan", UNKNOWN), (STOPS, "walks", UNKNOWN), (STOPS, "", UNKNOWN), (WORDS, "good", 0), (WORDS, 1, 2),
        (WORDS, "Good", UNKNOWN), (WORDS, 0.75, UNKNOWN),
        (Threshold(column="c", above=5.0, classes=("9", "1")), "1", 1),
    ],
)  # fmt: skip
def test_an_outcome_is_a_classs_word_or_the_number_that_is_compared(
    label: Label, outcome: str | float, expected: int
) -> None:
    assert class_of(replace(small_task(), label=label), word_of(outcome)) == expected


def test_the_unlabelled_are_all_there_and_come_with_record_and_scores(tmp_path: Path) -> None:
    rows = [served(number) for number in range(2500)]
    with prediction_log(tmp_path) as log:
        log.add(rows)
        log.outcome("prediction-7", "runs")
        assert list(log.unlabelled()) == rows[:7] + rows[8:]
        assert list(log.unlabelled(since=NOON + 2000)) == rows[2000:]


def test_predictions_and_waiting_outcomes_go_when_they_are_too_old(tmp_path: Path) -> None:
    now = NOON + 3600
    with prediction_log(tmp_path, days=2) as log:
        ages = {"old": 2.0, "young": 1.95, "new": 0.0}
        log.add([served(0, id=name, at=now - days * 86_400) for name, days in ages.items()])
        log.outcome("late", "runs")
        assert log.expire(now) == 1
        assert [one.id for one in log.recent(9)] == ["new", "young"]
        log.add([served(0, id="late")])
        assert log.recent(1)[0].label == "runs"
        log.outcome("too late", "runs")
        assert log.expire(4e9) == 3
        log.add([served(0, id="too late")])
        assert log.recent(9) == [served(0, id="too late")]


def test_what_is_too_old_is_overwritten(tmp_path: Path) -> None:
    with prediction_log(tmp_path) as log:
        log.add([served(number, at=NOON + 86_400 * (number % 2)) for number in range(200)])
    with closing(sqlite3.connect(tmp_path / "predictions.db")) as db:
        sealed = [row[0] for row in db.execute("SELECT sealed FROM served ORDER BY id")]
    with prediction_log(tmp_path) as log:
        assert log.expire(NOON + 90.5 * 86_400) == 100
    left = everything(tmp_path)
    assert [one in left for one in sealed] == [False, True] * 100


def test_no_days_keep_nothing(tmp_path: Path) -> None:
    with prediction_log(tmp_path, days=0) as log:
        log.add([served(0)])
        assert log.expire(NOON) == 1


def test_a_lower_share_drops_what_it_no_longer_keeps(tmp_path: Path) -> None:
    with prediction_log(tmp_path) as log:
        log.add([served(number) for number in range(1000)])
    with prediction_log(tmp_path, share=0.25) as log:
        log.expire(NOON)
        kept = {one.id for one in log.recent(1000)}
        assert 180 < len(kept) < 320
        log.add([served(number) for number in range(1000)])
        assert {one.id for one in log.recent(1000)} == kept
        dropped = next(f"prediction-{number}" for number in range(1000) if f"prediction-{number}" not in kept)
        assert log.outcome(dropped, "runs") is False


def test_erasing_removes_every_row_for_everybody_who_has_the_file_open(tmp_path: Path) -> None:
    with prediction_log(tmp_path) as log, prediction_log(tmp_path) as other:
        log.add([served(number) for number in range(500)])
        log.outcome("unknown", "runs")
        (tmp_path / "predictions.db.damaged").write_bytes(b"x")
        with closing(sqlite3.connect(tmp_path / "predictions.db")) as db:
            sealed = [row[0] for row in db.execute("SELECT sealed FROM served")]
        assert sealed[77] in everything(tmp_path)
        log.erase()
        left = everything(tmp_path)
        assert not any(one in left for one in sealed)
        assert other.recent(9) == log.recent(9) == []
        other.add([served(0, id="unknown")])
        assert log.recent(9) == [served(0, id="unknown")]
        assert not (tmp_path / "predictions.db.damaged").exists()


@pytest.mark.parametrize("changes", [{"days": -1.0}, {"share": 0.0}, {"share": 1.5}, {"megabytes": 0}])
def test_a_policy_that_keeps_nothing_by_mistake_is_refused(changes: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="days must not be negative, share must lie"):
        replace(Retention(), **changes)  # type: ignore[arg-type]
