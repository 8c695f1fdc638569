"""Bytes and maps of a cohort as the text that carries them, each with one canonical spelling."""

import base64
import binascii
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray


def encoded(data: bytes) -> str:
    """Bytes as they travel."""
    return base64.b64encode(data).decode()


def decoded(text: str) -> bytes:
    """Base64 to bytes; raise `ValueError` for anything but the one canonical spelling."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("it is not base64") from None
    last = (len(data) - 1) // 3 * 3
    if len(text) != (len(data) + 2) // 3 * 4 or (data and encoded(data[last:]) != text[-4:]):
        raise ValueError("it is not base64 in its canonical form")
    return data


def sized(text: str, count: int, name: str) -> bytes:
    """Base64 of exactly `count` bytes, or `ValueError`."""
    data = decoded(text)
    if len(data) != count:
        raise ValueError(f"{name} must be {count} bytes in base64, got {len(data)}")
    return data


def short(text: str, name: str) -> bytes:
    """Base64 of a signature on P-256 or P-384 (DER, at most 104 bytes), or `ValueError`."""
    data = decoded(text)
    if not 8 <= len(data) <= 104:
        raise ValueError(f"{name} must be an ECDSA signature in base64")
    return data


def map_of(positions: Iterable[int], count: int) -> str:
    """A map with a bit for each of `count` positions."""
    bits = np.zeros(count, dtype=np.bool_)
    bits[list(positions)] = True
    return encoded(np.packbits(bits, bitorder="little").tobytes())


def map_read(text: str, count: int, name: str) -> NDArray[np.bool_]:
    """A map as `count` booleans, or `ValueError`."""
    data = sized(text, (count + 7) // 8, name)
    bits = np.unpackbits(np.frombuffer(data, dtype=np.uint8), bitorder="little").astype(np.bool_)
    if bits[count:].any():
        raise ValueError(f"{name} has bits beyond its {count} members")
    return bits[:count]


def pieces(data: bytes, size: int) -> list[bytes]:
    """Cut bytes into pieces of `size`."""
    return [data[start : start + size] for start in range(0, len(data), size)]
