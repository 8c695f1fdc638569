"""The discrete Gaussian many times over: one lookup in a table of 128-bit thresholds for each draw.

`client/discrete.py` is exact and takes tens of microseconds a draw; a vector of a million noise shares needs tens of
nanoseconds. The table is made with whole numbers only, so its distance from the exact law is proved, not measured:

- cut: a draw beyond `12.6 scale` has probability at most `2 exp(-12.6^2 / 2) < 2^-113`, because a discrete Gaussian is
  sub-Gaussian: by Poisson's summation formula `E exp(tX) = exp(t^2 s^2 / 2) theta(t s^2) / theta(0)`, where
  `theta(y) = sum over x of exp(-(x - y)^2 / (2 s^2))` has positive Fourier coefficients and so is largest at 0;
- weights: products of 256-bit fractions. `exp(-1 / (2 s^2))` is within 2^10 units in the last place, so the x-th ratio is
  within `2^11 (x + 1)` and the x-th weight within `2^11 (x + 1)^2` units; at the largest scale (x < 2^20) all weights
  together are within 2^72 units, 2^-184 of a sum that is at least 1;
- thresholds: rounded down to a multiple of 2^-128, at most 2^21 of them.

Altogether the total variation distance is below `2^-113 + 2^-183 + 2^-107 < 2^-100` for each draw.
"""

import math
from bisect import bisect_right
from fractions import Fraction
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from shared.distributed import LARGEST_SHARE
from shared.secagg.encoding import Words

_ONE = 1 << 256
_REACH = 12.6
_LOW = (1 << 64) - 1
_AT_ONCE = 1 << 14
_BUCKET_BITS = 18


class DiscreteGaussianTable:
    """Draws integer n with probability proportional to `exp(-n^2 / (2 scale^2))`, within 2^-100 in total variation."""

    def __init__(self, scale: float) -> None:
        """Make the table of a scale from 0.5 to `LARGEST_SHARE`: about 1.5 us and 16 bytes for each of `25 scale` rows."""
        if not 0.5 <= scale <= LARGEST_SHARE:
            raise ValueError(f"a table's scale must lie in [0.5, {LARGEST_SHARE:.0f}], got {scale}")
        thresholds = _thresholds(Fraction(scale))
        self.scale = scale
        self._offset = len(thresholds) // 2
        self._high = np.array([t >> 64 for t in thresholds], dtype=np.uint64)
        self._low = np.array([t & _LOW for t in thresholds], dtype=np.uint64)
        starts = np.arange(1 << _BUCKET_BITS, dtype=np.uint64) << np.uint64(64 - _BUCKET_BITS)
        self._first = np.searchsorted(self._high, starts)
        self._crowded = np.diff(self._first, append=len(thresholds)) > 1
        # A bucket after the last threshold compares with this one, which is below all words of that bucket.
        self._first_or_last = np.minimum(self._first, len(thresholds) - 1)

    def draw(self, count: int, source: Words) -> NDArray[np.int64]:
        """Return `count` independent draws, shape `(count,)`; each takes one word, and one in 2^40 or fewer takes two."""
        drawn = np.empty(count, dtype=np.int64)
        for start in range(0, count, _AT_ONCE):
            part = drawn[start : start + _AT_ONCE]
            words = source.words(len(part))
            part[:] = self._below(words)
            # Equal high halves decide nothing yet; the low halves do.
            for tie in np.flatnonzero(self._high[np.maximum(part - 1, 0)] == words).tolist():
                part[tie] = self._resolve(int(words[tie]), int(source.words(1)[0]))
        drawn -= self._offset
        return drawn

    def _below(self, words: NDArray[np.uint64]) -> NDArray[np.intp]:
        """How many thresholds' high halves are at most each word."""
        bucket = (words >> np.uint64(64 - _BUCKET_BITS)).view(np.int64)
        found = self._first.take(bucket)
        found += self._high.take(self._first_or_last.take(bucket)) <= words
        np.minimum(found, len(self._high), out=found)
        crowded = np.flatnonzero(self._crowded.take(bucket))
        found[crowded] = np.searchsorted(self._high, words[crowded], side="right")
        return found

    def _resolve(self, high: int, low: int) -> int:
        """How many thresholds are at most `high 2^64 + low`."""
        first, last = (int(np.searchsorted(self._high, np.uint64(high), side=side)) for side in ("left", "right"))
        return first + bisect_right(self._low[first:last].tolist(), low)


@lru_cache(maxsize=4)
def table(scale: float) -> DiscreteGaussianTable:
    """Return the table of a scale; the last few are kept, because every round of a plan draws from the same one."""
    return DiscreteGaussianTable(scale)


def _thresholds(scale: Fraction) -> list[int]:
    """P(X <= x) in units of 2^-128, for x from -reach to reach - 1."""
    reach = math.ceil(_REACH * scale)
    weights = _weights(1 / (2 * scale * scale), reach)
    total = 2 * sum(weights) - weights[0]
    thresholds, seen = list[int](), 0
    for x in range(-reach, reach):
        seen += weights[abs(x)]
        thresholds.append((seen << 128) // total)
    return thresholds


def _weights(rate: Fraction, reach: int) -> list[int]:
    """`exp(-rate x^2)` in units of 2^-256, for x from 0 to `reach`."""
    ratio = _exp_minus(rate)
    square = (ratio * ratio) >> 256
    weights = [_ONE]
    for _ in range(reach):
        weights.append((weights[-1] * ratio) >> 256)
        ratio = (ratio * square) >> 256
    return weights


def _exp_minus(rate: Fraction) -> int:
    """`exp(-rate)` in units of 2^-256, by its series."""
    total, term, k = _ONE, _ONE, 0
    while term:
        k += 1
        term = term * rate.numerator // (rate.denominator * k)
        total += -term if k % 2 else term
    return total
