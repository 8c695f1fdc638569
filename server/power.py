"""How large a canary must be: which share of true harm the test of `server/evidence.py` finds, before anybody is asked.

The AUC of m devices with p and q rows of either class each, in B score bins and G groups under noise of standard deviation
s, has the variance

    A(1 - A)/(pq m) (1 + (pm - 1)(Q1 - A^2)/(A(1 - A)) + (qm - 1)(Q2 - A^2)/(A(1 - A)))  +  s^2 G B v (1/p^2 + 1/q^2) / m

with Q1 = A/(2 - A), Q2 = 2A^2/(1 + A). The first term is the sampling of rows (Hanley & McNeil, 1982, "The Meaning and
Use of the Area under a Receiver Operating Characteristic (ROC) Curve"). The second follows from it being a ratio of sums
of cells (delta method), with v = 1/12 + (A - 1/2)^2 where the classes' cumulative shares rise evenly from bin to bin;
scores that crowd in the middle leave bins at the ends whose noise weighs more, so 1/8 stands in place of 1/12.
Between devices the AUC may spread besides, by t^2/m. The difference of both sides has the deviation sd, and is found
with probability Phi((drop - z sd_0)/sd) (Lachin, 1981, "Introduction to Sample Size Determination and Power Analysis for
Clinical Trials"). Here sd_0 is that of the sets which the test draws, and larger: some of the devices that do worse are
in every set, by a hypergeometric number. So few devices that no place among their sets can be rare enough find nothing.

The gap of a group with r rows a device has at most the variance (b(1 - b)/(r m) + s^2 (2B/3)/(r^2 m))(1 - 1/K), with b the
share of the last class and K groups alike; the widest of K gaps is held against 1/K of the false alarms.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from statistics import NormalDist

from server.placing import FALSE_ALARM, can_alarm

POWER = 0.8
NORMAL = NormalDist()


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What a fleet counts: labelled rows a device of either class, the cells' form and noise, and how good the model is.

    `spread` is the standard deviation of the AUC between devices, beyond what their rows and noise explain.
    """

    devices: int
    positives: float
    negatives: float
    noise: float
    score_bins: int
    groups: int = 1
    auc: float = 0.7
    spread: float = 0.0

    def __post_init__(self) -> None:
        """Refuse a fleet without rows, and an AUC that is none."""
        if self.devices < 2 or not (self.positives > 0 and self.negatives > 0):
            raise ValueError("power needs two devices or more, and rows of both classes on each")
        if not 0 < self.auc < 1 or self.noise < 0 or self.spread < 0:
            raise ValueError("auc must lie between 0 and 1, and noise and spread not below 0")


def variance(ground: Ground, devices: int) -> float:
    """Of the AUC of `devices` taken together."""
    a, p, q = ground.auc, ground.positives * devices, ground.negatives * devices
    first, second = a / (2 - a), 2 * a * a / (1 + a)
    rows = (a * (1 - a) + (p - 1) * (first - a * a) + (q - 1) * (second - a * a)) / (p * q)
    cells = ground.groups * ground.score_bins * (1 / 8 + (a - 0.5) ** 2) * devices * ground.noise**2
    return rows + cells * (1 / p**2 + 1 / q**2) + ground.spread**2 / devices


def power(ground: Ground, canary: int, drop: float) -> float:
    """How often an AUC that is lower by `drop` on `canary` devices halts the rollout, in [0, 1]."""
    others = ground.devices - canary
    if not can_alarm(canary, ground.devices):
        return 0.0
    worse = replace(ground, auc=max(1e-3, ground.auc - drop))
    deviation = (variance(worse, canary) + variance(ground, others)) ** 0.5
    return _found(drop, deviation, canary, ground.devices, alarms=FALSE_ALARM)


def _mixing(canary: int, devices: int) -> float:
    """The deviation, in drops, of both sides' difference over sets in which so many devices do worse."""
    share = canary / devices
    worse_in_set = canary * share * (1 - share) * (devices - canary) / (devices - 1)
    return devices / (canary * (devices - canary)) * worse_in_set**0.5


def gap_variance(ground: Ground, devices: int, told: int) -> float:
    """Of a group's gap on `devices` taken together, where `told` groups have equally many rows and the others none."""
    rows = (ground.positives + ground.negatives) * devices / told
    base = ground.positives / (ground.positives + ground.negatives)
    cells = 2 / 3 * ground.score_bins * devices * ground.noise**2
    return (base * (1 - base) / rows + cells / rows**2) * (1 - 1 / told)


def gap_power(ground: Ground, canary: int, widening: float, *, told: int = 2) -> float:
    """How often a group's gap that is wider by `widening` on `canary` devices halts the rollout, in [0, 1]."""
    others = ground.devices - canary
    if not can_alarm(canary, ground.devices):
        return 0.0
    deviation = (gap_variance(ground, canary, told) + gap_variance(ground, others, told)) ** 0.5
    return _found(widening, deviation, canary, ground.devices, alarms=FALSE_ALARM / told)


def smallest_canary(
    ground: Ground, effect: float, *, of: Callable[[Ground, int, float], float] = power, wanted: float = POWER
) -> int | None:
    """The fewest devices that find an `effect` with probability `wanted`; None where half of the fleet does not.

    `of` is `power` or `gap_power`.
    """
    sizes = range(1, ground.devices // 2 + 1)
    return next((size for size in sizes if of(ground, size, effect) >= wanted), None)


def _found(effect: float, deviation: float, canary: int, devices: int, *, alarms: float) -> float:
    among_sets = (deviation**2 + (effect * _mixing(canary, devices)) ** 2) ** 0.5
    return NORMAL.cdf((effect - NORMAL.inv_cdf(1 - alarms) * among_sets) / deviation)
