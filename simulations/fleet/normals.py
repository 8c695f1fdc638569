"""Normals for rehearsals: from the same cipher's stream as a device's noise, by a cheaper and coarser way.

No device may use them. A normal is one of 65,536 values, each as likely: the means of as many equal slices of the
normal distribution. That is a third of the cost of Box and Muller in float32 (half the keystream, and one look-up in
place of a logarithm, a root and two turns), but the tail ends at 4.4 sigma and a value has 16 bits: far below what a
figure of a rehearsal shows, and far above a delta of 1e-5.
"""

import math
from functools import cache
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from shared.noise import CipherStream

VALUES = 2**16


def quick_normals(stream: CipherStream, values: NDArray[np.float32], out: NDArray[np.float32]) -> None:
    """Write normals over `out`, `(count,)`, by 16 bits of the stream each; `values` are `slices()` times a deviation."""
    count = len(out)
    bits = stream.words(-(-count // 4)).view(np.uint16)[:count]
    values.take(bits, out=out, mode="wrap")


@cache
def slices() -> NDArray[np.float32]:
    """The means of `VALUES` equal slices of the standard normal distribution, scaled to a variance of 1 again."""
    inner = np.array([NormalDist().inv_cdf(index / VALUES) for index in range(1, VALUES // 2)])
    half = np.concatenate((inner, [0.0]))
    density = np.concatenate(([0.0], np.exp(-(half**2) / 2) / math.sqrt(2 * math.pi)))
    below = -np.diff(density) * VALUES
    means = np.concatenate((below, -below[::-1]))
    return (means / math.sqrt(np.mean(means**2))).astype(np.float32)
