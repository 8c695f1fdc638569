"""Covey's own request signature: method, path, body, nonce and time, bound to the device that sends them.

Flower's node signature covers a timestamp only, so one captured header opens any other route for five
minutes (privacy rule 20). This one is worth exactly one request.
"""

import base64
import binascii
import hashlib
import secrets
from collections.abc import Mapping
from functools import lru_cache

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from shared.errors import WireError

KEY, NONCE, TIME, SIGNATURE = "covey-key", "covey-nonce", "covey-time", "covey-signature"
WINDOW_SECONDS = 300
"""How far the sender's clock may be off; a nonce must be remembered for twice as long."""

_CONTEXT = "covey request v1"
_MAX_HEADER = 1024
_MAX_DIGITS = 12


def public_key_bytes(key: ec.EllipticCurvePublicKey) -> bytes:
    """A public key as it travels and as Flower keeps it: SubjectPublicKeyInfo in PEM."""
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def key_fingerprint(public_key: bytes) -> str:
    """The first 16 hexadecimal digits of a public key's SHA-256, for two people to compare by eye."""
    return hashlib.sha256(public_key).hexdigest()[:16]


@lru_cache(maxsize=4096)
def load_public_key(data: bytes) -> ec.EllipticCurvePublicKey:
    """Read a device's public key, a NIST P-256 or P-384 one; raise `WireError` for anything else."""
    try:
        key = serialization.load_pem_public_key(data)
    except (ValueError, UnsupportedAlgorithm):
        raise WireError("public key is not a PEM SubjectPublicKeyInfo") from None
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, (ec.SECP256R1, ec.SECP384R1)):
        raise WireError("public key must be on NIST P-256 or P-384")
    return key


def sign(key: ec.EllipticCurvePrivateKey, *, method: str, path: str, body: bytes, now: float) -> dict[str, str]:
    """The headers that bind this one request to `key`; `now` is in Unix seconds."""
    nonce, moment = secrets.token_hex(16), str(int(now))
    signature = key.sign(_statement(method, path, body, nonce, moment), ec.ECDSA(hashes.SHA256()))
    return {
        KEY: base64.b64encode(public_key_bytes(key.public_key())).decode(),
        NONCE: nonce,
        TIME: moment,
        SIGNATURE: base64.b64encode(signature).decode(),
    }


def verify(headers: Mapping[str, str], *, method: str, path: str, body: bytes, now: float) -> bytes:
    """The public key that signed this request, in its one canonical form, or `WireError`.

    `headers` maps lower-case names to values. Whether the key may speak, and whether `headers[NONCE]`
    was seen before, is for the caller to decide: both need memory.
    """
    public, signature = _base64(headers, KEY), _base64(headers, SIGNATURE)
    nonce, moment = _plain(headers, NONCE), _plain(headers, TIME)
    if not moment.isdigit() or len(moment) > _MAX_DIGITS or abs(now - int(moment)) > WINDOW_SECONDS:
        raise WireError(f"request time is not within {WINDOW_SECONDS} seconds of the coordinator's clock")
    try:
        statement, key = _statement(method, path, body, nonce, moment), load_public_key(public)
        key.verify(signature, statement, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        raise WireError("request signature does not match its method, path and body") from None
    return public_key_bytes(key)


def claimed_key(headers: Mapping[str, str]) -> bytes | None:
    """The key that a request claims to be signed by, before anything is verified; None if it names none."""
    try:
        return public_key_bytes(load_public_key(_base64(headers, KEY)))
    except WireError:
        return None


def _statement(method: str, path: str, body: bytes, nonce: str, moment: str) -> bytes:
    """What is signed; no part may hold the line break that keeps them apart."""
    parts = (_CONTEXT, method.upper(), path, hashlib.sha256(body).hexdigest(), nonce, moment)
    if any("\n" in part for part in parts):
        raise WireError("request holds a line break where none may be")
    return "\n".join(parts).encode()


def _plain(headers: Mapping[str, str], name: str) -> str:
    value = headers.get(name, "")
    if not 0 < len(value) <= _MAX_HEADER or not value.isascii():
        raise WireError(f"request lacks a usable {name} header")
    return value


def _base64(headers: Mapping[str, str], name: str) -> bytes:
    try:
        return base64.b64decode(_plain(headers, name), validate=True)
    except binascii.Error:
        raise WireError(f"request header {name} is not base64") from None
