"""How large the modulus must be for a sum of updates and noise not to wrap: a bound, computed, never a warning.

Proof. Take coordinate j of the sum over n devices, in units of the granularity: signal + rounding + noise.

- Rounding moves each device's value by less than 1: together less than n, always.
- Noise: n discrete Gaussians of scale s are sub-Gaussian with variance proxy `n s^2` (proved in
  `client/discrete_table.py`; Canonne, Kamath & Steinke 2020). That the table is not quite the exact law adds at most 2^-100
  for each draw.
- Signal, with a rotation: the rotation is linear and the same for all, so the coordinate is a sum of `block` values
  `+-y_k / sqrt(block)` with independent signs, where y is a block of the sum of the vectors and has norm at most `n X`;
  by Hoeffding's lemma it is sub-Gaussian with proxy `(n X)^2 / block`. It is independent of the noise, so proxies add.
  The seed must be drawn after the weights that the gradients are taken at; then no update depends on it.
- Signal, in any case: at most `n X`.

With `T = 2^(bits-1) - 1 - n`, a union bound over the d coordinates and both signs gives the smaller of
`2 d exp(-T^2 / (2 ((n X)^2 / block + n s^2)))` and `2 d exp(-(T - n X)^2 / (2 n s^2))`, plus `d n 2^-100`.

Wrapping harms the model and never privacy: taking a remainder is post-processing.
"""

import math
from dataclasses import replace

import numpy as np

from shared.errors import InputError
from shared.secagg.encoding import LARGEST_MODULUS_BITS, Encoding

LOG2_WRAP = -40.0
"""The largest log2 of the probability that a sum wraps anywhere."""


def log2_wrap(encoding: Encoding, *, devices: int, share_scale: float) -> float:
    """Bound log2 of the probability that a round's sum wraps in any coordinate, if all `devices` take part."""
    room = 2.0 ** (encoding.bits - 1) - 1 - devices
    signal, noise = devices * encoding.reach, devices * share_scale**2
    tails = [_log_tail(room - signal, noise)]
    if encoding.block > 1:
        tails.append(_log_tail(room, signal**2 / encoding.block + noise))
    table = math.log(devices) - 100 * math.log(2)
    each = float(np.logaddexp(math.log(2) + min(tails), table))
    return min(0.0, (math.log(encoding.padded) + each) / math.log(2))


def bits_needed(encoding: Encoding, *, devices: int, share_scale: float) -> int:
    """Return the fewest bits, whatever `encoding` says, with which a sum wraps with probability at most 2^-40.

    Raises `InputError` where no modulus that the protocol can carry is large enough.
    """
    for bits in range(2, LARGEST_MODULUS_BITS + 1):
        if log2_wrap(replace(encoding, bits=bits), devices=devices, share_scale=share_scale) <= LOG2_WRAP:
            return bits
    raise InputError(
        f"A sum of {devices} updates in units of 2^-{encoding.precision} does not fit {LARGEST_MODULUS_BITS} bits. "
        "Lower the plan's precision."
    )


def _log_tail(room: float, proxy: float) -> float:
    """The log of a sub-Gaussian's chance to exceed `room` on one side."""
    return -(room**2) / (2 * proxy) if room > 0 else 0.0
