"""From a figure to a place in a plot, and the round figures that an axis shows."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
ROOM = 0.06
"""Which part of an axis stays free at each end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """Figures from `low` to `high` lie from `start` to `end`, evenly or by their logarithm; `whole` ones count something."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False
    whole: bool = False

    def __call__(self, value: float) -> float:
        """Where a figure lies."""
        low, high, here = (self._even(each) for each in (self.low, self.high, value))
        return self.start + (self.end - self.start) * ((here - low) / (high - low) if high > low else 0.5)

    def ticks(self, count: int = 5) -> list[float]:
        """About so many round figures between the ends."""
        found = _powers(self.low, self.high) if self.log else even(self.low, self.high, count)
        return [each for each in found if not self.whole or abs(each - round(each)) < 1e-9]

    def _even(self, value: float) -> float:
        return math.log10(value) if self.log else value


def around(values: Iterable[float], start: float, end: float, *, zero: bool = False, whole: bool = False) -> Scale:
    """A scale on which all values fit with some room; from 0 where `zero` says so."""
    finite = [value for value in values if math.isfinite(value)] or [0.0, 1.0]
    low, high = min(finite), max(finite)
    slack = (high - low) * ROOM or abs(high) * ROOM or 1.0
    return Scale(low=min(low, 0.0) if zero else low - slack, high=high + slack, start=start, end=end, whole=whole)


def even(low: float, high: float, count: int = 5) -> list[float]:
    """About so many multiples of 1, 2, 2.5 or 5 times a power of ten, from `low` to `high`."""
    if not high > low:
        return [low]
    rough = (high - low) / max(count, 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = min((each * power for each in STEPS), key=lambda each: abs(math.log(each / rough)))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [number * step for number in range(first, last + 1)]


def _powers(low: float, high: float) -> list[float]:
    """1, 2 and 5 times powers of ten; the powers alone where that would be too many."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    parts = (1.0, 2.0, 5.0) if last - first <= 3 else (1.0,)
    found = [part * 10.0**power for power in range(first, last + 1) for part in parts]
    return [each for each in found if low * (1 - 1e-9) <= each <= high * (1 + 1e-9)]
