"""Updates as integers: clip, rotate, round at random; and back again from a sum of them modulo 2^bits.

The rotation is that of Suresh, Yu, Kumar & McMahan (2017), "Distributed Mean Estimation with Limited Communication",
section 3, in blocks: random signs, then a Walsh-Hadamard transform of each block. It is orthogonal, so it moves no norm
and no distance; it spreads a block's norm over its coordinates, which lets the modulus be smaller. A block of 1 leaves
the vector as it is.

A coordinate `a` (in units of the granularity) becomes `floor(a)` or `floor(a) + 1`, the latter with probability
`a - floor(a)`. Kairouz, Liu & Steinke (2021), theorem 1, round again while the norm exceeds
`min{X + sqrt(d), sqrt(X^2 + d/4 + sqrt(2 ln(1/beta)) (X + sqrt(d)/2))}` where X is the norm before. Here the bound is the
first of the two. No rounding ever exceeds it, so none is rejected, and neighbouring vectors keep the same random words:
`shared/distributed.py` needs that to charge one row of a device, not only the whole device.
"""

import hashlib
import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

LARGEST_MODULUS_BITS = 52
"""A float holds every sum of so many bits exactly."""
ARITHMETIC = 2.0**-20
"""What floating-point arithmetic may move an update by, as a share of its bound; it is charged with the sensitivity.

One pass of the transform multiplies by a 64 x 64 matrix of signs and so errs by at most `64^1.5 2^-53 < 2^-43` of the norm;
a block of 2^40 takes seven. The rest, nearly all of it, is for the clipping and summing of gradients in float32.
"""
_PASS = 6


