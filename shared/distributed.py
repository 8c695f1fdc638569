"""What noise in shares is worth: the distributed discrete Gaussian, as one Gaussian of a noise multiplier.

Each device adds discrete Gaussian noise of scale s to its rounded update (Kairouz, Liu & Steinke 2021, "The Distributed
Discrete Gaussian Mechanism for Federated Learning with Secure Aggregation"). The sum is charged for m shares:
`threshold - colluders`, all that is sure to be in it and unknown to others. Further shares are post-processing.

Lemma 1 (closeness; compare theorem 1 and proposition 14 of that paper, whose tau is `10 sum_k exp(-2 pi^2 s^2 k/(k+1))`).
Let Z be the sum of m discrete Gaussians of scale s and W the discrete Gaussian of scale `S = sqrt(m) s`. Then
`ln(P[Z=z] / P[W=z])` varies over z by at most `tau = sum_{k=1}^{m-1} ln((1 + c_k) / (1 - c_k))`,
`c_k = 2 sum_{j>=1} exp(-2 pi^2 s^2 j^2 k/(k+1))`.
  Proof. Add discrete Gaussians of variances `k s^2` and `s^2`. Completing the square, `P[sum = z]` is
  `exp(-z^2 / (2 (k+1) s^2))` times a constant times `sum_x exp(-(x - y)^2 / (2 v))`, `v = s^2 k/(k+1)` and y depends on z.
  By Poisson's summation formula the last factor is a constant times `1 + c cos-terms`, within `1 +- c_k`. If already
  `P[Z_k = z] = W_k(z) h(z)`, then `P[Z_{k+1} = z]` is an average of h's values times `(W_k * X)(z)`, so ranges add up.

Lemma 2. For integer vectors x and x' with K = x - x', and all orders a > 1, `D_a(x + Z || x' + Z) <=
a |K|^2 / (2 S^2) + tau d`.
  Proof. In one coordinate the privacy loss at Z is that of W, `(K^2 + 2 K Z) / (2 S^2)`, up to tau by lemma 1 (and no loss
  where K = 0). `exp((a-1) D_a)` is the mean, over Z, of `exp((a-1) loss)`, and Z is a sum of sub-Gaussians with
  `E exp(tZ) <= exp(t^2 S^2 / 2)` (`client/discrete_table.py`). Coordinates are independent.

Rounding. Let two vectors of d coordinates lie at most D apart, in units. Both are rounded with the same words u (the
words' law does not depend on data), `x = r(v, u)`. A mixture's divergence obeys joint convexity of `sum p^a q^(1-a)`:
`exp((a-1) D_a) <= E_u exp((a-1) D_a(given u))`. Nothing is rejected, so u is the same on both sides.

Bound A, every order. `|r(a,u) - r(b,u)| < |a - b| + 1`, so `|K| <= D + sqrt(d)` whatever u is.

Bound B, orders up to A = the ledger's largest. K's coordinates are independent; each is one of two neighbouring integers
with mean `e = a - b`, so `E exp(tK) <= exp(t e + t^2/8)` (Hoeffding's lemma). With `L = a (a-1) / (2 S^2) < 2` and g a
standard normal, `E exp(L K^2) = E_g E exp(sqrt(2L) g K) <= E_g exp(sqrt(2L) g e + L g^2 / 4)
= (1 - L/2)^(-1/2) exp(L e^2 / (1 - L/2))`, and `-ln(1 - L/2) <= (L/2) / (1 - L/2)`. Multiplied over the coordinates,
`D_a <= tau d + a (D^2 + d/4) / (2 S^2 (1 - L/2))`. This is the paper's mean square `X^2 + d/4` without its beta.

Both are at most `a / (2 z^2)` with `1/z^2 = 2 tau d + (D + sqrt(d))^2 / S^2`, or `2 tau d + (D^2 + d/4) / (S^2 - A(A-1)/4)`.

Sampling. If each row is in the batch on its own with probability q, the event is `SampledGaussian(z, q)` at the ledger's
integer orders: `sum ((1-q) P + q Q)^a P^(1-a)` expands into `exp((j-1) D_j(Q || P))` for integers j <= a with positive
factors, in which each is at most the Gaussian's. The other direction is no larger given u, by theorem 5 of Mironov, Talwar &
Zhang (2019): Z is symmetric, so reflection exchanges P and Q.

The equivalence is one of Renyi divergences. It says nothing about privacy loss distributions: no PLD of the equivalent
Gaussian may be shown for these events.
"""

import math
from dataclasses import dataclass

import numpy as np

from shared.accounting import ORDERS
from shared.privacy import SampledGaussian
from shared.secagg.encoding import ARITHMETIC, Encoding

