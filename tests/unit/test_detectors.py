"""CUSUM and ADWIN on daily losses, and the losses themselves as they are read off noisy cells."""

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from machines import small_task

from server import detectors
from server.detectors import CALM, MOST, H, Reading, adwin, cusum, standardised, watch
from server.losses import Loss, loss_of, losses
from server.records import SurveyResult
from shared.drift import OUTCOMES, SCORE, Histogram
from shared.errors import InputError
from shared.tasks import Task, Window

BOTH: tuple[detectors.LossDetector, ...] = ("cusum", "adwin")
TASK = small_task(drift=replace(small_task().drift, outcome_noise_multiplier=5.0))


def series(values: Sequence[float], *, deviation: float = 0.01) -> list[Loss]:
    return [Loss(window=Window(), value=float(value), deviation=deviation) for value in values]


def drawn(seed: int, *, days: int = 120, rise: float = 0.0, since: int = 70) -> list[Loss]:
    values = np.random.default_rng(seed).normal(0.6, 0.05, days)
    values[since:] += rise
    return series(values.tolist())


def by_definition(values: Sequence[float], k: float) -> list[float]:
    """The largest sum of any stretch that ends here, less k for each of its values; never below nothing."""
    ends = range(1, len(values) + 1)
    return [max(0.0, *(sum(value - k for value in values[start:end]) for start in range(end))) for end in ends]


@given(st.lists(st.floats(-5, 5), max_size=25), st.floats(0, 2))
def test_cusum_is_the_largest_sum_of_any_stretch_up_to_now(values: list[float], k: float) -> None:
    assert cusum(values, k=k) == pytest.approx(by_definition(values, k), abs=1e-9)


@pytest.mark.parametrize("detector", BOTH)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_rise_is_caught_after_it_came_and_quiet_days_are_quiet(detector: detectors.LossDetector, seed: int) -> None:
    assert watch(detector, drawn(seed)).raised == ()
    [raised] = watch(detector, drawn(seed, rise=0.15)).raised
    assert 70 < raised < 100
    assert watch(detector, drawn(seed, rise=0.15)).alarm


@pytest.mark.parametrize("detector", BOTH)
def test_a_fall_is_good_news(detector: detectors.LossDetector) -> None:
    assert watch(detector, drawn(1, rise=-0.3)).raised == ()


def test_an_alarm_of_adwin_ends_when_the_loss_falls_again() -> None:
    values = [*drawn(1, days=70), *drawn(2, days=60, rise=0.3, since=0), *drawn(3, days=70)]
    reading = watch("adwin", values)
    assert len(reading.raised) == 1
    assert not reading.alarm


@pytest.mark.parametrize("detector", BOTH)
def test_nothing_is_said_before_there_are_calm_days_to_compare_with(detector: detectors.LossDetector) -> None:
    reading = watch(detector, drawn(1, days=CALM, rise=9.0, since=20))
    assert not any(reading.alarming)
    assert reading.says == "28 of the 29 losses that a detector needs"
    assert watch(detector, []) == Reading(alarming=(), says="no survey that tells a loss")


def test_one_wild_day_counts_so_much_at_most() -> None:
    wild = series([0.6, 0.7] * (CALM // 2) + [50.0])
    assert standardised(wild)[-1] == MOST
    assert not watch("cusum", wild).alarm
    assert MOST < H


def test_a_spread_is_no_smaller_than_what_the_noise_alone_makes() -> None:
    loud = series([0.6] * CALM + [0.8], deviation=0.2)
    assert standardised(loud)[-1] == pytest.approx(1.0)


def test_figures_are_told_in_words() -> None:
    says = watch("cusum", series([0.6, 0.7] * (CALM // 2) + [0.65], deviation=0.05)).says
    assert says == "loss 0.65 ± 0.10, 0.65 at first, CUSUM 0.0, alarm above 8"


def test_river_is_loaded_by_adwin_alone() -> None:
    probe = (
        "import sys; from server import retraining, retraining_duty, detectors; detectors.cusum([1.0]); "
        "assert 'river' not in sys.modules; detectors.adwin([1.0]); assert 'river' in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", probe], cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_without_river_adwin_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "river.drift", None)
    with pytest.raises(InputError, match=r"pip install '\.\[full\]'"):
        adwin([1.0])


def survey(counts: Sequence[float], *, noise: float = 0.0, task: Task = TASK) -> SurveyResult:
    edges = tuple(map(float, range(len(counts) + 1)))
    cells = Histogram(name=OUTCOMES, edges=edges, counts=tuple(counts), noise=noise)
    return SurveyResult(
        run_id=1, task=task.name, release=1, role="current", window=Window(), devices=3, histograms=(cells,), at=1.0
    )


def test_a_loss_is_the_mean_over_rows_at_the_middle_of_their_bins() -> None:
    counts = [0.0] * 20
    counts[2], counts[17] = 300.0, 100.0  # class 0 at 0.25, class 1 at 0.75
    found = loss_of(survey(counts), TASK)
    assert found is not None
    assert found.value == pytest.approx(-np.log(0.75))
    counts[17], counts[12] = 0.0, 100.0  # class 1 at 0.25
    found = loss_of(survey(counts), TASK)
    assert found is not None
    assert found.value == pytest.approx(-(3 * np.log(0.75) + np.log(0.25)) / 4)


def test_the_deviation_of_a_loss_is_that_of_losses_counted_again() -> None:
    random = np.random.default_rng(5)
    exact = random.integers(20, 120, 20).astype(float)
    again = [loss_of(survey(random.poisson(exact) + random.normal(0, 8, 20), noise=8.0), TASK) for _ in range(2000)]
    values = [each.value for each in again if each]
    told = loss_of(survey(exact.tolist(), noise=8.0), TASK)
    assert told is not None
    assert len(values) == 2000
    assert np.std(values) == pytest.approx(told.deviation, rel=0.1)
    assert np.mean(values) == pytest.approx(told.value, abs=0.01)


def test_noise_that_drowns_the_rows_tells_no_loss() -> None:
    assert loss_of(survey([5.0] * 20, noise=10.0), TASK) is None
    assert loss_of(survey([50.0] * 20, noise=10.0), TASK) is not None


def test_a_survey_without_outcomes_tells_none_and_cells_of_another_revision_are_refused() -> None:
    without = replace(
        survey([0.0] * 20), histograms=(Histogram(name=SCORE, edges=(0.0, 1.0), counts=(9.0,), noise=0.0),)
    )
    assert losses([without, survey([50.0] * 20)], TASK) == (loss_of(survey([50.0] * 20), TASK),)
    with pytest.raises(InputError, match="another revision"):
        loss_of(survey([50.0] * 30), TASK)
