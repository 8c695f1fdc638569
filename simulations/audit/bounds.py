"""From the scores of canaries to figures of privacy: a two-sided Gaussian fit, and lower bounds of epsilon.

A score tells how much a canary seems to have taken part. Its canary was put in, or left out, by the toss of a coin.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, gammaln, log_expit
from scipy.stats import beta, binom, norm

Scores = NDArray[np.float64]
Coins = NDArray[np.bool_]

CONFIDENCE = 0.95
"""How sure each lower bound is, as in the papers; where several numbers of guesses are tried, they share the doubt."""

ERRORS = 3.0
"""How many standard errors a fit may be off; its bound is so close to the truth that a chance of 1 in 20 would show."""

_SHARES = (2, 3, 5, 10, 20, 50)
_THRESHOLDS = 49
_LARGEST = 1e9


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """How far two Gaussians stand apart, in standard deviations, and that estimate's standard error."""

    mu: float
    error: float


def fit(scores: Scores, coins: Coins) -> Fit:
    """Fit one Gaussian to the scores of canaries that were in, one of the same width to those that were not.

    A mechanism is mu-GDP if telling the two apart is as hard as N(mu, 1) from N(0, 1) (Dong, Roth & Su, 2022, "Gaussian
    Differential Privacy"). The error is Cohen's d's: sqrt(1/n + 1/m + mu^2 / 2(n + m - 2)).
    """
    inside, outside = scores[coins], scores[~coins]
    freedom = len(scores) - 2
    spread = math.sqrt(
        (np.var(inside, ddof=1) * (len(inside) - 1) + np.var(outside, ddof=1) * (len(outside) - 1)) / freedom
    )
    apart = float(inside.mean() - outside.mean())
    if spread <= 1e-6 * abs(apart):
        return Fit(mu=math.inf, error=0.0)
    mu = apart / spread
    return Fit(mu=mu, error=math.sqrt(1 / len(inside) + 1 / len(outside) + mu**2 / (2 * freedom)))


def by_fit(found: Fit, *, delta: float) -> float:
    """The epsilon of the smallest mu within `ERRORS` of a fit's, if the noise is Gaussian at all."""
    return gaussian_epsilon(max(found.mu - ERRORS * found.error, 0.0), delta=delta)


def gaussian_epsilon(mu: float, *, delta: float) -> float:
    """The exact epsilon of a mu-GDP mechanism, or of Gaussian noise of 1/mu times the sensitivity.

    It solves delta = Phi(mu/2 - eps/mu) - exp(eps) Phi(-mu/2 - eps/mu) (Balle & Wang, 2018, "Improving the Gaussian
    Mechanism for Differential Privacy", theorem 8).
    """
    if mu <= 0:
        return 0.0
    if not mu < math.sqrt(_LARGEST):
        return math.inf

    def excess(epsilon: float) -> float:
        below = float(norm.logcdf(-mu / 2 - epsilon / mu))
        return float(norm.cdf(mu / 2 - epsilon / mu)) - math.exp(epsilon + below) - delta

    if excess(0.0) <= 0:
        return 0.0
    return root(excess, mu**2 / 2 + mu * math.sqrt(2 * math.log(1 / delta)) + 1)


def by_clopper_pearson(scores: Scores, coins: Coins, *, delta: float) -> float:
    """The largest epsilon that the error rates of a threshold on the score disprove; the even canaries choose it.

    A test of (epsilon, delta)-DP obeys FPR + exp(eps) FNR >= 1 - delta and the same with the two exchanged (Kairouz, Oh &
    Viswanath, 2015, "The Composition Theorem for Differential Privacy"). Their intervals are Clopper and Pearson's (1934),
    which take the canaries as independent: those with a coordinate each are.
    """
    thresholds = np.quantile(scores[::2], np.linspace(0.01, 0.99, _THRESHOLDS))
    tried = _disproved(scores[::2], coins[::2], thresholds, delta=delta)
    row, column = np.unravel_index(np.argmax(tried), tried.shape)
    held_out = _disproved(scores[1::2], coins[1::2], thresholds[column : column + 1], delta=delta)
    return float(held_out[row, 0])


def _disproved(scores: Scores, coins: Coins, thresholds: Scores, *, delta: float) -> Scores:
    """The epsilon that each threshold disproves on these canaries, in both directions: shape `(2, thresholds)`."""
    inside, outside = np.sort(scores[coins]), np.sort(scores[~coins])
    false_alarms = len(outside) - np.searchsorted(outside, thresholds)
    misses = np.searchsorted(inside, thresholds)
    fpr, fnr = _at_most(false_alarms, len(outside)), _at_most(misses, len(inside))
    return np.log(np.maximum([(1 - fnr - delta) / fpr, (1 - fpr - delta) / fnr], 1.0))


def _at_most(hits: NDArray[np.intp], tries: int) -> Scores:
    """Upper ends of the intervals of two rates that hold together at `CONFIDENCE`."""
    return beta.ppf(1 - (1 - CONFIDENCE) / 2, hits + 1, np.maximum(tries - hits, 1e-9))


def by_one_run(scores: Scores, coins: Coins, *, delta: float) -> float:
    """The epsilon that one run with many canaries disproves (Steinke, Nasr & Jagielski, 2023).

    "Privacy Auditing with One (1) Training Run", theorem 5.2: guess the highest scores in and the lowest out, abstain
    on the rest. It asks nothing of the canaries but independent coins.
    """
    order = np.argsort(scores)
    numbers = [len(coins) // share for share in _SHARES if len(coins) >= share]
    doubt, best = (1 - CONFIDENCE) / len(numbers), 0.0
    for number in numbers:
        right = int(coins[order[-number:]].sum() + (~coins[order[:number]]).sum())
        best = _largest_disproved(len(coins), 2 * number, right, delta=delta, doubt=doubt, best=best)
    return best


def _largest_disproved(canaries: int, guesses: int, right: int, *, delta: float, doubt: float, best: float) -> float:
    """The largest epsilon under which so many right guesses are less likely than `doubt`; `best` if that is larger."""

    def excess(epsilon: float) -> float:
        return doubt - one_run_p_value(canaries, guesses, right, epsilon=epsilon, delta=delta)

    high = best + 1.0
    if excess(best) <= 0:
        return best
    while excess(high) > 0:
        high *= 2
    return root(excess, high, low=best)


def one_run_p_value(canaries: int, guesses: int, right: int, *, epsilon: float, delta: float) -> float:
    """How likely an (epsilon, delta)-DP algorithm lets at least `right` of `guesses` about `canaries` coins be right.

    With X binomial in `guesses` and exp(epsilon) / (1 + exp(epsilon)), it is P(X >= right), and 2 `canaries` delta times
    the largest mean of P(X = right - i), …, P(X = right - 1) over i.
    """
    hits = np.arange(right)
    ways = gammaln(guesses + 1) - gammaln(hits + 1) - gammaln(guesses - hits + 1)
    chances = np.exp(ways + hits * log_expit(epsilon) + (guesses - hits) * log_expit(-epsilon))
    slope = float(np.max(np.cumsum(chances[::-1]) / (hits + 1), initial=0.0))
    return min(1.0, float(binom.sf(right - 1, guesses, expit(epsilon))) + 2 * canaries * delta * slope)


def root(falling: Callable[[float], float], high: float, *, low: float = 0.0) -> float:
    """Where a function that falls from above zero at `low` to below it at `high` crosses it, from below."""
    while high - low > 1e-9 * (1 + high):
        middle = (low + high) / 2
        low, high = (middle, high) if falling(middle) > 0 else (low, middle)
    return low