_TOP = float(ORDERS[-1])
LARGEST_SHARE = 2.0**16
"""The largest scale of a share, in units: what a device's table of noise goes up to."""
MOST_DEVICES = 1 << 20
"""More than any cohort; a plan from the network must not make a device count further."""
_SAFE = 1 - 2.0**-40
"""More than the arithmetic of these bounds errs by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DistributedNoise:
    """A plan's noise in shares; all of it public.

    Every device adds a discrete Gaussian of `share_scale` units. At least `threshold` of `devices` are in a sum, at
    most `colluders` of these tell others their share. A row moves its device's vector by at most `record_clip`: the
    vector is a sum of per-example gradients clipped to it, then projected to the encoding's bound, which is no further.
    """

    encoding: Encoding
    share_scale: float
    devices: int
    threshold: int
    colluders: int
    record_clip: float

    def __post_init__(self) -> None:
        """Refuse noise that nothing is known about."""
        if not 0.5 <= self.share_scale <= LARGEST_SHARE:
            raise ValueError(f"share_scale must lie in [0.5, {LARGEST_SHARE:.0f}] units, got {self.share_scale}")
        if not 0 <= self.colluders < self.threshold <= self.devices <= MOST_DEVICES:
            counts = f"{self.colluders}, {self.threshold}, {self.devices}"
            raise ValueError(f"0 <= colluders < threshold <= devices <= {MOST_DEVICES} must hold, got {counts}")
        if not (self.record_clip > 0 and math.isfinite(self.record_clip)):
            raise ValueError(f"record_clip must be positive and finite, got {self.record_clip}")

    @property
    def honest(self) -> int:
        """How many shares are sure to hide a device: its own among them."""
        return self.threshold - self.colluders


def closeness(shares: int, share_scale: float) -> float:
    """Return lemma 1's tau for a sum of `shares` discrete Gaussians of `share_scale >= 0.5`."""
    k = np.arange(1, shares)
    base = -2 * math.pi**2 * share_scale**2 * k / (k + 1)
    # At a scale of 0.5 the fourth term is below 1e-17 of the first; the geometric rest is inside _SAFE.
    c = 2 * sum(np.exp(base * j * j) for j in range(1, 5))
    return float(np.sum(np.log1p(c) - np.log1p(-c)))


def noise_multiplier(*, distance: float, dimension: int, shares: int, share_scale: float) -> float:
    """Return z such that no order's divergence exceeds the Gaussian's of noise multiplier z; see the module.

    `distance` is how far apart neighbouring vectors lie before rounding, in units. The orders are all real ones, or,
    where bound B is the better, those up to the ledger's largest.
    """
    variance = shares * share_scale**2
    cost = (distance + math.sqrt(dimension)) ** 2 / variance
    if (left := variance - _TOP * (_TOP - 1) / 4) > 0:
        cost = min(cost, (distance**2 + dimension / 4) / left)
    return _SAFE / math.sqrt(cost + 2 * closeness(shares, share_scale) * dimension)


def share_scale(
    *, noise_multiplier: float, encoding: Encoding, record_clip: float, threshold: int, colluders: int
) -> float:
    """Return the smallest scale of a share, in units, whose worst case reaches `noise_multiplier` for one record."""
    distance, shares = record_distance(encoding, record_clip), threshold - colluders

    def reached(scale: float) -> bool:
        return _multiplier(distance, encoding.padded, shares, scale) >= noise_multiplier

    low, high = 0.5, 1.0
    while not reached(high):
        low, high = high, 2 * high
    while high - low > 1e-9 * high:
        middle = (low + high) / 2
        low, high = (low, middle) if reached(middle) else (middle, high)
    return high


def record_distance(encoding: Encoding, record_clip: float) -> float:
    """How far one record moves a device's vector before rounding, in units, with what arithmetic may add."""
    return min(record_clip, 2 * encoding.bound) / encoding.granularity + ARITHMETIC * encoding.reach


def record_event(
    noise: DistributedNoise, *, sample_rate: float = 1.0, steps: int = 1, alone: bool = False
) -> SampledGaussian:
    """Return what `steps` sums cost one record, at the worst case that the roster tolerates.

    `alone` counts this device's own share only: a malicious coordinator without an honest roster knows all others.
    """
    distance = record_distance(noise.encoding, noise.record_clip)
    return _event(noise, distance, sample_rate=sample_rate, steps=steps, alone=alone)


def device_event(noise: DistributedNoise, *, steps: int = 1, alone: bool = False) -> SampledGaussian:
    """Return what `steps` sums cost a device whose whole update is replaced by zero; no sampling is claimed."""
    return _event(noise, noise.encoding.reach, sample_rate=1.0, steps=steps, alone=alone)


def _event(noise: DistributedNoise, distance: float, *, sample_rate: float, steps: int, alone: bool) -> SampledGaussian:
    shares = 1 if alone else noise.honest
    multiplier = _multiplier(distance, noise.encoding.padded, shares, noise.share_scale)
    return SampledGaussian(noise_multiplier=multiplier, sample_rate=sample_rate, steps=steps)


def _multiplier(distance: float, dimension: int, shares: int, scale: float) -> float:
    return noise_multiplier(distance=distance, dimension=dimension, shares=shares, share_scale=scale)
