"""Secret sharing: any `threshold` shares give a secret back, fewer tell nothing about it.

Shamir 1979, "How to share a secret", over the integers modulo 2**255 - 19, in which a secret, a share and a clamped
X25519 key each take 32 bytes.
"""

import math
import secrets
from collections.abc import Mapping, Sequence
from functools import lru_cache

PRIME = 2**255 - 19
SIZE = 32


def new_secret() -> bytes:
    """Draw a secret of 32 bytes, uniform below the prime."""
    return secrets.randbelow(PRIME).to_bytes(SIZE, "little")


def split(secret: bytes, *, threshold: int, points: Sequence[int]) -> list[bytes]:
    """The shares of a secret at `points` (distinct, from 1 up), of which any `threshold` give it back.

    Raise `ValueError` for a secret that is not below the prime, or points that cannot serve.
    """
    constant = int.from_bytes(secret, "little")
    if len(secret) != SIZE or constant >= PRIME:
        raise ValueError("a secret has 32 bytes and lies below 2**255 - 19")
    if not 1 <= threshold <= len(points) or len(set(points)) != len(points) or min(points) < 1:
        raise ValueError("shares need distinct points from 1 up, and at least as many as the threshold")
    falling = [secrets.randbelow(PRIME) for _ in range(threshold - 1)]
    return [_value(falling, constant, point).to_bytes(SIZE, "little") for point in points]


def join(shares: Mapping[int, bytes]) -> bytes:
    """The secret of exactly as many shares as the threshold, by point; with a wrong share, something else."""
    points = tuple(sorted(shares))
    total = 0
    for point, weight in zip(points, _weights(points), strict=True):
        total += weight * int.from_bytes(shares[point], "little")
    return (total % PRIME).to_bytes(SIZE, "little")


def _value(falling: Sequence[int], constant: int, point: int) -> int:
    """The polynomial at a point, by Horner's rule; points are small, so reducing once at the end is fastest."""
    value = 0
    for coefficient in falling:
        value = (value + coefficient) * point
    return (value + constant) % PRIME


@lru_cache(maxsize=64)
def _weights(points: tuple[int, ...]) -> tuple[int, ...]:
    """Lagrange's weights at zero: the share at x counts the product of y / (y - x) over the other points y."""
    whole = math.prod(points)
    weights: list[int] = []
    for point in points:
        below = point * math.prod(other - point for other in points if other != point)
        weights.append(whole * pow(below, -1, PRIME) % PRIME)
    return tuple(weights)
