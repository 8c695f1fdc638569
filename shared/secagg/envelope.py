"""Messages of a secure aggregation as few bytes: JSON, deflated, which takes back what base64 adds to random bytes."""

import zlib
from typing import TypeVar

from shared import wire
from shared.errors import WireError

T = TypeVar("T")

MOST_BYTES = 2**24
"""No message of the largest cohort is longer than this when inflated; nothing is inflated beyond it."""


def folded(message: object) -> bytes:
    """A message as it travels."""
    return zlib.compress(wire.to_json(message), 6)


def unfolded(cls: type[T], data: bytes) -> T:
    """The message that `folded` made these bytes of, or `WireError`."""
    inflater = zlib.decompressobj()
    try:
        text = inflater.decompress(data, MOST_BYTES)
    except zlib.error as error:
        raise WireError(f"{cls.__name__} is not deflated JSON: {error}") from None
    if not inflater.eof or inflater.unused_data:
        raise WireError(f"{cls.__name__} is cut short, too long, or has something behind it")
    return wire.from_json(cls, text)
