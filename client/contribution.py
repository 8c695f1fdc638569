"""A device's contribution to a sum: its update as integers, with its own share of the noise, modulo 2^bits."""

import numpy as np
from numpy.typing import NDArray

from client.discrete_table import table
from shared.distributed import DistributedNoise
from shared.secagg.encoding import Words, encode, residues


def contribution(
    update: NDArray[np.floating], noise: DistributedNoise, *, seed: bytes, stream: Words
) -> NDArray[np.uint64]:
    """Return residues of shape `(padded,)` for `update` of shape `(length,)`; a mask may go on top, nothing else.

    `seed` is the plan's public rotation. The stream gives first the words of the rounding, then those of the noise.
    Raises `ValueError` if the shape is not the plan's, or the share's scale is none that a table holds.
    """
    rounded = encode(update, noise.encoding, seed=seed, source=stream)
    rounded += table(noise.share_scale).draw(len(rounded), stream)
    return residues(rounded, noise.encoding)
