"""A figure read off noisy counts: its value, between which bounds it lies, and whether that decides a question."""

import math
from dataclasses import dataclass
from typing import Literal

CONFIDENCE = 0.95
"""How often bounds hold what they are bounds of, unless a task asks for more."""

WIDEST = 0.15
"""A share whose bar reaches further to either side tells nothing that a person could act on."""

Answer = Literal["passed", "failed", "undecided"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A figure as the counts have it, and the two-sided bounds that cover sampling and privacy noise together."""

    value: float
    low: float
    high: float

    def __post_init__(self) -> None:
        """Refuse a value outside its bounds; NaN is no figure."""
        if not (self.low <= self.value <= self.high and math.isfinite(self.high - self.low)):
            raise ValueError(f"a value lies between its bounds, got {self.value} in [{self.low}, {self.high}]")

    @property
    def band(self) -> float:
        """How far the bounds reach, to the side where they reach further."""
        return max(self.high - self.value, self.value - self.low)

    @property
    def tells(self) -> bool:
        """Whether the bar is narrow enough to act on."""
        return self.band <= WIDEST

    def __str__(self) -> str:
        """The figure as a person reads it; none where there is nothing to read."""
        return f"{self.value:.2f} ± {self.band:.2f}" if self.tells else "cannot tell"


def bounded(value: float, low: float, high: float, *, least: float = 0.0, most: float = 1.0) -> Estimate:
    """An estimate of what cannot lie outside `[least, most]`; noise may have pushed all three beyond."""
    value, low, high = (min(most, max(least, each)) for each in (value, low, high))
    return Estimate(value=value, low=min(low, value), high=max(high, value))


def unknown(*, least: float = 0.0, most: float = 1.0) -> Estimate:
    """Nothing is known of what lies in `[least, most]`."""
    return Estimate(value=(least + most) / 2, low=least, high=most)


def decide(estimate: Estimate, *, at_least: float | None = None, at_most: float | None = None) -> Answer:
    """Whether all that the bounds allow meets what is demanded, none of it does, or that is undecided."""
    if (at_least is None or estimate.low >= at_least) and (at_most is None or estimate.high <= at_most):
        return "passed"
    short, beyond = at_least is not None and estimate.high < at_least, at_most is not None and estimate.low > at_most
    return "failed" if short or beyond else "undecided"


def difference(one: Estimate, other: Estimate) -> Estimate:
    """`one - other`, of two figures from different counts.

    The bounds are recovered from those of both (Zou & Donner, 2008, "Construction of Confidence Limits about Effect
    Measures: A General Approach").
    """
    value = one.value - other.value
    down = math.hypot(one.value - one.low, other.high - other.value)
    up = math.hypot(one.high - one.value, other.value - other.low)
    return Estimate(value=value, low=value - down, high=value + up)
