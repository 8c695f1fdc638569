"""What is signed in a secure aggregation, and what shares are committed to."""

import hashlib

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from shared.secagg.text import decoded, encoded
from shared.secagg.words import MARK_BYTES, Survivors
from shared.signing import load_public_key

_HASH = ec.ECDSA(hashes.SHA256())


def leaf(keys: bytes) -> bytes:
    """What stands for a member's two keys (64 bytes) in the list of all."""
    return hashlib.sha256(b"covey secagg keys v1\n" + keys).digest()


def offer_statement(*, setting: bytes, device: str, keys: bytes) -> bytes:
    """What a device signs about its keys: the setting's digest, who it is, both keys."""
    return f"covey secagg offer v1\n{setting.hex()}\n{device}\n{keys.hex()}".encode()


def masked_statement(*, cohort: bytes, dealers: str) -> bytes:
    """What a device signs as its masked vector leaves: the list's digest, and whose shares it had."""
    return f"covey secagg masked v1\n{cohort.hex()}\n{dealers}".encode()


def survivors_statement(*, cohort: bytes, survivors: Survivors) -> bytes:
    """What a survivor signs: the list's digest, who survived, who dropped."""
    return f"covey secagg survivors v1\n{cohort.hex()}\n{survivors.survivors}\n{survivors.dropped}".encode()


def share_mark(*, cohort: bytes, dealer: str, holder: str, kind: bytes, share: bytes) -> bytes:
    """The commitment to one share; `kind` is `b"seed"` or `b"key"`."""
    text = b"\n".join((b"covey secagg share v1", cohort, dealer.encode(), holder.encode(), kind, share))
    return hashlib.sha256(text).digest()[:MARK_BYTES]


def seed_mark(*, cohort: bytes, device: str, seed: bytes) -> bytes:
    """The commitment to a device's seed."""
    return hashlib.sha256(b"\n".join((b"covey secagg seed v1", cohort, device.encode(), seed))).digest()


def sign(key: ec.EllipticCurvePrivateKey, statement: bytes) -> str:
    """An ECDSA signature with SHA-256, as it travels."""
    return encoded(key.sign(statement, _HASH))


def signed(public_key: bytes, statement: bytes, signature: str) -> bool:
    """Whether the key (PEM) signed this statement."""
    try:
        load_public_key(public_key).verify(decoded(signature), statement, _HASH)
    except InvalidSignature:
        return False
    return True
