"""The federation's own certificate authority, and the coordinator's certificate."""

import datetime as dt
import hashlib
import ipaddress
from collections.abc import Iterable
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from shared.errors import InputError
from shared.files import write_secret, write_whole
from shared.sequence import PURPOSE

LOOPBACK = ("localhost", "127.0.0.1", "::1")
AUTHORITY_DAYS, SERVER_DAYS, RENEW_DAYS = 3650, 397, 30
"""How long each certificate lasts, and how long before its end the server's is renewed."""


def create_authority(directory: Path, *, name: str) -> None:
    """Make `ca.key` and `ca.crt`: an authority that may sign servers and nothing below them."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{name} Covey authority"[:64])])
    certificate = (
        _certificate(subject, subject, key.public_key(), AUTHORITY_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    write_secret(directory / "ca.key", _pem(key))
    write_whole(directory / "ca.crt", certificate.public_bytes(serialization.Encoding.PEM))


def create_server_certificate(directory: Path, *, hosts: Iterable[str]) -> None:
    """Make, or replace, `server.key` and `server.crt` for loopback and `hosts`, signed by the authority."""
    authority, authority_key = _load_authority(directory)
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "covey coordinator")])
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key())
    certificate = (
        _certificate(subject, authority.subject, key.public_key(), SERVER_DAYS)
        .add_extension(x509.SubjectAlternativeName(_names([*LOOPBACK, *hosts])), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(issuer, critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    # One file holds both, so that no crash leaves a key beside another key's certificate.
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    write_whole(directory / "server.key", _pem(key) + pem, mode=0o600)
    write_whole(directory / "server.crt", pem)


def create_sequence_certificate(directory: Path) -> None:
    """Make `sequence.key`: a key, with its certificate by the authority, that may countersign charges and no more."""
    authority, authority_key = _load_authority(directory)
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "covey charge sequence")])
    certificate = (
        _certificate(subject, authority.subject, key.public_key(), AUTHORITY_DAYS)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([PURPOSE]), critical=True)
        .sign(authority_key, hashes.SHA256())
    )
    write_secret(directory / "sequence.key", _pem(key) + certificate.public_bytes(serialization.Encoding.PEM))


def renew_server_certificate(directory: Path, *, host: str) -> bool:
    """Replace the server's certificate if it ends soon or does not name `host`; say whether it was replaced."""
    certificate = _load(directory / "server.key")
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    ends = certificate.not_valid_after_utc - _now()
    if ends > dt.timedelta(days=RENEW_DAYS) and all(name in names for name in _names([host])):
        return False
    create_server_certificate(directory, hosts=[host])
    return True


def fingerprint(certificate: Path) -> str:
    """SHA-256, in hexadecimal, of a PEM certificate's DER: what an invitation pins."""
    return hashlib.sha256(_load(certificate).public_bytes(serialization.Encoding.DER)).hexdigest()


def validity(certificate: Path) -> tuple[dt.datetime, dt.datetime]:
    """From when until when a PEM certificate is good, in UTC; raise `InputError` if it is missing or damaged."""
    found = _load(certificate)
    return found.not_valid_before_utc, found.not_valid_after_utc


def _load(path: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except PermissionError:
        raise InputError(f"certificate {path} may not be read by you; ask the operator") from None
    except (OSError, ValueError):
        raise InputError(f"certificate {path} is missing or damaged; restore it from a backup") from None


def _load_authority(directory: Path) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    try:
        key = serialization.load_pem_private_key((directory / "ca.key").read_bytes(), password=None)
    except (OSError, ValueError):
        raise InputError(f"key {directory / 'ca.key'} is missing or damaged; restore it from a backup") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise InputError(f"key {directory / 'ca.key'} is not an elliptic-curve key; restore it from a backup")
    return _load(directory / "ca.crt"), key


def _certificate(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, days: int
) -> x509.CertificateBuilder:
    """What every certificate here starts from; valid since yesterday, because devices' clocks differ."""
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key)
    builder = builder.serial_number(x509.random_serial_number())
    day = dt.timedelta(days=1)
    return builder.not_valid_before(_now() - day).not_valid_after(_now() + days * day)


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates, key_cert_sign=signs_certificates, crl_sign=signs_certificates,
        content_commitment=False, key_encipherment=False, data_encipherment=False, key_agreement=False,
        encipher_only=False, decipher_only=False,
    )  # fmt: skip


def _names(hosts: Iterable[str]) -> list[x509.GeneralName]:
    return [_name(host) for host in dict.fromkeys(hosts)]


def _name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    pkcs8, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, pkcs8, plain)


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)
