"""When a shift is called one: never under noise alone, and always when it is there."""

import math
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from server import drift as coordinator
from shared.drift import SCORE, Histogram, Shift
from shared.errors import InputError
from shared.tasks import DriftSettings

UNIFORM = np.full(10, 0.1)
PEAKED = np.array([0.02, 0.25, 0.35, 0.2, 0.1, 0.05, 0.02, 0.01, 0.0, 0.0])
SPARSE = np.array([0.9, 0.1] + [0.0] * 24)


def window(proportions: NDArray[np.float64], rows: int, noise: float, random: np.random.Generator) -> Histogram:
    counts = random.multinomial(rows, proportions) + np.rint(random.normal(0, noise, len(proportions)))
    return Histogram(
        name=SCORE,
        edges=tuple(float(edge) for edge in range(len(proportions) + 1)),
        counts=tuple(counts.tolist()),
        noise=noise,
    )


def moved(old: NDArray[np.float64], new: NDArray[np.float64], rows: int, noise: float, pairs: int) -> list[Shift]:
    random = np.random.default_rng(rows)
    found = [
        coordinator.shifts([window(old, rows, noise, random)], [window(new, rows // 2, noise, random)], devices=8)
        for _ in range(pairs)
    ]
    return [shift for (shift,) in found]


@pytest.mark.parametrize("proportions", [UNIFORM, PEAKED, SPARSE], ids=["uniform", "peaked", "sparse"])
@pytest.mark.parametrize(("rows", "noise"), [(1000, 10.0), (8000, 28.0), (8000, 112.0), (50_000, 28.0), (8000, 1e-3)])
def test_no_shift_reads_as_none(proportions: NDArray[np.float64], rows: int, noise: float) -> None:
    found = moved(proportions, proportions, rows, noise, pairs=60)
    band = float(np.mean([shift.noise for shift in found]))
    assert abs(np.mean([shift.psi for shift in found])) < band / 4
    # The band lets one pair in a hundred through; five of sixty would be one chance in thousands.
    assert sum(shift.evident for shift in found) <= 5


@pytest.mark.parametrize(("rows", "noise"), [(1000, 10.0), (8000, 28.0), (50_000, 28.0)])
def test_a_shift_is_evident_and_has_about_its_true_size(rows: int, noise: float) -> None:
    new = np.roll(PEAKED, 1)
    floored = [np.maximum(proportions, coordinator.FLOOR) for proportions in (PEAKED, new)]
    true = float(((floored[1] - floored[0]) * np.log(floored[1] / floored[0])).sum())
    found = moved(PEAKED, new, rows, noise, pairs=20)
    assert all(shift.evident for shift in found)
    assert np.mean([shift.psi for shift in found]) == pytest.approx(true, rel=0.3)


def test_more_noise_widens_the_band() -> None:
    bands = [np.mean([s.noise for s in moved(PEAKED, PEAKED, 4000, noise, pairs=5)]) for noise in (1.0, 20.0, 60.0)]
    assert bands[0] < bands[1] < bands[2]


@pytest.mark.parametrize("rows", [0, 3, 100])
def test_a_window_smaller_than_its_noise_shows_nothing(rows: int) -> None:
    for shift in moved(SPARSE, np.roll(SPARSE, 7), rows, 28.0, pairs=20):
        assert shift.psi == 0.0
        assert not shift.evident
        assert math.isfinite(shift.noise)


def test_the_same_survey_shows_the_same_band_each_time() -> None:
    random = np.random.default_rng(1)
    pair = [window(PEAKED, 5000, 20.0, random)], [window(PEAKED, 5000, 20.0, random)]
    assert coordinator.shifts(*pair, devices=3) == coordinator.shifts(*pair, devices=3)


def test_a_survey_of_the_score_alone_is_compared_with_a_full_reference() -> None:
    random = np.random.default_rng(2)
    score = window(PEAKED, 5000, 20.0, random)
    other = replace(window(UNIFORM, 5000, 20.0, random), name="hour")
    assert [shift.name for shift in coordinator.shifts([score, other], [score], devices=1)] == [SCORE]
    assert [shift.name for shift in coordinator.shifts([score, other], [score, other], devices=1)] == [SCORE, "hour"]


def test_windows_that_were_counted_differently_are_not_compared() -> None:
    score = window(PEAKED, 5000, 20.0, np.random.default_rng(3))
    for other in (replace(score, edges=(-1.0, *score.edges[1:])), replace(score, name="hour")):
        with pytest.raises(InputError, match="reference"):
            coordinator.shifts([score], [other], devices=1)


@pytest.mark.parametrize(
    ("shifts", "expected"),
    [
        ([], False),
        ([(SCORE, 0.3, 0.1)], True),
        ([(SCORE, 0.3, 0.4)], False),
        ([(SCORE, 0.15, 0.1)], False),
        ([(SCORE, -0.1, 0.1), ("temp", 8.0, 0.1)], False),
        ([("temp", 8.0, 0.1)], False),
    ],
)
def test_only_the_score_raises_an_alarm(shifts: list[tuple[str, float, float]], expected: bool) -> None:
    settings = DriftSettings(
        score_bins=10, feature_bins=10, score_noise_multiplier=10.0, feature_noise_multiplier=14.0, alarm_psi=0.2
    )
    found = [Shift(name=name, psi=psi, noise=noise, devices=3) for name, psi, noise in shifts]
    assert coordinator.alarm(found, settings) is expected
