"""Epsilon by privacy loss distributions: what people are shown, tighter than the ledger's own and never below the truth.

Discretised pessimistically (Doroshenko et al., 2022, "Connect the Dots: Tighter Discrete Approximations of Privacy Loss
Distributions") and composed by dp-accounting. Later plans depend on earlier outputs, so nothing is admitted by it round
by round (privacy rule 8). It needs the extra `full`, and half a second to import.

Only for Gaussian noise: where a `SampledGaussian` stands for another mechanism that is bounded in Renyi divergence
alone (noise in shares, `shared/distributed.py`), what is returned here would promise too much.
"""

import math
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from shared import accounting
from shared.errors import InputError
from shared.privacy import SampledGaussian

if TYPE_CHECKING:
    from dp_accounting.pld.privacy_loss_distribution import PrivacyLossDistribution

TOLERANCE = 2.5e-4
"""How far above the exact epsilon the discretisation may lead, as it is estimated; a thousandth is promised."""

COARSEST, FINEST = 1e-3, 2.0**-8 * 1e-3
"""Losses are told apart by this much; below the finest, rounding errors grow faster than the grid gets better."""

MOST_LOSSES = 2_000_000
"""About so many of one event are told apart; more take too long and too much memory."""

MOST_EPSILON = 200.0
"""Above it nobody needs to know more than the accountant says."""

ROUNDING = 2.0**-53
"""What composing by Fourier transforms may take from delta, a step: a few dozen times what was seen. It is kept back."""


def epsilon(history: Iterable[SampledGaussian], *, delta: float) -> float:
    """What a history of Gaussian events costs at `delta`: from exact to a thousandth above it.

    So close up to 10^5 steps where delta is 10^-6 or more, and up to 10^3 at 10^-10; beyond, it is still no less than
    exact and no more than the accountant's. Raise `InputError` without dp-accounting.
    """
    return _epsilon(_merged(history), delta)


@lru_cache(maxsize=4096)
def _epsilon(merged: frozenset[SampledGaussian], delta: float) -> float:
    proven = accounting.epsilon(merged, delta=delta)
    if not 0 < proven <= MOST_EPSILON:
        return proven
    left = delta - ROUNDING * (sum(event.steps for event in merged) + 10)
    if left <= 0:
        return proven
    grid = _grid(merged, proven, delta)
    composed: Any = None
    for event in sorted(merged, key=lambda each: (each.noise_multiplier, each.sample_rate)):
        one = _one_step(event.noise_multiplier, event.sample_rate, grid)
        every = one.self_compose(event.steps) if event.steps > 1 else one
        composed = every if composed is None else composed.compose(every)
    return min(proven, float(composed.get_epsilon_for_delta(left)))


def _merged(history: Iterable[SampledGaussian]) -> frozenset[SampledGaussian]:
    """Equal mechanisms as one; all that see every row as one exactly, since Gaussians add up to a Gaussian."""
    steps: Counter[tuple[float, float]] = Counter()
    strength = 0.0
    for event in history:
        if event.sample_rate == 1.0:
            strength += event.steps / event.noise_multiplier**2
        else:
            steps[event.noise_multiplier, event.sample_rate] += event.steps
    sampled = {SampledGaussian(noise_multiplier=n, sample_rate=q, steps=count) for (n, q), count in steps.items()}
    if strength:
        sampled.add(SampledGaussian(noise_multiplier=strength**-0.5, sample_rate=1.0, steps=1))
    return frozenset(sampled)


def _grid(merged: frozenset[SampledGaussian], proven: float, delta: float) -> float:
    """How far apart losses are told, by the number of steps and the epsilon that they are known to stay below.

    Connecting the dots spreads each loss over its two neighbours on the grid, which adds at most h^2 / 4, and about
    h^2 / 6, to its variance. Composed, losses are close to a Gaussian's of deviation m, for which epsilon is about
    z m + m^2 / 2, z = sqrt(2 ln(1 / delta)): T steps raise it by about (z + m) T h^2 / (12 m).
    """
    steps = sum(event.steps for event in merged)
    z = math.sqrt(-2 * math.log(delta))
    deviation = math.sqrt(z * z + 2 * proven) - z
    wanted = math.sqrt(12 * TOLERANCE * deviation / ((z + deviation) * steps))
    feasible = 2 * max(_largest_loss(event.noise_multiplier) for event in merged) / MOST_LOSSES
    halvings = math.ceil(math.log2(COARSEST / max(wanted, feasible, FINEST)))
    return COARSEST * 2.0 ** -max(0, halvings)


def _largest_loss(noise_multiplier: float) -> float:
    """The loss ten deviations off, beyond which dp-accounting looks no further; of either sign."""
    return (1 + 20 * noise_multiplier) / (2 * noise_multiplier**2)


@lru_cache(maxsize=32)
def _one_step(noise_multiplier: float, sample_rate: float, grid: float) -> "PrivacyLossDistribution":
    """One event's losses, for a row that is added and for one that is removed."""
    try:
        from dp_accounting.pld import privacy_loss_distribution
    except ModuleNotFoundError:
        raise InputError("this takes dp-accounting; `pip install '.[full]'` in Covey's checkout adds it") from None
    return privacy_loss_distribution.from_gaussian_mechanism(
        noise_multiplier, sampling_prob=sample_rate, value_discretization_interval=grid, pessimistic_estimate=True
    )
