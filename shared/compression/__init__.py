"""Compression of what travels: of an update that was noised and paid for, and of nothing else.

data = encode(Noised(values=update, cost=plan.cost), spec, seed=seed, words=system_stream().words)
update = decode(data, spec, size=size, seed=seed)
"""

from hashlib import sha256
from typing import cast

import numpy as np

from shared.compression import eden, int8, randk
from shared.compression.rotation import block_bytes, layout
from shared.compression.spec import Compression, Kind, Noised, Update, Words, public_seed
from shared.errors import WireError

__all__ = [
    "Compression",
    "Kind",
    "Noised",
    "Update",
    "Words",
    "decode",
    "encode",
    "growth",
    "most_bytes",
    "public_seed",
]

_MARK = 2


def encode(update: Noised, spec: Compression, *, seed: bytes, words: Words) -> bytes:
    """The bytes in which an update of shape `(size,)` travels. `seed` is public; `words` rounds int8 at random."""
    if spec.kind == "int8":
        return int8.encode(update.values, words)
    if spec.kind == "eden":
        return _mark(seed) + eden.encode(update.values, cast(int, spec.bits), seed=seed, least_error=spec.feedback)
    return _mark(seed) + randk.encode(update.values, cast(float, spec.fraction), seed=seed)


def decode(data: bytes, spec: Compression, *, size: int, seed: bytes) -> Update:
    """The update that `data` stands for, finite float32 of shape `(size,)`; raise `WireError` for what nobody encodes.

    Takes memory by `size` and never by what the bytes claim.
    """
    if spec.kind == "int8":
        return int8.decode(data, size=size)
    if len(data) != most_bytes(spec, size):
        raise WireError(f"{spec.kind} of {size} values has {most_bytes(spec, size)} bytes, got {len(data)}")
    if not data.startswith(_mark(seed)):
        raise WireError(
            f"{spec.kind} was encoded under another seed: for another round, or by a device of another name"
        )
    body = data[_MARK:]
    if spec.kind == "eden":
        return eden.decode(body, cast(int, spec.bits), size=size, seed=seed)
    return randk.decode(body, cast(float, spec.fraction), size=size, seed=seed, least_error=spec.feedback)


def most_bytes(spec: Compression, size: int) -> int:
    """The most that an update of `size` values takes; only int8 may take less."""
    if spec.kind == "int8":
        return 4 + size
    if spec.kind == "eden":
        bits = cast(int, spec.bits)
        return _MARK + block_bytes(layout(size, bits), bits)
    return _MARK + 4 * randk.how_many(size, cast(float, spec.fraction))


def _mark(seed: bytes) -> bytes:
    """Two bytes that another seed would not give: under a wrong one, an update would decode to noise, unnoticed."""
    return sha256(b"mark" + seed).digest()[:_MARK]


def growth(spec: Compression, size: int) -> float:
    """By how much the decoded update may be longer than what was encoded, at most, whatever the values.

    With feedback it is never longer. Beyond this, an arriving update was not made by `encode`.
    """
    if spec.feedback:
        return 1.0
    if spec.kind == "eden":
        return eden.GROWTH
    if spec.kind == "rand-k":
        return size / randk.how_many(size, cast(float, spec.fraction))
    return 1 + float(np.sqrt(size)) / 127
