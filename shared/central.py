"""Rounds whose noise the coordinator adds: what they cost a device, and how noise is correlated over the rounds.

Correlated noise is DP-FTRL (Kairouz et al., 2021, "Practical and Private (Deep) Learning without Sampling or
Shuffling") with the Toeplitz square root of the prefix-sum matrix (Fichtenberger, Henzinger & Upadhyay, 2023,
"Constant Matters"; Henzinger & Upadhyay, 2025, "Improved Differentially Private Continual Observation"): A = C C with
C[i, j] = r(i - j), so round t gets the noise (C^-1 z)(t), and the sums of all rounds so far get (C z)(t).
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from shared.modes import Central, CentralNoise, Unit
from shared.privacy import Cost, SampledGaussian

MOST_ROUNDS = 10_000
"""A campaign is no longer: what its correlated noise costs is added up round by round, before a device agrees."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CentralRound:
    """How the coordinator adds the noise of a round, the `step`-th of its campaign that is committed; all public.

    With correlated noise a device takes part in at most `participations` of the campaign's `rounds`, at least
    `separation` rounds apart, and is charged for all of them before the first.
    """

    unit: Unit
    noise: CentralNoise
    step: int = 1
    rounds: int = 1
    participations: int = 1
    separation: int = 1
    count_noise: float | None = None

    def __post_init__(self) -> None:
        """Refuse what nobody can account for."""
        if self.rounds < 1 or self.participations < 1 or self.separation < 1:
            raise ValueError("rounds, participations and separation must be at least 1")
        if self.rounds > MOST_ROUNDS:
            raise ValueError(f"rounds must be at most {MOST_ROUNDS}, got {self.rounds}")
        if not 1 <= self.step <= self.rounds:
            raise ValueError(f"step must lie between 1 and rounds, got {self.step} of {self.rounds}")
        if (self.participations - 1) * self.separation >= self.rounds:
            raise ValueError("so many participations so far apart do not fit into the rounds")
        if self.noise == "correlated" and (self.unit != "device" or self.count_noise is not None):
            raise ValueError("correlated noise is for whole devices under a fixed bound")
        if self.count_noise is not None and not self.count_noise > 0:
            raise ValueError(f"count_noise must be positive, got {self.count_noise}")


def within(central: CentralRound, terms: Central) -> bool:
    """Whether a round keeps to a task's terms."""
    return (
        (central.unit, central.noise) == (terms.unit, terms.noise)
        and central.participations <= terms.participations
        and central.separation >= terms.separation
        and (central.count_noise is None) == (terms.quantile is None)
    )


def cost(central: CentralRound, *, noise_multiplier: float, row_share: float) -> Cost:
    """What a round costs, or, with correlated noise, what a device's whole part in the campaign does.

    `noise_multiplier` is the noise's standard deviation over the sensitivity of `central.unit`; `row_share` is what one
    row may move over what a whole device may, both as L2 norms: at most 2, because a row moves an update that is
    clipped as a whole by up to twice its bound (privacy rule 7).
    """
    if central.unit == "record":
        record, device = noise_multiplier, noise_multiplier * row_share
    else:
        device = noise_multiplier / (sensitivity(central) if central.noise == "correlated" else 1.0)
        record = device / row_share
    return Cost(record=(_event(record),), device=(_event(device),), trust="coordinator")


def update_noise(noise_multiplier: float, count_noise: float | None) -> float:
    """The noise on an update's sum, over its bound, where a count of who stayed below the bound is told as well.

    Andrew et al. (2021), "Differentially Private Learning with Adaptive Clipping", theorem 1: an update with this
    noise, and a count of sensitivity one half with `count_noise`, together cost as much as `noise_multiplier` alone.
    """
    if count_noise is None:
        return noise_multiplier
    left = noise_multiplier**-2 - (2 * count_noise) ** -2
    if left <= 0:
        raise ValueError(f"count_noise must be above {noise_multiplier / 2:g}, half of the noise_multiplier")
    return 1 / math.sqrt(left)


def sensitivity(central: CentralRound) -> float:
    """The L2 norm that one device adds to C x over a campaign, if each of its updates has norm 1.

    For a Toeplitz matrix with coefficients that are positive and never rise, taking part as early and as densely as
    `separation` allows is the worst (Kalinin & Lampert, 2024, "Banded Square Root Matrix Factorization for
    Differentially Private Model Training", theorem 2).
    """
    column = np.zeros(central.rounds)
    coefficients = root(central.rounds)
    for start in range(0, central.participations * central.separation, central.separation):
        column[start:] += coefficients[: central.rounds - start]
    return float(np.linalg.norm(column))


@lru_cache(maxsize=64)
def root(count: int) -> NDArray[np.float64]:
    """The first coefficients of 1 / sqrt(1 - x): column 0 of C, shape `(count,)`."""
    steps = np.arange(1, count)
    return np.concatenate([[1.0], np.cumprod((steps - 0.5) / steps)])


@lru_cache(maxsize=64)
def inverse_root(count: int) -> NDArray[np.float64]:
    """The first coefficients of sqrt(1 - x): column 0 of the inverse of C, shape `(count,)`."""
    steps = np.arange(1, count)
    return np.concatenate([[1.0], np.cumprod((steps - 1.5) / steps)])


def _event(noise_multiplier: float) -> SampledGaussian:
    return SampledGaussian(noise_multiplier=noise_multiplier, sample_rate=1.0, steps=1)
