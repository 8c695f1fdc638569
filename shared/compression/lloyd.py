"""The quantizer with the least squared error on normal values, worked out from the normal distribution itself."""

import math
from functools import cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

_LONGEST = 100_000
"""Steps; 4 bits settle in about two thousand."""


@cache
def centroids(bits: int) -> NDArray[np.float64]:
    """The `2**bits` levels for a standard normal, ascending and symmetric (Max, 1960; Lloyd, 1982).

    Each level is the mean of its cell and each border the middle of two levels: the two are made true in turn, on the
    positive half. The density is log-concave, so there is one such quantizer (Fleischer, 1964).
    """
    levels = [0.5 + index / 2 for index in range(2 ** (bits - 1))]
    for _ in range(_LONGEST):
        edges = [0.0, *((low + high) / 2 for low, high in pairwise(levels)), math.inf]
        means = [_mean(low, high) for low, high in pairwise(edges)]
        moved = max(abs(new - old) for new, old in zip(means, levels, strict=True))
        levels = means
        if moved < 1e-13:
            break
    half = np.array(levels)
    return np.concatenate([-half[::-1], half])


@cache
def borders(bits: int) -> NDArray[np.float64]:
    """Where one level ends and the next begins, shape `(2**bits - 1,)`."""
    levels = centroids(bits)
    return (levels[1:] + levels[:-1]) / 2


def distortion(bits: int) -> float:
    """The mean squared error on standard normals: one minus the levels' own second moment, as each is a cell's mean."""
    edges = [-math.inf, *borders(bits).tolist(), math.inf]
    masses = [_mass(low, high) for low, high in pairwise(edges)]
    return 1.0 - float(np.array(masses) @ centroids(bits) ** 2)


def _mean(low: float, high: float) -> float:
    """The mean of a standard normal between `low` and `high`."""
    return (_density(low) - _density(high)) / _mass(low, high)


def _mass(low: float, high: float) -> float:
    return (math.erf(high / math.sqrt(2)) - math.erf(low / math.sqrt(2))) / 2


def _density(at: float) -> float:
    return math.exp(-at * at / 2) / math.sqrt(2 * math.pi)
