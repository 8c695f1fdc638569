"""What a run's process and the coordinator hand each other in one request: a head, and the parts that it names."""

import hashlib
from collections.abc import Iterable

from shared.errors import WireError

HAND_OUT, COLLECT = "/covey/hand-out", "/covey/collect"
"""Routes on loopback: messages go out with all their parts, replies come in with all of theirs."""

_WIDTH = 4


def bundle(parts: Iterable[bytes]) -> bytes:
    """Several byte strings as one: each after its length, 4 bytes, big-endian."""
    return b"".join(piece for part in parts for piece in (len(part).to_bytes(_WIDTH, "big"), part))


def unbundle(body: bytes) -> list[bytes]:
    """The byte strings of a bundle; raise `WireError` if it was cut short."""
    parts: list[bytes] = []
    start = 0
    while start < len(body):
        begin = start + _WIDTH
        end = begin + int.from_bytes(body[start:begin], "big")
        if begin > len(body) or end > len(body):
            raise WireError("a bundle of parts was cut short")
        parts.append(body[begin:end])
        start = end
    return parts


def by_name(parts: Iterable[bytes]) -> dict[str, bytes]:
    """Parts under their names, which are their SHA-256 in hexadecimal, as Flower names objects."""
    return {hashlib.sha256(part).hexdigest(): part for part in parts}
