"""The words of privacy: what was granted, what one computation costs, what is spent."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

Level = Literal["record", "device", "alone"]
"""Whom an epsilon protects: one row more or less, a device whose rows are all left out, or one row while the
coordinator breaks the protocol, so that nothing but this device's own noise counts."""

Trust = Literal["everyone", "sums", "coordinator"]
"""Against whom an event holds: everyone; everyone but a coordinator that sees more than sums; all but the coordinator."""

TRUSTS: tuple[Trust, ...] = ("everyone", "sums", "coordinator")
"""From the least that must be trusted to the most."""

LEVELS: tuple[Level, ...] = ("record", "device", "alone")

ADJACENCY: dict[Level, str] = {
    "record": "one row added or removed",
    "device": "all of one device's rows left out",
    "alone": "one row added or removed, the coordinator malicious",
}
TRUST: dict[Trust, str] = {
    "everyone": "against everyone",
    "sums": "against the coordinator that sees only sums, and everyone else",
    "coordinator": "against everyone but the coordinator",
}


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
        if not 1 <= self.steps < 2**53:
            raise ValueError(f"steps must lie in [1, 2**53), got {self.steps}")


@dataclass(frozen=True, slots=True, kw_only=True)
class PrivacySpent:
    """What a history of `releases` charged computations has cost, at a fixed `delta`."""

    epsilon: float
    delta: float
    releases: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What one release costs, at each level that its mode speaks of, and against whom that holds.

    `device` is empty where the mode protects no device as a whole. `alone` is what the device's own noise guarantees
    if the coordinator breaks the protocol; where the mode trusts nobody, that is `record`, and it is left empty.
    """

    record: tuple[SampledGaussian, ...]
    device: tuple[SampledGaussian, ...] = ()
    alone: tuple[SampledGaussian, ...] = ()
    trust: Trust = "everyone"

    def __post_init__(self) -> None:
        """Refuse a cost whose levels contradict its trust: what nobody must be trusted for has one level."""
        if self.trust == "everyone" and (self.device or self.alone):
            raise ValueError("a release that trusts nobody is charged at record level alone")

    def lines(self) -> Iterator[tuple[Level, SampledGaussian]]:
        """Each event with its level."""
        for level in LEVELS:
            for event in self.at(level):
                yield level, event

    def times(self, count: int) -> "Cost":
        """The same, so many times over."""

        def more(events: tuple[SampledGaussian, ...]) -> tuple[SampledGaussian, ...]:
            return tuple(replace(event, steps=event.steps * count) for event in events)

        return replace(self, record=more(self.record), device=more(self.device), alone=more(self.alone))

    def at(self, level: Level) -> tuple[SampledGaussian, ...]:
        """The events of one level, as they were given."""
        return {"record": self.record, "device": self.device, "alone": self.alone}[level]
