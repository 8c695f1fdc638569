"""The power that is promised is the power that is found, and the canary is as small as that allows."""

from dataclasses import replace

import numpy as np
import pytest
from counted import Model, report
from machines import small_task

from server.evidence import compare
from server.metrics import auc, read
from server.power import POWER, Ground, gap_power, power, smallest_canary, variance
from shared.drift import OUTCOMES, DriftReport
from shared.tasks import DriftSettings, Task

TASK: Task = small_task(
    drift=DriftSettings(
        score_bins=10, feature_bins=5, score_noise_multiplier=5.0, feature_noise_multiplier=5.0, alarm_psi=0.2,
        outcome_noise_multiplier=5.0,
    )
)  # fmt: skip
APART, WORSE, ROWS = Model(apart=0.9), Model(apart=0.4), 240


def counted(random: np.random.Generator, model: Model, devices: int) -> list[DriftReport]:
    return [report(random, model, task=TASK, rows=ROWS) for _ in range(devices)]


def areas(model: Model, devices: int, draws: int) -> np.ndarray:
    random = np.random.default_rng(5)
    found = []
    for _ in range(draws):
        cells = [next(h for h in each.histograms if h.name == OUTCOMES) for each in counted(random, model, devices)]
        summed = replace(cells[0], counts=tuple(np.sum([each.counts for each in cells], axis=0)))
        found.append(auc(read(summed, TASK, 10)).value)
    return np.array(found)


def ground(area: float, devices: int = 40) -> Ground:
    return Ground(devices=devices, positives=ROWS / 3, negatives=2 * ROWS / 3, noise=5.0, score_bins=10, auc=area)


def test_the_variance_is_that_of_noisy_counts() -> None:
    """The formula is on the careful side: how rows spread over bins is an assumption of it."""
    found = areas(APART, devices=4, draws=300)
    expected = variance(ground(float(found.mean())), 4)
    assert 0.8 * found.var() <= expected <= 2 * found.var()


def test_without_noise_the_variance_is_hanley_and_mcneils() -> None:
    """Their own example: 51 abnormal and 58 normal images, area 0.893, standard error 0.032 (1982, table II)."""
    theirs = Ground(devices=2, positives=51, negatives=58, noise=0.0, score_bins=5, auc=0.893)
    assert variance(theirs, 1) ** 0.5 == pytest.approx(0.032, abs=0.0006)


def test_the_promised_power_is_found() -> None:
    """40 canaries' surveys at the smallest canary that promises 0.8: within three standard deviations below, or above."""
    good, worse = (float(areas(model, devices=8, draws=40).mean()) for model in (APART, WORSE))
    drop = good - worse
    size = smallest_canary(ground(good), drop)
    assert size is not None
    random, halted = np.random.default_rng(6), 0
    for _ in range(40):
        canary, control = counted(random, WORSE, size), counted(random, APART, 40 - size)
        halted += compare(TASK, canary, control)[0].alarm
    assert halted / 40 >= power(ground(good), size, drop) - 3 * (POWER * (1 - POWER) / 40) ** 0.5


def test_power_grows_with_the_canary_the_effect_and_the_rows_and_falls_with_noise_and_spread() -> None:
    base = ground(0.7)
    assert power(base, 2, 0.1) < power(base, 4, 0.1) < power(base, 12, 0.1)
    assert power(base, 4, 0.05) < power(base, 4, 0.1)
    assert power(base, 4, 0.1) < power(replace(base, positives=800, negatives=1600), 4, 0.1)
    assert power(base, 4, 0.1) > power(replace(base, noise=10.0), 4, 0.1)
    assert power(base, 4, 0.1) > power(replace(base, spread=0.1), 4, 0.1)
    assert power(base, 4, 0.0) == pytest.approx(0.01, abs=1e-6)


def test_the_smallest_canary_has_the_power_and_the_next_smaller_has_not() -> None:
    base = ground(0.7)
    size = smallest_canary(base, 0.15)
    assert size is not None
    assert power(base, size, 0.15) >= POWER > power(base, size - 1, 0.15)


def test_too_few_devices_find_nothing_however_bad_it_is() -> None:
    assert power(ground(0.9, devices=10), 1, 0.8) == 0.0
    assert smallest_canary(ground(0.9, devices=4), 0.8) is None


def test_a_gap_is_found_sooner_the_wider_it_is_and_the_fewer_groups_share_the_rows() -> None:
    base = ground(0.7)
    assert gap_power(base, 4, 0.2) < gap_power(base, 4, 0.4) <= 1
    assert gap_power(base, 4, 0.3, told=6) < gap_power(base, 4, 0.3, told=2)
    assert gap_power(base, 4, 0.0) == pytest.approx(0.005, abs=1e-6)
    size = smallest_canary(base, 0.4, of=gap_power)
    assert size is not None
    assert gap_power(base, size, 0.4) >= POWER
    assert gap_power(ground(0.7, devices=10), 1, 0.9) == 0.0


@pytest.mark.parametrize(
    "wrong",
    [{"devices": 1}, {"positives": 0.0}, {"negatives": 0.0}, {"auc": 1.0}, {"noise": -1.0}, {"spread": -0.1}],
    ids=lambda wrong: next(iter(wrong)),
)
def test_a_ground_that_is_none_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"power needs|must lie"):
        replace(ground(0.7), **wrong)
