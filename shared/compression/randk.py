"""Some of the values, chosen by a seed both sides know: the choice costs no bytes and looks at no value.

Konečný et al. (2016), "Federated Learning: Strategies for Improving Communication Efficiency", random masks. On the
wire: the chosen values as float32, in their order.
"""

import hashlib

import numpy as np
from numpy.typing import NDArray

from shared.compression.spec import Update
from shared.errors import WireError


def encode(values: Update, fraction: float, *, seed: bytes) -> bytes:
    """Take the chosen ones out of shape `(size,)`."""
    return values[chosen(len(values), fraction, seed)].astype("<f4").tobytes()


def decode(data: bytes, fraction: float, *, size: int, seed: bytes, least_error: bool) -> Update:
    """Zeros but for the chosen values, which stand for the others too unless `least_error`; or raise `WireError`."""
    count = how_many(size, fraction)
    values = np.zeros(size, np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        values[chosen(size, fraction, seed)] = np.frombuffer(data, "<f4") * np.float32(
            1 if least_error else size / count
        )
    if not np.isfinite(values).all():
        raise WireError("rand-k has a value that is not finite")
    return values


def how_many(size: int, fraction: float) -> int:
    """How many of `size` values travel: at least one, and no more than the fraction otherwise."""
    return max(1, int(fraction * size))


def chosen(size: int, fraction: float, seed: bytes) -> NDArray[np.intp]:
    """Which values travel, ascending: those with the smallest of `size` random words, so each as likely as another."""
    count = how_many(size, fraction)
    words = np.frombuffer(hashlib.shake_256(seed).digest(8 * size), "<u8")
    return np.sort(np.argpartition(words, count - 1)[:count])
