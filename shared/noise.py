"""Randomness for privacy: Gaussian noise and Poisson samples from a 256-bit AES-CTR stream.

PyTorch's generator keeps 32 bits of its seed, few enough to search; nothing is drawn from it.
"""

import math
import secrets

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from numpy.typing import NDArray

_UNIT = 2.0**-53
_PAIRS = 4096
"""Pairs of normals made at a time: as many as lie in a processor's nearer caches while they are worked on."""

_ARCS = 4096
_TURNS = np.exp(2j * math.pi / _ARCS * np.arange(_ARCS))
_PART = 2 * math.pi / _ARCS * 2.0**-64


class CipherStream:
    """An endless stream of random bits: the keystream of AES-256 in counter mode (NIST SP 800-38A)."""

    def __init__(self, key: bytes) -> None:
        """Start the stream of a 32-byte key; equal keys give equal streams."""
        self._keystream = Cipher(algorithms.AES256(key), modes.CTR(bytes(16))).encryptor()
        self._ready = np.empty(2 * _PAIRS)
        self._used = 2 * _PAIRS

    def words(self, count: int) -> NDArray[np.uint64]:
        """Return `count` uniform 64-bit words."""
        return np.frombuffer(self._keystream.update(bytes(8 * count)), dtype=np.uint64)

    def normals(self, count: int) -> NDArray[np.float64]:
        """Return `count` standard normals; `a` of them and then `b` are the same as `a + b` at once."""
        drawn = np.empty(count)
        self.fill(drawn)
        return drawn

    def fill(self, out: NDArray[np.float64]) -> None:
        """Write standard normals over `out`, of shape `(count,)`.

        By Box and Muller (1958) with a 53-bit radius: the tail ends at 8.6 sigma.
        """
        start = 0
        while start < len(out):
            if self._used == len(self._ready):
                words = self.words(2 * _PAIRS)
                _turn(_radius(words[:_PAIRS]), words[_PAIRS:], self._ready.view(np.complex128))
                self._used = 0
            some = self._ready[self._used : self._used + len(out) - start]
            out[start : start + len(some)] = some
            self._used += len(some)
            start += len(some)

    def poisson_sample(self, rows: int, rate: float) -> NDArray[np.intp]:
        """Return the indices of a Poisson sample: each of `rows` is in it on its own, with probability `rate`."""
        if rate >= 1.0:
            return np.arange(rows)
        return np.flatnonzero(self.words(rows) < np.uint64(int(rate * 2**64)))


def _radius(words: NDArray[np.uint64]) -> NDArray[np.float64]:
    """How far from the middle each word puts a pair of normals."""
    radius = (words >> np.uint64(11)).view(np.int64).astype(np.float64)
    radius += 1.0
    radius *= _UNIT
    np.log(radius, out=radius)
    radius *= -2.0
    return np.sqrt(radius, out=radius)


def _turn(radius: NDArray[np.float64], words: NDArray[np.uint64], out: NDArray[np.complex128]) -> None:
    """Write `radius` in the direction that each word is of a full circle, within 1e-15 of it.

    A word's first 12 bits choose an arc, whose middle is in a table; the others say where on it. So near its middle,
    cosine and sine are three terms and two of their series: half the time of NumPy's own.
    """
    arc = (words >> np.uint64(52)).view(np.int64)
    part = (words << np.uint64(12)).view(np.int64).astype(np.float64)
    square = part * part
    cosine = square * (_PART**4 / 24)
    cosine -= _PART**2 / 2
    cosine *= square
    cosine += 1.0
    square *= -(_PART**3) / 6
    square += _PART
    square *= part
    np.multiply(cosine, radius, out=out.real)
    np.multiply(square, radius, out=out.imag)
    out *= _TURNS.take(arc, mode="wrap")


def system_stream() -> CipherStream:
    """Start a stream under a fresh key from the operating system; nothing that ships has another."""
    return CipherStream(secrets.token_bytes(32))
