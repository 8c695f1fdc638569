"""EDEN: a few bits a value after a random rotation, and one scale a block that makes the whole unbiased.

Vargaftik et al. (2022), "EDEN: Communication-Efficient and Robust Distributed Mean Estimation for Federated Learning",
ICML, Algorithm 1, with randomized Hadamard rotations in blocks. On the wire: the blocks' float32 scales, then the codes.
"""

from collections.abc import Iterator
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from shared.compression.lloyd import borders, centroids
from shared.compression.rotation import PASSES, layout, rotate, rotate_back, signs
from shared.compression.spec import Update
from shared.errors import WireError

GROWTH = 2.0
"""An honest block is never decoded to more than so many times its norm. Rotated values that look normal give 1.25 at
1 bit and less at more, so this binds on freaks only; it lets a coordinator bound what arrives."""


def encode(values: Update, bits: int, *, seed: bytes, least_error: bool) -> bytes:
    """Encode shape `(size,)` in `bits` a value; unbiased over the seed, or with `least_error` as close as it can be."""
    blocks = layout(len(values), bits)
    padded = np.zeros(sum(blocks))
    padded[: len(values)] = values
    scales, codes = list[NDArray[np.float64]](), list[NDArray[np.uint8]]()
    for part, flips in _parts(blocks, seed):
        rows = padded[part].reshape(-1, flips.shape[-1])
        norms = np.sqrt(np.vecdot(rows, rows))
        unit = rows / np.where(norms > 0, norms, 1)[:, None]
        looks_normal = rotate(unit.astype(np.float32), flips) * np.float32(np.sqrt(flips.shape[-1]))
        chosen = _nearest(looks_normal, bits)
        scales.append(norms * _factors(looks_normal, centroids(bits)[chosen], least_error=least_error))
        codes.append(chosen.ravel())
    return np.concatenate(scales).astype("<f4").tobytes() + _pack(np.concatenate(codes), bits)


def decode(data: bytes, bits: int, *, size: int, seed: bytes) -> Update:
    """Read `block_bytes` bytes, shape `(size,)`; raise `WireError` for a scale that cannot be."""
    blocks = layout(size, bits)
    scales = np.frombuffer(data, "<f4", count=len(blocks)).astype(np.float32)
    if not (np.isfinite(scales) & ~np.signbit(scales)).all():
        raise WireError("eden has a scale that is negative or not finite")
    levels = centroids(bits).astype(np.float32)[_unpack(data[4 * len(blocks) :], bits)]
    values, first = np.empty(sum(blocks), np.float32), 0
    with np.errstate(over="ignore"):
        for part, flips in _parts(blocks, seed):
            rows = rotate_back(levels[part].reshape(-1, flips.shape[-1]), flips)
            values[part] = (rows * scales[first : first + len(rows), None]).ravel()
            first += len(rows)
    if not np.isfinite(values).all():
        raise WireError("eden has a scale beyond what float32 holds")
    return values[:size]


def _nearest(rotated: NDArray[np.float32], bits: int) -> NDArray[np.uint8]:
    """Which level each value is nearest to: how many borders lie below it (for so few, faster than a search)."""
    found = np.zeros(rotated.shape, np.uint8)
    for border in borders(bits).astype(np.float32):
        found += rotated > border
    return found


def _factors(rotated: NDArray[np.float32], levels: NDArray[np.float64], *, least_error: bool) -> NDArray[np.float64]:
    """By what times a block's norm its levels are to be multiplied, shape `(blocks,)`; zero for a block of zeros.

    With y the rotated block of norm 1 and q its levels, |y|^2 / <y, q> is unbiased (section 3 of the paper) and
    <y, q> / |q|^2 has the least squared error.
    """
    root = np.sqrt(rotated.shape[1])
    likeness = np.vecdot(rotated.astype(np.float64), levels)
    lengths = np.vecdot(levels, levels)
    if least_error:
        return likeness / (root * lengths)
    unbiased = root / np.where(likeness > 0, likeness, np.inf)
    return np.minimum(unbiased, GROWTH / np.sqrt(lengths))


def _parts(blocks: tuple[int, ...], seed: bytes) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    """Each run of equal blocks: where it lies, and its signs of shape `(PASSES, blocks, length)`."""
    flips, start = signs(seed, sum(blocks)), 0
    for length, run in groupby(blocks):
        end = start + length * len(list(run))
        yield slice(start, end), flips[:, start:end].reshape(PASSES, -1, length)
        start = end


def _pack(codes: NDArray[np.uint8], bits: int) -> bytes:
    """Write each code's low `bits`, without a gap; a block's length is a multiple of 8, so no bit is left over."""
    each = np.empty((len(codes), bits), np.uint8)
    for place in range(bits):
        each[:, place] = (codes >> np.uint8(bits - 1 - place)) & np.uint8(1)
    return np.packbits(each).tobytes()


def _unpack(data: bytes, bits: int) -> NDArray[np.uint8]:
    each = np.unpackbits(np.frombuffer(data, np.uint8)).reshape(-1, bits)
    codes = np.zeros(len(each), np.uint8)
    for place in range(bits):
        codes |= each[:, place] << np.uint8(bits - 1 - place)
    return codes
