"""Devices' days and fates as functions of a seed: nothing is stored, so any moment of any device can be looked up.

Figures for all devices come from a hash of 32 bits that is quick on whole arrays; those for one request from BLAKE2b.
Neither protects anybody: they decide who is online, and how long a device takes.
"""

import hashlib
import math
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint32]

_FIRST, _SECOND = np.uint32(0x7FEB352D), np.uint32(0x846CA68B)
"""Multipliers with low bias under xor-shift-multiply (C. Wellons, "Prospecting for hash functions", 2018)."""

_NORMAL = NormalDist()


def mix(words: Words) -> Words:
    """Scramble 32-bit words in place, and return them."""
    for shift, factor in ((16, _FIRST), (15, _SECOND)):
        words ^= words >> np.uint32(shift)
        words *= factor
    words ^= words >> np.uint32(16)
    return words


def salt(seed: int, purpose: str, number: int = 0) -> np.uint32:
    """A 32-bit word for a seed, a purpose and, say, a day."""
    digest = hashlib.blake2b(f"{seed}/{purpose}/{number}".encode(), digest_size=4).digest()
    return np.uint32(int.from_bytes(digest, "little"))


def uniforms(words: Words) -> NDArray[np.float32]:
    """Numbers in [0, 1) from 24 bits of each word: as many as a float32 tells apart."""
    return (words >> np.uint32(8)).astype(np.float32) * np.float32(2.0**-24)


def changing(words: Words, phases: NDArray[np.float32], *, at: float, every: float, salted: tuple[int, str]) -> Words:
    """A fresh word for each of `words` whenever `every` seconds are over, which begin at its own phase, 0 to 1, of them.

    `salted` is a seed and a purpose; phases are how far on each is when virtual time begins.
    """
    turn = math.floor(at / every)
    left = np.float32(1 - (at / every - turn))
    salts = np.array([salt(*salted, turn), salt(*salted, turn + 1)])
    return mix(words ^ salts.take((phases >= left).view(np.int8)))


def draws(seed: int, *numbers: int) -> list[float]:
    """Eight uniform numbers in (0, 1) for one request."""
    digest = hashlib.blake2b("/".join(map(str, (seed, *numbers))).encode(), digest_size=64).digest()
    return [(int.from_bytes(digest[i : i + 8], "little") // 2048 + 0.5) / 2**53 for i in range(0, 64, 8)]


def normal(uniform: float) -> float:
    """The standard normal that a uniform number in (0, 1) stands for."""
    return _NORMAL.inv_cdf(uniform)


def exponential(uniform: float, mean: float) -> float:
    """The exponential of a mean that a uniform number in (0, 1) stands for."""
    return -math.log(uniform) * mean
