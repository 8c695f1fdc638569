"""Delayed loss and rates by group, against sums done by hand."""

import math
import os
from pathlib import Path

import numpy as np
from machines import small_task
from numpy.typing import NDArray
from predicted import NOON, prediction_log, served
from releasing import build_works

from client.inference import Predictor
from client.predictions import PredictionLog
from client.quality import DayLoss, GroupRates, judged, outcome_cells, outcomes, report
from client.vault import Vault
from shared.drift import SurveyPlan, groups_of
from shared.features import Bucket, Category
from shared.tasks import Task, Window

TASK = small_task(groups=("site",))


def cells_of(task: Task, log: PredictionLog, *, bins: int) -> NDArray[np.int64]:
    rows = list(judged(log, task, Window()))
    return outcome_cells(task, rows, np.array([one.scores[-1] for one, _ in rows]), bins=bins)


def test_loss_is_told_by_day(tmp_path: Path) -> None:
    day = 86_400.0
    rows = [
        served(0, scores=(0.75, 0.25), label="runs"),
        served(1, scores=(0.75, 0.25), label="stops"),
        served(2, scores=(0.0, 1.0), label="runs", at=NOON + day),
        served(3, scores=(0.5, 0.5)),
        served(4, scores=(0.5, 0.5), label="walks"),
        served(5, scores=(1.0,), label="runs"),
    ]
    with prediction_log(tmp_path) as log:
        log.add(rows)
        assert report(log, TASK).days == (
            DayLoss(
                day="2026-01-09", rows=2, log_loss=-(math.log(0.75) + math.log(0.25)) / 2, brier=0.625, accuracy=0.5
            ),
            DayLoss(day="2026-01-10", rows=1, log_loss=-math.log(1e-7), brier=2.0, accuracy=0.0),
        )
        assert [found.day for found in report(log, TASK, Window(start="2026-01-10")).days] == ["2026-01-10"]


def test_rates_are_told_by_group(tmp_path: Path) -> None:
    sites = ["north"] * 5 + ["south"] * 2 + [None, "elsewhere"]
    outcomes = ["stops", "stops", "stops", "runs", "runs", "runs", "runs", "stops", "runs"]
    says_stops = [True, True, False, True, False, False, True, True, True]
    rows = [
        served(n, record={"site": site}, label=label, scores=(0.2, 0.8) if stops else (0.8, 0.2))
        for n, (site, label, stops) in enumerate(zip(sites, outcomes, says_stops, strict=True))
    ]
    with prediction_log(tmp_path) as log:
        log.add(rows)
        assert report(log, TASK).groups == (
            GroupRates(
                column="site", value="north", rows=5, positives=3, true_positive_rate=2 / 3, false_positive_rate=0.5
            ),
            GroupRates(
                column="site", value="south", rows=2, positives=0, true_positive_rate=None, false_positive_rate=0.5
            ),
            GroupRates(
                column="site", value="other", rows=2, positives=1, true_positive_rate=1.0, false_positive_rate=1.0
            ),
        )


def test_no_outcomes_make_an_empty_report(tmp_path: Path) -> None:
    with prediction_log(tmp_path) as log:
        log.add([served(0)])
        found = report(log, TASK)
    assert found.days == ()
    assert [(group.value, group.rows, group.true_positive_rate) for group in found.groups] == [
        ("north", 0, None), ("south", 0, None), ("other", 0, None)
    ]  # fmt: skip


def test_each_row_is_counted_in_the_cell_of_its_groups_label_and_score(tmp_path: Path) -> None:
    task = small_task(
        groups=("site", "load"),
        features=(Category(name="site", values=("north", "south")), Bucket(name="load", edges=(0.25, 0.5))),
    )
    rows = [
        served(0, record={"site": "south", "load": 0.25}, scores=(0.05, 0.95), label="stops"),
        served(1, record={"site": "north"}, scores=(1.0, 0.0), label="runs", release=8),
        served(2, record={"load": 9.0}, scores=(0.0, 1.0), label="0.25"),
        served(3, record={"site": "south", "load": 0.1}, scores=(math.nan, math.nan), label="stops"),
        served(4, record={"site": "south", "load": 0.1}),
    ]
    with prediction_log(tmp_path) as log:
        log.add(rows)
        cells = cells_of(task, log, bins=10)
    groups = groups_of(task)
    assert cells.dtype == np.int64
    assert cells.shape == (len(groups), 2, 10) == (12, 2, 10)
    assert {(groups[g], label, score): cells[g, label, score] for g, label, score in np.argwhere(cells).tolist()} == {
        ("south 0.25..0.5", 1, 9): 1,
        ("north other", 0, 0): 1,
        ("other 0.5..", 0, 9): 1,
        ("south ..0.25", 1, 0): 1,
    }


def test_a_task_without_groups_has_one(tmp_path: Path) -> None:
    with prediction_log(tmp_path) as log:
        log.add([served(0, label="runs")])
        assert groups_of(small_task()) == ("",)
        assert cells_of(small_task(), log, bins=10).shape == (1, 2, 10)
        assert report(log, small_task()).groups == ()


def test_a_column_that_declares_no_values_is_one_group(tmp_path: Path) -> None:
    task = small_task(groups=("load", "nowhere"))
    with prediction_log(tmp_path) as log:
        log.add([served(0, label="runs"), served(1, label="runs", record={})])
        assert cells_of(task, log, bins=4)[:, 0].tolist() == [[0, 2, 0, 0]]


def test_a_survey_is_told_what_its_release_says_of_outcomes_since_it_was_installed(tmp_path: Path) -> None:
    """Whichever release answered: rows may have made the device fall back, and must not choose who is counted."""
    works = build_works(tmp_path)
    works.publish(seed=1)
    assert works.check() == 1
    os.utime(works.place.releases / "1" / "release.json", (NOON, NOON))
    counted = [served(0, label="runs"), served(1, label="runs", release=7)]
    log = PredictionLog(works.place.predictions, Vault.open(works.home))
    log.add([*counted, served(2, label="stops", at=NOON - 60), served(3, label="stops", at=NOON + 86_400)])
    log.close()
    plan = SurveyPlan(
        run_id=1, task="machines", revision=1, release=1, window=Window(end="2026-01-10"), role="current",
        features=False, score_bins=4, feature_bins=4, score_noise_multiplier=1.0, feature_noise_multiplier=1.0,
    )  # fmt: skip
    found = outcomes(plan, TASK, works.place)
    scores = [Predictor(works.home).predict(one.record).scores["stops"] for one in counted]
    expected = np.bincount([int(score * 4) for score in scores], minlength=4)
    assert found.sum(axis=(0, 2)).tolist() == [2, 0]
    assert found.sum(axis=(0, 1)).tolist() == expected.tolist()
