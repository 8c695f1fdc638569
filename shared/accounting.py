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


@lru_cache(maxsize=1024)
def _one_step(noise_multiplier: float, sample_rate: float) -> NDArray[np.float64]:
    return np.array([_divergence(int(order), noise_multiplier, sample_rate) for order in ORDERS])


def _divergence(order: int, noise_multiplier: float, sample_rate: float) -> float:
    """Renyi divergence of one sampled Gaussian at an integer order."""
    if sample_rate == 1.0:
        return order / (2 * noise_multiplier**2)
    k = np.arange(order + 1)
    choose = np.array([math.lgamma(order + 1) - math.lgamma(i + 1) - math.lgamma(order - i + 1) for i in k])
    terms = (
        choose
        + k * math.log(sample_rate)
        + (order - k) * math.log1p(-sample_rate)
        + k * (k - 1) / (2 * noise_multiplier**2)
    )
    return max(0.0, float(np.logaddexp.reduce(terms))) / (order - 1)


def renyi(history: Iterable[SampledGaussian]) -> NDArray[np.float64]:
    """Renyi divergence of a history at each of `ORDERS`, shape `(len(ORDERS),)`, in nats."""
    total = np.zeros(len(ORDERS))
    for event in history:
        total += event.steps * _one_step(event.noise_multiplier, event.sample_rate)
    return total


def epsilon_of(divergence: NDArray[np.float64], *, delta: float) -> float:
    """The smallest epsilon that `divergence` proves at `delta`.

    The conversion is proposition 12 of Canonne, Kamath & Steinke (2020), "The Discrete Gaussian
    for Differential Privacy".
    """
    if not divergence.any():
        return 0.0
    candidates = divergence + np.log1p(-1 / ORDERS) - (math.log(delta) + np.log(ORDERS)) / (ORDERS - 1)
    return max(0.0, float(candidates.min()))


def epsilon(history: Iterable[SampledGaussian], *, delta: float) -> float:
    """What a history of events costs at `delta`; any split of the same steps gives the same value."""
    return epsilon_of(renyi(history), delta=delta)


def admit(history: Iterable[SampledGaussian], budget: PrivacyBudget, *, what: str = "the budget") -> float:
    """Epsilon of a history that is about to happen; raise `BudgetExhausted`, naming `what`, if the budget forbids it."""
    after = epsilon(history, delta=budget.delta)
    if after > budget.epsilon:
        raise BudgetExhausted(f"epsilon would be {after:.2f}, but {what} grants {budget.epsilon:.2f}")
    return after
