"""The coordinator's own noise: drawn anew for each round or correlated over a campaign, and the bound that adapts.

Only for owners who trust the coordinator to add it; what it sees before is protected by nothing but TLS.
"""

import math
from collections.abc import Sequence

import numpy as np
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from numpy.typing import NDArray

from shared import central
from shared.central import CentralRound
from shared.modes import Central
from shared.noise import CipherStream, system_stream
from shared.rounds import RoundPlan, RoundResult
from shared.training import Training

COUNT_SHARE = 0.05
"""The noise on the count of updates within the bound, over the cohort (Andrew et al., 2021, section 3.1)."""

ADAPTATION = 0.2
"""How fast the bound follows the quantile (the same, section 3.1)."""


def round_of(terms: Central, training: Training, *, step: int, cohort: int) -> CentralRound:
    """The terms of a campaign's `step`-th committed round."""
    correlated = terms.noise == "correlated"
    return CentralRound(
        unit=terms.unit, noise=terms.noise, step=step if correlated else 1,
        rounds=training.rounds if correlated else 1, participations=terms.participations if correlated else 1,
        separation=terms.separation if correlated else 1,
        count_noise=None if terms.quantile is None else max(COUNT_SHARE * cohort, training.noise_multiplier),
    )  # fmt: skip


def bound(training: Training, quantile: float | None, last: RoundResult | None) -> float:
    """The bound on a device's update: the plan's, or the last round's moved towards the quantile."""
    if quantile is None or last is None:
        return training.max_update_norm
    told = quantile if last.within is None else last.within
    return last.plan.max_update_norm * math.exp(-ADAPTATION * (told - quantile))


def noisy_mean(
    plan: RoundPlan, updates: Sequence[NDArray[np.float32]], *, divisor: int, key: bytes
) -> NDArray[np.float64]:
    """The sum of updates of shape `(size,)` with the round's noise, over a public `divisor`.

    `key` is the campaign's 32 secret bytes: correlated noise of earlier rounds is drawn from it again.
    """
    assert plan.central is not None
    total = np.stack(updates).sum(axis=0, dtype=np.float64)
    return (total + _deviation(plan) * _normals(plan.central, len(updates[0]), key)) / divisor


def noisy_share(plan: RoundPlan, within: Sequence[bool]) -> float | None:
    """The noisy share of updates that were within the bound; None where the plan does not ask."""
    if plan.central is None or plan.central.count_noise is None:
        return None
    noise = plan.central.count_noise * float(system_stream().normals(1)[0])
    return (sum(within) - len(within) / 2 + noise) / len(within) + 0.5


def _deviation(plan: RoundPlan) -> float:
    """The standard deviation of the noise on the sum."""
    assert plan.central is not None
    if plan.central.unit == "record":
        return plan.noise_multiplier * plan.row_share * plan.max_update_norm
    return central.update_noise(plan.noise_multiplier, plan.central.count_noise) * plan.max_update_norm


def _normals(form: CentralRound, size: int, key: bytes) -> NDArray[np.float64]:
    """Standard normals of shape `(size,)`; correlated ones take back most of what the rounds before brought in."""
    if form.noise == "independent":
        return system_stream().normals(size)
    weights = central.inverse_root(form.rounds)
    total = np.zeros(size)
    for step in range(1, form.step + 1):
        total += weights[form.step - step] * _stream(key, step).normals(size)
    return total


def _stream(key: bytes, step: int) -> CipherStream:
    derive = HKDFExpand(algorithm=hashes.SHA256(), length=32, info=f"covey central noise/{step}".encode())
    return CipherStream(derive.derive(key))
