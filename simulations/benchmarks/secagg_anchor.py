"""The bytes of one device's messages in a cohort of 2^10 with 2^20 values, beside SecAgg's published figure."""

import os
from typing import Any

from shared.secagg.envelope import folded
from shared.secagg.graph import Shape, shape_for
from shared.secagg.packing import packed_size
from shared.secagg.text import encoded, map_of
from shared.secagg.words import (
    KEY_BYTES,
    MARK_BYTES,
    PREFIX_BYTES,
    SEALED_BYTES,
    Agreement,
    Incoming,
    KeyList,
    KeyOffer,
    Masked,
    Reveal,
    Roll,
    Shares,
    Survivors,
    UnmaskRequest,
)

Row = dict[str, Any]


def anchor(update_bits: int, *, colluders: float, dropouts: float) -> list[Row]:
    """SecAgg's published 1.73x (Bonawitz et al. 2017, abstract: 2^10 users, 2^20 values, 16 bits), counted the same way.

    Theirs is all that a user sends and receives but the model (section 7). Here the messages have the sizes of an
    average member's, in a cohort from which nobody drops out; nothing is computed for them.
    """
    count, length, bits = 2**10, 2**20, update_bits + 10
    shape = shape_for(count, colluders=colluders, dropouts=dropouts)
    up = packed_size(length, bits) + sum(len(folded(message)) for message in _sent(shape.degree))
    down = sum(len(folded(message)) for message in _received(count, shape))
    plain, name = length * update_bits / 8, "wire.secagg 2^10 users, 2^20 values, 16 bits"
    both = (up + down) / plain
    return [
        {"name": f"{name}: upload / plain update", "value": up / plain, "unit": "x", "target": "", "meets": None, "ran": ""},
        {
            "name": f"{name}: all but the model / plain update", "value": both, "unit": "x", "target": "<= 1.73",
            "meets": both <= 1.73, "ran": "",
        },
    ]  # fmt: skip


def _noise(size: int) -> str:
    return encoded(os.urandom(size))


def _sent(near: int) -> list[object]:
    """What a device sends besides its vector, by size."""
    marks = _noise((near + 1) * 2 * MARK_BYTES)
    return [
        KeyOffer(device=os.urandom(32).hex(), cipher_key=_noise(KEY_BYTES), mask_key=_noise(KEY_BYTES), signature=_noise(72)),
        Shares(sealed=_noise(near * SEALED_BYTES), marks=marks, seed_mark=_noise(KEY_BYTES)),
        Masked(signature=_noise(72)), Agreement(signature=_noise(72)), Reveal(shares=_noise((near + 1) * KEY_BYTES)),
    ]  # fmt: skip


def _received(count: int, shape: Shape) -> list[object]:
    """What a device receives besides the model, by size."""
    everybody, near = map_of(range(count), count), shape.degree
    survivors = Survivors(survivors=everybody, dropped=map_of([], count))
    return [
        KeyList(
            threshold=shape.threshold, degree=near, shares=shape.shares, prefixes=_noise(count * PREFIX_BYTES),
            leaves=_noise(count * KEY_BYTES), keys=_noise(near * 2 * KEY_BYTES),
            signatures=tuple(_noise(72) for _ in range(near)),
        ),
        Incoming(dealers=everybody, sealed=_noise(near * SEALED_BYTES)),
        Roll(survivors=survivors, signatures=tuple(_noise(72) for _ in range(near))),
        UnmaskRequest(
            survivors=survivors, signers=map_of(range(shape.threshold), count),
            signatures=tuple(_noise(72) for _ in range(shape.threshold)),
        ),
    ]  # fmt: skip
