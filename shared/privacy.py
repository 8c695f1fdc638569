"""The words of privacy: what was granted, what one computation costs, what is spent."""

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class PrivacyBudget:
    """The (epsilon, delta) that its owner granted this device; it never leaves the device."""

    epsilon: float
    delta: float

    def __post_init__(self) -> None:
        """Refuse a budget that protects nothing."""
        if not (self.epsilon > 0 and math.isfinite(self.epsilon)):
            raise ValueError(f"epsilon must be positive and finite, got {self.epsilon}")
        if not 0 < self.delta < 1:
            raise ValueError(f"delta must lie between 0 and 1, got {self.delta}")


@dataclass(frozen=True, slots=True, kw_only=True)
class SampledGaussian:
    """`steps` Gaussian mechanisms, each on a Poisson sample of the rows, adding or removing one row.

    `noise_multiplier` is the noise's standard deviation over the L2 sensitivity. DP-SGD is
    `sample_rate < 1`; one noisy count over all rows is `sample_rate = 1, steps = 1`.
    """

    noise_multiplier: float
    sample_rate: float
    steps: int

    def __post_init__(self) -> None:
        """Refuse an event that no accountant can compose."""
        if not (self.noise_multiplier > 0 and math.isfinite(self.noise_multiplier)):
            raise ValueError(f"noise_multiplier must be positive, got {self.noise_multiplier}")
        if not 0 < self.sample_rate <= 1:
            raise ValueError(f"sample_rate must lie in (0, 1], got {self.sample_rate}")
        if self.steps < 1:
            raise ValueError(f"steps must be at least 1, got {self.steps}")


@dataclass(frozen=True, slots=True, kw_only=True)
class PrivacySpent:
    """What a history of `releases` charged computations has cost, at a fixed `delta`."""

    epsilon: float
    delta: float
    releases: int