class Words(Protocol):
    """A source of uniform 64-bit words, such as `shared.noise.CipherStream`."""

    def words(self, count: int) -> NDArray[np.uint64]:
        """Return `count` uniform words, none of them returned before."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoding:
    """How a plan writes updates as integers: all of it public.

    An update has `length` values and L2 norm at most `bound`. A unit is `2^-precision`; the sum lives modulo `2^bits`.
    """

    length: int
    bound: float
    precision: int
    block: int
    bits: int

    def __post_init__(self) -> None:
        """Refuse what cannot be computed exactly."""
        if self.length < 1:
            raise ValueError(f"length must be at least 1, got {self.length}")
        if not (self.bound > 0 and math.isfinite(self.bound)):
            raise ValueError(f"bound must be positive and finite, got {self.bound}")
        if self.block < 1 or self.block & (self.block - 1) or 1 < self.block >= 2 * self.length:
            raise ValueError(f"block must be a power of two below twice the length, got {self.block}")
        if not 2 <= self.bits <= LARGEST_MODULUS_BITS:
            raise ValueError(f"bits must lie in [2, {LARGEST_MODULUS_BITS}], got {self.bits}")
        if not -50 <= self.precision <= 100:
            raise ValueError(f"precision must lie in [-50, 100], got {self.precision}")
        if not self.bound * 2.0**self.precision < 2.0**50:
            raise ValueError(f"a bound of {self.bound} in units of 2^-{self.precision} leaves floats no fraction")

    @property
    def granularity(self) -> float:
        """The value of one unit."""
        return 2.0**-self.precision

    @property
    def padded(self) -> int:
        """How many integers an update becomes: `length` filled up to whole blocks."""
        return -(-self.length // self.block) * self.block

    @property
    def reach(self) -> float:
        """The largest L2 norm before rounding, in units, with what arithmetic may add."""
        return self.bound * (1 + ARITHMETIC) / self.granularity

    @property
    def rounded_norm(self) -> float:
        """The largest L2 norm after rounding, in units: no rounding moves a coordinate by a whole unit."""
        return self.reach + math.sqrt(self.padded)


def encode(vector: NDArray[np.floating], encoding: Encoding, *, seed: bytes, source: Words) -> NDArray[np.int64]:
    """Return `vector`, of shape `(length,)`, clipped, rotated and rounded, in units: shape `(padded,)`, no noise yet.

    A vector that is not finite counts as zero, because a refusal must not depend on examples. `seed` is the plan's
    rotation, `source` this device's own randomness. Raises `ValueError` if the shape is another.
    """
    if vector.shape != (encoding.length,):
        raise ValueError(f"the plan's updates have shape ({encoding.length},), got {vector.shape}")
    padded = np.zeros(encoding.padded)
    padded[: encoding.length] = _clip(vector.astype(np.float64), encoding.bound)
    exact = rotate(padded, block=encoding.block, seed=seed)
    exact *= 2.0**encoding.precision
    down = np.floor(exact)
    # On a grid of 2^-53: as if each coordinate had first gone up to the next multiple, which ARITHMETIC covers.
    chance = (source.words(len(exact)) >> np.uint64(11)).astype(np.float64)
    chance *= 2.0**-53
    return down.astype(np.int64) + (chance < exact - down)


def decode(total: NDArray[np.uint64], encoding: Encoding, *, seed: bytes) -> NDArray[np.float64]:
    """Return the sum of updates, shape `(length,)`, from its residues modulo `2^bits`, shape `(padded,)`.

    Correct unless the sum wrapped, which `shared/secagg/sizing.py` bounds. Raises `ValueError` if the shape is another.
    """
    if total.shape != (encoding.padded,):
        raise ValueError(f"the plan's sums have shape ({encoding.padded},), got {total.shape}")
    spare = np.uint64(64 - encoding.bits)
    # Shifted to the top and back, the residue's highest bit becomes its sign.
    centred = (total << spare).view(np.int64) >> spare.view(np.int64)
    return unrotate(centred.astype(np.float64) * encoding.granularity, block=encoding.block, seed=seed)[
        : encoding.length
    ]


def residues(values: NDArray[np.int64], encoding: Encoding) -> NDArray[np.uint64]:
    """Return each value modulo `2^bits`."""
    return values.view(np.uint64) & np.uint64((1 << encoding.bits) - 1)


def rotate(vector: NDArray[np.float64], *, block: int, seed: bytes) -> NDArray[np.float64]:
    """Return each block of `vector`, whose length is a multiple of `block`, with random signs and transformed."""
    return vector.copy() if block == 1 else _transform(vector * _signs(len(vector), seed), block)


def unrotate(vector: NDArray[np.float64], *, block: int, seed: bytes) -> NDArray[np.float64]:
    """Undo `rotate`."""
    return vector.copy() if block == 1 else _transform(vector, block) * _signs(len(vector), seed)


def _clip(vector: NDArray[np.float64], bound: float) -> NDArray[np.float64]:
    """The nearest vector of norm at most `bound`: a projection, which brings no two vectors further apart."""
    largest = float(np.abs(vector).max(initial=0.0))
    if not math.isfinite(largest):
        return np.zeros_like(vector)
    if largest == 0:
        return vector
    # Divided first, so that squares of huge values do not overflow and those of tiny ones do not vanish.
    scaled = vector / largest
    norm = float(np.linalg.norm(scaled))
    return vector if norm <= bound / largest else scaled * (bound / norm)


def _signs(count: int, seed: bytes) -> NDArray[np.float64]:
    """`count` signs from SHAKE-256 of the seed: the same on every device of the plan."""
    drawn = hashlib.shake_256(b"covey rotation" + seed).digest(-(-count // 8))
    return 1.0 - 2.0 * np.unpackbits(np.frombuffer(drawn, np.uint8), count=count).astype(np.float64)


def _transform(vector: NDArray[np.float64], block: int) -> NDArray[np.float64]:
    """The orthonormal Walsh-Hadamard transform of each block; its own inverse.

    The transform of 2^k values is one along each of k axes of two. Six axes at a time are one matrix product; each
    product puts its axes last, so that after all of them every axis is back in its place.
    """
    width = block.bit_length() - 1
    shaped = vector.reshape(-1, block)
    for done in range(0, width, _PASS):
        signs = _hadamard(min(_PASS, width - done))
        leading = shaped.reshape(len(shaped), len(signs), -1)
        shaped = (leading.transpose(0, 2, 1) @ signs).reshape(-1, block)
    return shaped.reshape(-1) / math.sqrt(block)


def _hadamard(width: int) -> NDArray[np.float64]:
    """Sylvester's matrix of 2^width rows."""
    matrix = np.ones((1, 1))
    for _ in range(width):
        matrix = np.block([[matrix, matrix], [matrix, -matrix]])
    return matrix
