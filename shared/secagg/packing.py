"""Vectors of b-bit integers as bytes without a gap between them, and back.

The values are laid out in rows, as many as a machine word has bits, and the rows are packed side by side: so each
step works on whole contiguous rows, and b words of output hold a word's worth of rows.
"""

from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from shared.errors import WireError

Vector = NDArray[np.uint32] | NDArray[np.uint64]
"""Shape `(length,)`; unsigned 32-bit integers for up to 32 bits, else 64-bit ones."""


def lane(bits: int) -> np.dtype[Any]:
    """The little-endian type that holds integers of so many bits."""
    return np.dtype("<u4" if bits <= 32 else "<u8")


def packed_size(length: int, bits: int) -> int:
    """How many bytes `pack` makes of `length` integers."""
    rows = 8 * lane(bits).itemsize
    return -(-length // rows) * bits * rows // 8


def pack(vector: Vector, bits: int) -> bytes:
    """The bytes of a vector whose values lie below 2**bits."""
    kind = lane(bits)
    rows = 8 * kind.itemsize
    columns = -(-len(vector) // rows)
    values = np.zeros(rows * columns, dtype=kind)
    values[: len(vector)] = vector
    grid = values.reshape(rows, columns)
    out, scratch = np.zeros((bits, columns), dtype=kind), np.empty(columns, dtype=kind)
    for row in range(rows):
        word, shift = divmod(row * bits, rows)
        out[word] |= np.left_shift(grid[row], kind.type(shift), out=scratch)
        if shift + bits > rows:
            out[word + 1] |= np.right_shift(grid[row], kind.type(rows - shift), out=scratch)
    return out.tobytes()


def unpack(data: bytes, length: int, bits: int) -> Vector:
    """The vector of `length` values that `pack` made these bytes of, or `WireError`."""
    kind = lane(bits)
    rows = 8 * kind.itemsize
    if len(data) != packed_size(length, bits):
        raise WireError(f"a vector of {length} values of {bits} bits takes {packed_size(length, bits)} bytes, got {len(data)}")  # fmt: skip
    columns = -(-length // rows)
    words = np.frombuffer(data, dtype=kind).reshape(bits, columns)
    grid, scratch = np.empty((rows, columns), dtype=kind), np.empty(columns, dtype=kind)
    most = kind.type(2**bits - 1)
    for row in range(rows):
        word, shift = divmod(row * bits, rows)
        np.right_shift(words[word], kind.type(shift), out=grid[row])
        if shift + bits > rows:
            grid[row] |= np.left_shift(words[word + 1], kind.type(rows - shift), out=scratch)
        grid[row] &= most
    values = grid.reshape(-1)
    if values[length:].any():
        raise WireError("a packed vector has values beyond its length")
    return cast(Vector, values[:length])
