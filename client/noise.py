"""Randomness for privacy: Gaussian noise and Poisson samples from a 256-bit AES-CTR stream.

PyTorch's generator keeps 32 bits of its seed, few enough to search; a device draws nothing from it.
"""

import math
import secrets

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from numpy.typing import NDArray

_UNIT = 2.0**-53


class CipherStream:
    """An endless stream of random bits: the keystream of AES-256 in counter mode (NIST SP 800-38A)."""

    def __init__(self, key: bytes) -> None:
        """Start the stream of a 32-byte key; equal keys give equal streams."""
        self._keystream = Cipher(algorithms.AES256(key), modes.CTR(bytes(16))).encryptor()

    def words(self, count: int) -> NDArray[np.uint64]:
        """Return `count` uniform 64-bit words."""
        return np.frombuffer(self._keystream.update(bytes(8 * count)), dtype=np.uint64)

    def normals(self, count: int) -> NDArray[np.float64]:
        """Return `count` standard normals, by Box and Muller (1958) with a 53-bit radius: the tail ends at 8.6 sigma."""
        pairs = (count + 1) // 2
        words = self.words(2 * pairs)
        radius = np.sqrt(-2 * np.log(((words[:pairs] >> np.uint64(11)) + 1.0) * _UNIT))
        angle = (words[pairs:] >> np.uint64(11)) * (2 * math.pi * _UNIT)
        return np.concatenate([radius * np.cos(angle), radius * np.sin(angle)])[:count]

    def poisson_sample(self, rows: int, rate: float) -> NDArray[np.intp]:
        """Return the indices of a Poisson sample: each of `rows` is in it on its own, with probability `rate`."""
        if rate >= 1.0:
            return np.arange(rows)
        return np.flatnonzero(self.words(rows) < np.uint64(int(rate * 2**64)))


def system_stream() -> CipherStream:
    """Start a stream under a fresh key from the operating system; an agent has no other."""
    return CipherStream(secrets.token_bytes(32))
