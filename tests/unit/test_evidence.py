"""Charged counts of a canary beside the others': harm is found, and no difference is seldom taken for harm."""

import math
from dataclasses import replace

import numpy as np
import pytest
from counted import TASK, Model, report, strict
from machines import small_task

from server.evidence import compare, placements
from server.placing import FALSE_ALARM, SETS, can_alarm, fewest, least_chance
from server.records import Comparison
from shared.drift import OUTCOMES, DriftReport
from shared.tasks import Task

CANARY, DEVICES = 4, 20


def both(
    seed: int, model: Model, *, devices: int = DEVICES, canary: int = CANARY, spread: float = 0.0, task: Task = TASK,
    rows: int = 200,
) -> tuple[list[DriftReport], list[DriftReport]]:  # fmt: skip
    """A canary under `model`, and the others under a good one; devices differ by `spread`."""
    random = np.random.default_rng(seed)
    places = random.normal(0, spread, devices)
    found = [
        report(random, model if index < canary else Model(), own=places[index], task=task, rows=rows)
        for index in range(devices)
    ]
    return found[:canary], found[canary:]


def found(seed: int, model: Model, *, task: Task = TASK, spread: float = 0.0, rows: int = 200) -> dict[str, Comparison]:
    compared = compare(task, *both(seed, model, task=task, spread=spread, rows=rows))
    return {each.name: each for each in compared}


def test_a_release_that_is_no_worse_raises_no_alarm() -> None:
    compared = found(1, Model())
    assert list(compared) == ["AUC", "group gap", "score drift"]
    assert not any(each.alarm for each in compared.values())
    assert compared["AUC"].canary == pytest.approx(compared["AUC"].control, abs=0.1)


def test_a_worse_one_lowers_the_auc() -> None:
    auc = found(2, Model(apart=0.2))["AUC"]
    assert auc.alarm
    assert auc.says.startswith("worse: AUC 0.")
    assert auc.canary < auc.control


def test_inverted_labels_are_told_by_their_name() -> None:
    auc = found(3, Model(apart=-1.0))["AUC"]
    assert auc.alarm
    assert auc.says.startswith("labels look inverted: AUC 0.")
    assert auc.canary < 0.5 < auc.control


def test_a_bias_against_a_group_names_it() -> None:
    gap = found(4, Model(lean=2.0), rows=400)["group gap"]
    assert gap.alarm
    assert "biased: scores of 'south' lie" in gap.says
    assert "above its outcomes" in gap.says


def test_a_task_without_groups_has_no_gap() -> None:
    task = replace(TASK, groups=())
    assert [each.name for each in compare(task, *both(5, Model(), task=task))] == ["AUC", "score drift"]


def test_scores_that_moved_alarm_only_where_a_gate_says_how_far_they_may() -> None:
    moved = Model(lean=4.0)
    assert not found(6, moved)["score drift"].alarm
    drift = found(6, moved, task=strict(0.1))["score drift"]
    assert drift.alarm
    assert "at most 0.1 may" in drift.says
    assert not found(6, Model(), task=strict(0.1))["score drift"].alarm


def test_too_few_outcomes_tell_nothing() -> None:
    auc = found(7, Model(apart=-1.0), rows=5)["AUC"]
    assert not auc.alarm
    assert auc.says == "AUC: too few outcomes to tell"


def test_a_task_that_counts_no_outcomes_compares_scores_alone() -> None:
    task = small_task()
    canary, control = (
        [replace(each, histograms=tuple(h for h in each.histograms if h.name != OUTCOMES)) for each in side]
        for side in both(8, Model())
    )
    assert [each.name for each in compare(task, canary, control)] == ["score drift"]


def test_one_side_alone_is_compared_with_nothing() -> None:
    canary, control = both(9, Model())
    assert compare(TASK, canary, []) == compare(TASK, [], control) == ()


def test_one_device_of_ten_can_never_alarm() -> None:
    canary, control = both(10, Model(apart=-3.0), devices=10, canary=1, rows=400)
    auc = compare(TASK, canary, control)[0]
    assert auc.chance == least_chance(1, 10) == 0.1
    assert (auc.alarm, auc.untold) == (False, True)
    assert auc.says.endswith("1 of 10 devices can never show harm")


def test_the_smallest_canary_that_can_alarm() -> None:
    assert [fewest(devices) for devices in (8, 9, 14, 15, 100)] == [None, 4, 3, 2, 1]
    assert can_alarm(2, 15)
    assert not can_alarm(2, 14)
    assert not can_alarm(15, 15)


def test_a_group_that_is_too_small_leaves_its_gap_untold() -> None:
    sides = both(11, Model(), rows=900)
    assert not compare(TASK, *sides)[1].untold, "nobody is of the third group, surely less than 2 % of the rows"
    few = tuple(tuple(some_are_elsewhere(each) for each in side) for side in sides)
    gap = compare(TASK, *few)[1]
    assert (gap.name, gap.untold, gap.alarm) == ("group gap", True, False)
    assert gap.says.endswith("too few outcomes to tell of other")


def some_are_elsewhere(report: DriftReport) -> DriftReport:
    """With a score of rows of the third group, fewer than stand out of the noise."""
    counts = [
        replace(each, counts=(*each.counts[:-20], *(count + 1.0 for count in each.counts[-20:])))
        if each.name == OUTCOMES else each
        for each in report.histograms
    ]  # fmt: skip
    return replace(report, histograms=tuple(counts))


def test_every_set_is_looked_at_once_or_a_sample_of_them_with_the_observed_one() -> None:
    every = placements(2, 6)
    assert len({tuple(row) for row in every.tolist()}) == math.comb(6, 2)
    assert every[0].tolist() == [1, 1, 0, 0, 0, 0]
    drawn = placements(4, 40)
    assert drawn.shape == (SETS, 40)
    assert drawn[0, :4].sum() == 4
    assert (drawn.sum(axis=1) == 4).all()
    assert drawn[1:].mean(axis=0) == pytest.approx(np.full(40, 0.1), abs=0.02)


@pytest.mark.parametrize("spread", [0.0, 1.0], ids=["alike", "unlike"])
def test_no_difference_is_seldom_taken_for_harm_however_unlike_devices_are(spread: float) -> None:
    """Three standard deviations above the stated rate, over 150 rollouts of a release that makes no difference."""
    rollouts = 150
    alarms = {"AUC": 0, "group gap": 0}
    for seed in range(rollouts):
        for name, each in found(1000 + seed, Model(), spread=spread, rows=120).items():
            if name in alarms:
                alarms[name] += each.alarm
    most = rollouts * FALSE_ALARM + 3 * math.sqrt(rollouts * FALSE_ALARM * (1 - FALSE_ALARM))
    assert max(alarms.values()) <= most
