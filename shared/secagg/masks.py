"""Masks and the keys behind them: X25519, HKDF-SHA256, AES-256 in counter mode, AES-GCM (all from `cryptography`)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from shared.secagg import shamir
from shared.secagg.packing import Vector

_CHUNK = 2**16
"""Bytes of a vector that are masked at a time: they stay in a processor's near cache while every mask passes over."""

_TOGETHER = 256
"""Masks that pass over a chunk together; each is an open cipher."""

_ZEROS = memoryview(bytes(_CHUNK))


@dataclass(frozen=True, slots=True, kw_only=True)
class Mask:
    """A keystream to add to a vector, or to take off it."""

    key: bytes
    add: bool


def new_key() -> bytes:
    """The 32 bytes of a fresh X25519 private key, clamped (RFC 7748, section 5) and below Shamir's prime."""
    while True:
        raw = bytearray(X25519PrivateKey.generate().private_bytes_raw())
        raw[0] &= 248
        raw[31] = raw[31] & 127 | 64
        if int.from_bytes(raw, "little") < shamir.PRIME:
            return bytes(raw)


def public_key(private: bytes) -> bytes:
    """The public key of a private one."""
    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


def agree(private: bytes, *publics: bytes) -> list[bytes]:
    """The secrets that an X25519 key shares with others; `ValueError` for a public key of small order."""
    key = X25519PrivateKey.from_private_bytes(private)
    return [key.exchange(X25519PublicKey.from_public_bytes(public)) for public in publics]


def derive(secret: bytes, *parts: bytes) -> bytes:
    """A 256-bit key by HKDF-SHA256 (RFC 5869) for one purpose, which the parts name; each is led by its length."""
    info = b"".join(len(part).to_bytes(2, "big") + part for part in (b"covey secagg v1", *parts))
    return HKDF(hashes.SHA256(), 32, None, info).derive(secret)


def pair_mask(secret: bytes, *, setting: bytes, me: str, other: str) -> Mask:
    """The mask of a pair: the lower fingerprint adds it, the higher takes it off."""
    low, high = sorted((me, other))
    return Mask(key=derive(secret, b"pair", setting, low.encode(), high.encode()), add=me < other)


def self_mask(seed: bytes, *, setting: bytes, device: str) -> Mask:
    """The mask that hides a device's vector even when all of its pairs' masks become known."""
    return Mask(key=derive(seed, b"self", setting, device.encode()), add=True)


def seal(secret: bytes, data: bytes, *, bound: bytes, sender: str, receiver: str) -> bytes:
    """Encrypt for one receiver. Its key serves one message in one direction, so the nonce may be zero."""
    key = derive(secret, b"seal", bound, sender.encode(), receiver.encode())
    return AESGCM(key).encrypt(bytes(12), data, bound)


def unseal(secret: bytes, data: bytes, *, bound: bytes, sender: str, receiver: str) -> bytes | None:
    """Decrypt what `seal` made; None if anything about it is different."""
    key = derive(secret, b"seal", bound, sender.encode(), receiver.encode())
    try:
        return AESGCM(key).decrypt(bytes(12), data, bound)
    except InvalidTag:
        return None


def apply(vector: Vector, masks: Sequence[Mask]) -> None:
    """Add the masks to a vector, or take them off it, in place and modulo its type's range.

    A mask is the keystream of AES-256-CTR (NIST SP 800-38A) read as little-endian integers of the vector's type, so
    its first values do not depend on how long the vector is.
    """
    for start in range(0, len(masks), _TOGETHER):
        _pass(vector, masks[start : start + _TOGETHER])


def _pass(vector: Vector, masks: Sequence[Mask]) -> None:
    size = vector.dtype.itemsize
    streams = [(Cipher(algorithms.AES256(mask.key), modes.CTR(bytes(16))).encryptor(), mask.add) for mask in masks]
    buffer = bytearray(_CHUNK + 15)
    for start in range(0, len(vector), _CHUNK // size):
        part = vector[start : start + _CHUNK // size]
        words, zeros = np.frombuffer(buffer, dtype=vector.dtype, count=len(part)), _ZEROS[: len(part) * size]
        for stream, add in streams:
            stream.update_into(zeros, buffer)
            (np.add if add else np.subtract)(part, words, out=part)
