"""The exact discrete Gaussian: integer noise whose distribution no rounding has touched.

Canonne, Kamath & Steinke (2020), "The Discrete Gaussian for Differential Privacy", algorithms 1 to 3, in whole numbers
only. The random bits are the operating system's; there is no way to set a seed.
"""

import secrets
from array import array
from collections.abc import Iterator
from fractions import Fraction

_WORD = 64
_WORDS_AT_ONCE = 512


def discrete_gaussian(count: int, *, scale: float) -> list[int]:
    """`count` independent draws; integer n has probability proportional to exp(-n^2 / (2 scale^2)).

    `scale` is taken as the exact fraction that its bits say. Raises `ValueError` unless it is positive and finite.
    """
    if not 0 < scale < float("inf"):
        raise ValueError(f"scale must be positive and finite, got {scale}")
    # Bits that were drawn but not used end with the call: two processes could otherwise share them after a fork.
    words = _words()
    return [_gaussian(Fraction(scale) ** 2, int(scale) + 1, words) for _ in range(count)]


def _gaussian(variance: Fraction, width: int, words: Iterator[int]) -> int:
    """Algorithm 3: a discrete Laplace draw of scale `width`, kept with the probability that makes it Gaussian."""
    peak = variance / width
    p, q = peak.numerator, peak.denominator
    while True:
        drawn = _laplace(width, words)
        # (|drawn| - p / q)^2 / (2 variance), written without fractions, because those are slow.
        numerator = (abs(drawn) * q - p) ** 2 * variance.denominator
        if _bernoulli_exp(numerator, 2 * variance.numerator * q * q, words):
            return drawn


def _laplace(width: int, words: Iterator[int]) -> int:
    """Algorithm 2: integer n has probability proportional to exp(-|n| / width)."""
    while True:
        low = _below(width, words)
        if not _bernoulli_exp(low, width, words):
            continue
        high = 0
        while _bernoulli_exp(1, 1, words):
            high += 1
        size, negative = low + width * high, next(words) & 1
        if size or not negative:
            return -size if negative else size


def _bernoulli_exp(p: int, q: int, words: Iterator[int]) -> bool:
    """Algorithm 1: true with probability exp(-p / q), exactly."""
    while p > q:
        if not _bernoulli_exp(1, 1, words):
            return False
        p -= q
    k = 1
    while _bernoulli(p, q * k, words):
        k += 1
    return k % 2 == 1


def _bernoulli(p: int, q: int, words: Iterator[int]) -> bool:
    """True with probability p / q <= 1: a uniform number's binary digits are compared with those of p / q until they differ."""
    while True:
        digits, p = divmod(p << _WORD, q)
        drawn = next(words)
        if drawn != digits:
            return drawn < digits


def _below(bound: int, words: Iterator[int]) -> int:
    """A uniform integer in `[0, bound)`; a word that would favour small ones is drawn again."""
    if bound >> _WORD:
        return secrets.randbelow(bound)
    whole = (1 << _WORD) - (1 << _WORD) % bound
    while (drawn := next(words)) >= whole:
        pass
    return drawn % bound


def _words() -> Iterator[int]:
    """The operating system's random bits, 64 at a time."""
    while True:
        yield from array("Q", secrets.token_bytes(_WORDS_AT_ONCE * _WORD // 8))
