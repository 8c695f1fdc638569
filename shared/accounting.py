"""How much privacy a history of events costs: Renyi DP on one fixed grid of integer orders.

Admission must be a filter on a grid chosen before the first event, because later plans depend
on earlier outputs (Feldman & Zrnic, 2021, "Individual Privacy Accounting via a Renyi Filter").
At an integer order the Renyi divergence of the Poisson-sampled Gaussian is a finite sum (Mironov,
Talwar & Zhang, 2019, "Renyi Differential Privacy of the Sampled Gaussian Mechanism", eq. 30), so
no numerical library is needed on the device; `tests/properties` holds it against dp-accounting.
"""

import math
from collections.abc import Iterable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from shared.errors import BudgetExhausted
from shared.privacy import PrivacyBudget, SampledGaussian

ORDERS = np.array([*range(2, 64), *range(64, 256, 8), *range(256, 1025, 64)], dtype=np.float64)
"""The fixed grid of Renyi orders; changing it would change what past admissions promised."""


_LOG_FACTORIAL = np.array([math.lgamma(n + 1) for n in range(int(ORDERS[-1]) + 1)])
_LOG_DIRECT = np.log1p(-1 / ORDERS) - np.log(ORDERS) / (ORDERS - 1)
"""What the conversion to epsilon adds at each order, but for delta."""


_LEAST_NOISE, _MOST_NOISE = 1e-100, 1e100


@lru_cache(maxsize=4096)
def _one_step(noise_multiplier: float, sample_rate: float) -> NDArray[np.float64]:
    """Divergence of one sampled Gaussian at each of `ORDERS`: a few milliseconds, and nothing from the second time on.

    Beyond what floats can square, too little noise costs without bound, and more noise no less than what they can.
    """
    if noise_multiplier < _LEAST_NOISE:
        return np.full(len(ORDERS), np.inf)
    noise_multiplier = min(noise_multiplier, _MOST_NOISE)
    if sample_rate == 1.0:
        return ORDERS / (2 * noise_multiplier**2)
    return np.array([_divergence(int(order), noise_multiplier, sample_rate) for order in ORDERS])


def _divergence(order: int, noise_multiplier: float, sample_rate: float) -> float:
    """Renyi divergence of one sampled Gaussian at an integer order.

    The sum of equation 30 is one plus the terms below: the binomial's own terms, which add up to one, are taken out
    of it. All of them are positive, so nothing cancels, however small the sample rate is.
    """
    k = np.arange(2, order + 1)
    exponent = k * (k - 1) / (2 * noise_multiplier**2)
    terms = (
        _LOG_FACTORIAL[order]
        - _LOG_FACTORIAL[k]
        - _LOG_FACTORIAL[order - k]
        + k * math.log(sample_rate)
        + (order - k) * math.log1p(-sample_rate)
        + exponent
        + np.log(-np.expm1(-exponent))
    )
    top = float(terms.max())
    return float(np.logaddexp(0.0, top + math.log(np.exp(terms - top).sum()))) / (order - 1)


def renyi(history: Iterable[SampledGaussian]) -> NDArray[np.float64]:
    """Renyi divergence of a history at each of `ORDERS`, shape `(len(ORDERS),)`, in nats."""
    events = list(history)
    if not events:
        return np.zeros(len(ORDERS))
    steps = np.array([_as_float(event.steps) for event in events])
    with np.errstate(over="ignore", invalid="ignore"):
        return steps @ np.array([_one_step(event.noise_multiplier, event.sample_rate) for event in events])


def _as_float(steps: int) -> float:
    try:
        return float(steps)
    except OverflowError:
        return math.inf


def epsilon_of(divergence: NDArray[np.float64], *, delta: float) -> float:
    """The smallest epsilon that `divergence` proves at `delta`.

    The conversion is proposition 12 of Canonne, Kamath & Steinke (2020), "The Discrete Gaussian
    for Differential Privacy". What is no number proves nothing: epsilon is then infinite.
    """
    if np.isnan(divergence).any():
        return math.inf
    if not divergence.any():
        return 0.0
    return max(0.0, float((divergence + _LOG_DIRECT - math.log(delta) / (ORDERS - 1)).min()))


def epsilon(history: Iterable[SampledGaussian], *, delta: float) -> float:
    """What a history of events costs at `delta`; any split of the same steps gives the same value."""
    return epsilon_of(renyi(history), delta=delta)


def admit(
    history: Iterable[SampledGaussian],
    budget: PrivacyBudget,
    *,
    what: str = "the budget",
    beside: NDArray[np.float64] | float = 0.0,
) -> float:
    """Epsilon of a history that is about to happen; raise `BudgetExhausted`, naming `what`, if the budget forbids it.

    `beside` is a divergence at each of `ORDERS` that counts as well.
    """
    after = epsilon_of(renyi(history) + beside, delta=budget.delta)
    if after > budget.epsilon:
        raise BudgetExhausted(f"epsilon would be {after:.2f}, but {what} grants {budget.epsilon:.2f}")
    return after
