"""The label queue: every recent prediction below the margin, each judged by itself."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from labelled import labelled_task, small_labelling
from machines import small_task
from predicted import NOON, prediction_log, served

from client.queue import DAY, RECENT_DAYS, is_asked, margin, read_queue
from client.served import Served
from shared.labelling import ASK_BELOW
from shared.tasks import Classes, Window

TASK = small_task()


def unsure(number: int, by: float, **changes: Any) -> Served:
    return served(number, scores=(0.5 + by / 2, 0.5 - by / 2), **changes)


def test_the_least_certain_come_first_and_the_newer_of_equals(tmp_path: Path) -> None:
    with prediction_log(tmp_path) as log:
        log.add([unsure(1, 0.1), unsure(2, 0.02), unsure(3, 0.5), unsure(4, 0.1), unsure(5, 0.15)])
        found = read_queue(log, TASK, now=NOON + 60)
    assert [one.id for one in found.first] == ["prediction-2", "prediction-4", "prediction-1", "prediction-5"]
    assert found.waiting == 4


def test_a_short_page_still_counts_all_that_wait(tmp_path: Path) -> None:
    with prediction_log(tmp_path) as log:
        log.add([unsure(number, number / 1000) for number in range(50)])
        found = read_queue(log, TASK, now=NOON + 60, first=3)
    assert (found.waiting, len(found.first)) == (50, 3)


def test_a_labelled_prediction_is_asked_about_no_more_until_the_label_is_taken_back(tmp_path: Path) -> None:
    with prediction_log(tmp_path) as log:
        log.add([unsure(1, 0.1)])
        assert log.outcome("prediction-1", "stops")
        assert read_queue(log, TASK, now=NOON + 60).waiting == 0
        assert log.retract("prediction-1")
        assert read_queue(log, TASK, now=NOON + 60).waiting == 1
        assert not log.retract("prediction-2")


@pytest.mark.parametrize(
    ("one", "asked"),
    [
        (unsure(1, ASK_BELOW - 0.01), True),
        (unsure(1, ASK_BELOW + 0.01), False),
        (unsure(1, 0.0, at=NOON - RECENT_DAYS * DAY - 1), False),
        (unsure(1, 0.0, at=NOON - RECENT_DAYS * DAY + 1), True),
        (unsure(1, 0.0, label="stops", labelled_at=NOON), False),
        (served(1, scores=(0.4, 0.3, 0.3)), False),
    ],
)
def test_a_prediction_is_judged_by_its_margin_age_and_outcome(one: Served, asked: bool) -> None:
    assert is_asked(one, TASK, now=NOON) == asked


def test_the_task_says_how_sure_is_sure() -> None:
    task = labelled_task(labelling=small_labelling(ask_below=0.05))
    assert is_asked(unsure(1, 0.04), task, now=NOON)
    assert not is_asked(unsure(1, 0.06), task, now=NOON)


def test_the_margin_is_between_the_two_likeliest_classes() -> None:
    assert margin((0.1, 0.5, 0.4)) == pytest.approx(0.1)
    task = small_task(label=Classes(column="stops", classes=("runs", "stops", "burns")))
    assert is_asked(served(1, scores=(0.05, 0.5, 0.45)), task, now=NOON)


@settings(max_examples=40, deadline=None)
@given(margins=st.lists(st.floats(0, 1), max_size=12), extra=st.floats(0, 1))
def test_one_prediction_more_asks_about_no_other(margins: list[float], extra: float, tmp_path_factory: Any) -> None:
    """Rule 3: no prediction pushes another out."""
    ones = [unsure(number, by) for number, by in enumerate(margins)]
    asked: list[set[str]] = []
    for several in (ones, [*ones, unsure(99, extra)]):
        with prediction_log(tmp_path_factory.mktemp("log")) as log:
            log.add(several)
            asked.append({one.id for one in read_queue(log, TASK, now=NOON + 200).first})
    assert asked[1] - {"prediction-99"} == asked[0]


def test_what_the_owner_said_teaches(tmp_path: Path) -> None:
    with prediction_log(tmp_path) as log:
        log.add([unsure(1, 0.1), replace(unsure(2, 0.1), record={"load": 0.5})])
        log.outcome("prediction-2", "stops")
        columns, labels = log.labelled(TASK, Window())
    assert labels.tolist() == [1]
    assert np.isclose(columns["load"], 0.5).all()
