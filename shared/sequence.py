"""The countersigned charge sequence: what a device reports before a paid reply leaves, and what comes back.

`POST /covey/sequence` carries canonical JSON of a `SequenceRequest` under the headers of `shared/signing.py`; the
answer is a `SequenceAnswer`. The coordinator keeps the largest number of each device and never goes back, so that a
ledger which was restored from an old copy is noticed (privacy rule 11).
"""

import base64
import binascii
import hashlib
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from shared.errors import WireError
from shared.signing import public_key_bytes

PATH = "/covey/sequence"
SEALED_BYTES = 4096
"""Every sealed copy of a device's totals has this length: its size tells nothing of what was spent."""

MOST = 2**53
PURPOSE = x509.ObjectIdentifier("2.25.87031409637015483230120862240337361211")
"""The extended key usage of a key that may countersign and nothing else."""

_CONTEXT = "covey sequence v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class SequenceReport:
    """A device's newest charge: its number, the head of the audit log (SHA-256, hex), its sealed totals (base64)."""

    number: int
    head: str
    blob: str

    def __post_init__(self) -> None:
        """Refuse what no device sends."""
        if not 0 <= self.number < MOST:
            raise ValueError(f"number must lie in [0, 2**53), got {self.number}")
        if not is_digest(self.head):
            raise ValueError("head must be 64 hexadecimal digits")
        if len(decoded(self.blob)) != SEALED_BYTES:
            raise ValueError(f"blob must be {SEALED_BYTES} bytes in base64")


@dataclass(frozen=True, slots=True, kw_only=True)
class SequenceRequest:
    """Keep a report, or without one only ask for the latest."""

    report: SequenceReport | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What the coordinator countersigned: whose, which number, which head, and the SHA-256 of which blob.

    `device` is the SHA-256 of the device's public key; `certificate` (PEM) is the signing key's, from the
    federation's authority; `signature` is base64.
    """

    device: str
    number: int
    head: str
    blob_sha256: str
    certificate: str
    signature: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SequenceAnswer:
    """The latest that the coordinator countersigned for this device, with its blob; no receipt if there is none.

    It is the report just sent if that was ahead; otherwise the device is the one that is behind.
    """

    receipt: Receipt | None = None
    blob: str = ""


def device_fingerprint(public_key: bytes) -> str:
    """Whose sequence it is, from the public key in PEM."""
    return hashlib.sha256(public_key).hexdigest()


def statement(device: str, number: int, head: str, blob_sha256: str) -> bytes:
    """What is countersigned."""
    return "\n".join((_CONTEXT, device, str(number), head, blob_sha256)).encode()


def blob_digest(blob: str) -> str:
    """The SHA-256 of a sealed copy of the totals, as it travels."""
    return hashlib.sha256(blob.encode()).hexdigest()


def countersign(
    report: SequenceReport, *, device: str, key: ec.EllipticCurvePrivateKey, certificate: bytes
) -> Receipt:  # fmt: skip
    """Sign that this report was received from a device."""
    digest = blob_digest(report.blob)
    signature = key.sign(statement(device, report.number, report.head, digest), ec.ECDSA(hashes.SHA256()))
    return Receipt(
        device=device, number=report.number, head=report.head, blob_sha256=digest,
        certificate=certificate.decode("ascii"), signature=base64.b64encode(signature).decode(),
    )  # fmt: skip


def verify(receipt: Receipt, *, device: str, authority: bytes, now: datetime | None = None) -> None:
    """Raise `WireError` unless a key that `authority` (PEM) certified for this purpose signed it for `device`.

    With `now`, the certificate must also be valid at that time.
    """
    if receipt.device != device:
        raise WireError("the receipt is another device's")
    certificate = _certified(receipt.certificate, authority)
    if now is not None and not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
        raise WireError("the receipt's certificate is not valid now; this device's clock may be wrong")
    key = certificate.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise WireError("the receipt's key is not an elliptic-curve key")
    signed = statement(receipt.device, receipt.number, receipt.head, receipt.blob_sha256)
    try:
        key.verify(decoded(receipt.signature), signed, ec.ECDSA(hashes.SHA256()))
    except (InvalidSignature, ValueError):
        raise WireError("the receipt's signature does not hold") from None


def decoded(text: str) -> bytes:
    """Base64 to bytes; raise `ValueError` for anything else."""
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        raise ValueError("it is not base64") from None


def is_digest(text: str) -> bool:
    """Whether a text is a SHA-256 in lower-case hexadecimal digits."""
    return len(text) == 64 and set(text) <= set("0123456789abcdef")


def _certified(pem: str, authority: bytes) -> x509.Certificate:
    try:
        certificate = x509.load_pem_x509_certificate(pem.encode())
        certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(authority))
        usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except (ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
        raise WireError("the receipt's key is not certified by the federation's authority") from None
    if PURPOSE not in usage:
        raise WireError("the receipt's key is certified for something else")
    return certificate


def fingerprint_of(key: ec.EllipticCurvePrivateKey) -> str:
    """Whose sequence it is, from the device's own key."""
    return device_fingerprint(public_key_bytes(key.public_key()))
