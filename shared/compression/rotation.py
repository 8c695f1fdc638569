"""A random rotation both sides know: signs and Hadamard matrices, in blocks that a vector of any length is cut into."""

import hashlib
from functools import cache

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

LARGEST, SMALLEST = 4096, 32
"""Values in a block: more would hardly spread better; in fewer, a rotated value looks less like a normal one."""

PASSES = 2
"""One pass leaves patterns of few large values visible; after two, errors average out as after a uniform rotation."""


@cache
def layout(size: int, bits: int) -> tuple[int, ...]:
    """The blocks' lengths, powers of two; only the last one may reach beyond `size`, and is padded with zeros.

    Full blocks as long as there are any; what remains is padded or cut further, whichever travels in fewer bytes,
    `bits` a value and a float32 scale a block.
    """
    return (LARGEST,) * (size // LARGEST) + _rest(size % LARGEST, bits)


def _rest(size: int, bits: int) -> tuple[int, ...]:
    if size == 0:
        return ()
    padded = (max(SMALLEST, 1 << (size - 1).bit_length()),)
    if size <= SMALLEST or padded[0] == size:
        return padded
    full = padded[0] // 2
    cut = (full, *_rest(size - full, bits))
    return min(padded, cut, key=lambda blocks: (block_bytes(blocks, bits), len(blocks)))


def block_bytes(blocks: tuple[int, ...], bits: int) -> int:
    """What blocks take in bytes."""
    return sum(blocks) * bits // 8 + 4 * len(blocks)


def signs(seed: bytes, count: int) -> Array:
    """Public random signs, shape `(PASSES, count)`: the bits of SHAKE-256 over the seed."""
    bits = np.unpackbits(np.frombuffer(hashlib.shake_256(seed).digest(-(-PASSES * count // 8)), np.uint8))
    return (1 - 2 * bits[: PASSES * count].reshape(PASSES, count).astype(np.int8)).astype(np.float32)


def rotate(rows: Array, flips: Array) -> Array:
    """Rotate each row of `(rows, length)`; `flips` has shape `(PASSES, rows, length)`."""
    for flip in flips:
        rows = _mix(rows * flip)
    return rows


def rotate_back(rows: Array, flips: Array) -> Array:
    """Undo `rotate`: a Hadamard matrix and a sign are their own inverses."""
    for flip in flips[::-1]:
        rows = _mix(rows) * flip
    return rows


def _mix(rows: Array) -> Array:
    """Multiply each row by the Hadamard matrix of its length, as the Kronecker product of two small ones."""
    count, length = rows.shape
    first = 1 << ((length.bit_length() - 1) // 2)
    square = rows.reshape(count, first, length // first)
    mixed: Array = np.matmul(_hadamard(first) @ square, _hadamard(length // first), dtype=np.float32)
    return mixed.reshape(count, length)


@cache
def _hadamard(length: int) -> Array:
    """Sylvester's matrix, symmetric and orthonormal."""
    matrix = np.ones((1, 1))
    while len(matrix) < length:
        matrix = np.block([[matrix, matrix], [matrix, -matrix]])
    return np.float32(1 / np.sqrt(length)) * matrix.astype(np.float32)
