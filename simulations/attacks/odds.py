"""How often a guess may be right: intervals around what was counted, and the most that a charge allows."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta

CONFIDENCE = 0.99
"""Of each interval; some thirty figures are held against bounds in one table."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """How many of `tries` were hits; where these came in groups that sway together, they are worth fewer.

    `effect` is how many of them are worth one that stands for itself: the variance between groups over what it would be.
    """

    hits: int
    tries: int
    effect: float = 1.0

    @property
    def share(self) -> float:
        """Hits over tries."""
        return self.hits / self.tries

    @property
    def interval(self) -> tuple[float, float]:
        """Both ends of the interval of `CONFIDENCE` for the chance of a hit: Clopper and Pearson's (1934), which is exact.

        Of grouped tries it is that of as many as they are worth (Korn & Graubard, 1998, "Confidence Intervals for
        Proportions With Small Expected Number of Positive Counts Estimated From Survey Data").
        """
        doubt, hits, missed = (1 - CONFIDENCE) / 2, self.hits / self.effect, (self.tries - self.hits) / self.effect
        low = float(beta.ppf(doubt, hits, missed + 1)) if hits else 0.0
        high = float(beta.ppf(1 - doubt, hits + 1, missed)) if missed else 1.0
        return low, high


def grouped(hits: NDArray[np.int64], tries: NDArray[np.int64]) -> Count:
    """The count of several groups, such as the rows of each model: `hits` and `tries` by group."""
    share = hits.sum() / tries.sum()
    alone = tries.sum() * share * (1 - share)
    effect = float(((hits - share * tries) ** 2).sum() / alone) if alone else 1.0
    return Count(hits=int(hits.sum()), tries=int(tries.sum()), effect=max(1.0, effect))


def most(blind: float, orders: NDArray[np.float64], divergence: NDArray[np.float64]) -> float:
    """The most likely that a guess can be right, if without the row it would be right with probability `blind`.

    `divergence` is Renyi's at `orders`, in nats. An event of probability q under one of two distributions has at most
    `(q exp(D_a))^((a - 1) / a)` under the other (Mironov, 2017, "Renyi Differential Privacy", proposition 10). Of a guess
    at the row, with a prior, this is reconstruction robustness (Balle, Cherubin & Hayes, 2022).
    """
    if blind <= 0:
        return 0.0
    exponents = (1 - 1 / orders) * (divergence + np.log(blind))
    return float(np.exp(min(0.0, float(exponents.min()))))


def most_after_gaussian(blind: float, noise_multiplier: float) -> float:
    """`most` after one Gaussian of this noise over the row's sensitivity, or what costs no more at any real order."""
    orders = 1 + np.geomspace(1e-4, 1e4, 4000)
    return most(blind, orders, orders / (2 * noise_multiplier**2))
