"""The table of the discrete Gaussian: as near to the exact law as it says, and every word used as it should be."""

import math
from decimal import Decimal, localcontext
from fractions import Fraction

import numpy as np
import pytest
from numpy.typing import NDArray

from client import discrete_table
from client.discrete import discrete_gaussian
from client.discrete_table import DiscreteGaussianTable
from shared.noise import CipherStream

DRAWS = 200_000


class Script:
    """Words that were written down."""

    def __init__(self, *parts: list[int]) -> None:
        self._parts = list(parts)

    def words(self, count: int) -> NDArray[np.uint64]:
        part = self._parts.pop(0)
        assert len(part) == count
        return np.array(part, dtype=np.uint64)


def chi_square_bound(cells: int) -> float:
    """Six standard deviations by Wilson and Hilferty's cube root: exceeded once in 10^9 runs."""
    return cells * (1 - 2 / (9 * cells) + 6 * math.sqrt(2 / (9 * cells))) ** 3


@pytest.mark.parametrize("scale", [0.5, 1.0, 3.3, 14 * math.sqrt(5)])
def test_the_whole_law_is_within_two_to_the_minus_100_of_the_exact_one(scale: float) -> None:
    thresholds = discrete_table._thresholds(Fraction(scale))
    reach = len(thresholds) // 2
    made = [Fraction(b - a, 1 << 128) for a, b in zip([0, *thresholds], [*thresholds, 1 << 128], strict=True)]
    with localcontext() as context:
        context.prec = 90
        variance = 2 * Decimal(scale) ** 2
        far = [(-(Decimal(x) ** 2) / variance).exp() for x in range(2 * reach + 20)]
        total = 2 * sum(far) - 1
        exact = [Fraction(far[abs(x)] / total) for x in range(-reach, reach + 1)]
        beyond = Fraction(2 * sum(far[reach + 1 :]) / total)
    apart = (sum(abs(a - b) for a, b in zip(made, exact, strict=True)) + beyond) / 2
    assert apart < Fraction(1, 1 << 100)


@pytest.mark.parametrize(("scale", "width"), [(0.5, 1), (1.0, 1), (3.3, 1), (200.0, 25), (1000.0, 125)])
def test_it_is_distributed_as_the_exact_sampler(scale: float, width: int) -> None:
    ours = DiscreteGaussianTable(scale).draw(DRAWS, CipherStream(b"a table's own fixed 32 byte key."))
    theirs = np.array(discrete_gaussian(DRAWS // 10, scale=scale))
    edges = np.arange(-4 * scale, 4 * scale + width, width)
    a, b = (np.histogram(draws, np.r_[-np.inf, edges, np.inf])[0] for draws in (ours, theirs))
    a, b = a[a + b > 20], b[a + b > 20]
    # Two samples of different sizes (Press et al., Numerical Recipes, section 14.3).
    ratio = math.sqrt(len(ours) / len(theirs))
    assert ((a / ratio - b * ratio) ** 2 / (a + b)).sum() < chi_square_bound(len(a))


@pytest.mark.parametrize("scale", [0.7, 1.0, 30.0, 1000.0, 1e4])
def test_moments(scale: float) -> None:
    draws = DiscreteGaussianTable(scale).draw(DRAWS, CipherStream(bytes(31) + b"m")).astype(np.float64) / scale
    numbers = np.arange(-math.ceil(13 * scale), math.ceil(13 * scale) + 1)
    law = np.exp(-(numbers**2) / (2 * scale**2))
    law /= law.sum()
    for power in (1, 2, 3, 4):
        mean, square = ((law * (numbers / scale) ** p).sum() for p in (power, 2 * power))
        assert abs((draws**power).mean() - mean) < 6.2 * math.sqrt((square - mean**2) / DRAWS)


@pytest.mark.parametrize("scale", [0.5, 5.0, 700.0, 9_000.0])
def test_the_fast_way_finds_what_a_search_through_all_thresholds_finds(scale: float) -> None:
    table = DiscreteGaussianTable(scale)
    thresholds = discrete_table._thresholds(Fraction(scale))
    near = np.array([t >> 64 for t in thresholds[:: max(1, len(thresholds) // 500)]], dtype=np.uint64)
    words = np.concatenate([near + np.uint64(1), near - np.uint64(1), CipherStream(bytes(32)).words(5000)])
    words = words[~np.isin(words, table._high)]
    expected = np.searchsorted(table._high, words, side="right").tolist()
    assert (table.draw(len(words), Script(words.tolist())) + len(thresholds) // 2).tolist() == expected


def test_words_that_tie_are_decided_by_further_bits() -> None:
    table = DiscreteGaussianTable(3.0)
    thresholds = discrete_table._thresholds(Fraction(3))
    middle = len(thresholds) // 2
    high, low = thresholds[middle] >> 64, thresholds[middle] & ((1 << 64) - 1)
    assert table.draw(1, Script([high], [low - 1])).tolist() == [0]
    assert table.draw(1, Script([high], [low])).tolist() == [1]
    # In the far tail several thresholds share their high half.
    assert [t >> 64 for t in thresholds[:3]] == [0, 0, 0]
    for below in range(1, 4):
        just = thresholds[below] - 1
        assert table.draw(1, Script([0], [just])).tolist() == [below - middle]


def test_the_ends_of_the_words() -> None:
    table = DiscreteGaussianTable(1.0)
    assert table.draw(2, Script([0, 2**64 - 1], [0], [2**64 - 1])).tolist() == [-13, 13]


@pytest.mark.parametrize("scale", [0.0, 0.49, -1.0, math.nan, math.inf, 1e5])
def test_a_scale_that_no_table_holds_is_refused(scale: float) -> None:
    with pytest.raises(ValueError, match="must lie in"):
        DiscreteGaussianTable(scale)
