"""What has changed from one model file to the next, byte by byte: small where two files have the same architecture.

Weights that move a little keep their sign, their exponent and the first digits; sorted by place within a number,
these bytes are zeros in a row, and compress. A delta is never trusted: what it makes is held against a signed hash.
"""

import zlib

import numpy as np
from numpy.typing import NDArray

from shared.errors import ReleaseError

_WORD = 4


def make_delta(old: bytes, new: bytes) -> bytes:
    """What `apply_delta` needs to turn `old` into `new`."""
    return zlib.compress(_planes(_against(old, new)), 9)


def apply_delta(old: bytes, delta: bytes, *, size: int) -> bytes:
    """The `size` bytes that `delta` makes of `old`; raise `ReleaseError` if it makes no such thing.

    At most `size` bytes are unpacked, whatever the delta claims.
    """
    try:
        planes = zlib.decompressobj().decompress(delta, size + 1)
    except zlib.error as error:
        raise ReleaseError(f"the delta cannot be unpacked: {error}") from None
    if len(planes) != size:
        raise ReleaseError(f"the delta makes {len(planes)} bytes or more, expected {size}")
    return _against(old, _whole(planes))


def _against(old: bytes, new: bytes) -> bytes:
    """`new` with `old` laid over it by exclusive or, as far as `old` reaches; its own inverse."""
    shared = min(len(old), len(new))
    mixed = np.frombuffer(new, np.uint8).copy()
    mixed[:shared] ^= np.frombuffer(old, np.uint8)[:shared]
    return mixed.tobytes()


def _planes(data: bytes) -> bytes:
    """First every fourth byte, then every fourth from the second on, and so forth."""
    values = np.frombuffer(data, np.uint8)
    return np.concatenate([values[start::_WORD] for start in range(_WORD)]).tobytes()


def _whole(planes: bytes) -> bytes:
    values: NDArray[np.uint8] = np.frombuffer(planes, np.uint8)
    data, start = np.empty_like(values), 0
    for place in range(_WORD):
        width = len(data[place::_WORD])
        data[place::_WORD] = values[start : start + width]
        start += width
    return data.tobytes()
