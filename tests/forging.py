"""Certificates that no device should take, and a server on loopback that shows them and remembers who spoke to it."""

import datetime as dt
import ipaddress
import re
import socket
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Thread
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from shared.sequence import PURPOSE

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
HOST = "127.0.0.1"


def new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def usage(*, signs: bool) -> x509.KeyUsage:
    """May sign certificates, or may do what a server does."""
    return x509.KeyUsage(not signs, False, False, False, False, signs, signs, False, False)


@dataclass(frozen=True, kw_only=True)
class Issuer:
    """Who signs: a name and a key, and its own certificate."""

    certificate: x509.Certificate
    key: Key

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What a certificate should say; as it stands, one that a device takes."""

    subject: str = "covey coordinator"
    hosts: Sequence[str] = (HOST, "localhost")
    days: tuple[float, float] = (-1, 30)
    authority: bool = False
    purposes: Sequence[x509.ObjectIdentifier] = (ExtendedKeyUsageOID.SERVER_AUTH,)
    signs: bool = False
    constraints: x509.NameConstraints | None = None
    key: Key = field(default_factory=new_key)

    def signed_by(self, issuer: Issuer | None) -> Issuer:
        """The certificate, and its own key; signed by itself without an issuer."""
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self.subject)])
        key, now = issuer.key if issuer else self.key, dt.datetime.now(dt.UTC)
        names = [_name(host) for host in self.hosts]
        builder = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(issuer.certificate.subject if issuer else name)
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + dt.timedelta(days=self.days[0]))
            .not_valid_after(now + dt.timedelta(days=self.days[1]))
            .add_extension(x509.BasicConstraints(ca=self.authority, path_length=None), critical=True)
            .add_extension(usage(signs=self.signs), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self.key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
        )
        for value in (
            x509.SubjectAlternativeName(names) if names else None,
            x509.ExtendedKeyUsage(list(self.purposes)) if self.purposes else None,
            self.constraints,
        ):
            builder = builder.add_extension(value, critical=value is self.constraints) if value else builder
        return Issuer(certificate=builder.sign(key, hashes.SHA256()), key=self.key)


def _name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


AUTHORITY = Wish(subject="works Covey authority", hosts=(), purposes=(), authority=True, signs=True)
SERVER = Wish()


def chain(*links: Issuer) -> list[x509.Certificate]:
    return [link.certificate for link in links]


def _tlv(tag: int, body: bytes) -> bytes:
    size = len(body)
    if size < 128:
        return bytes([tag, size]) + body
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + body


def _children(body: bytes) -> Iterator[bytes]:
    """The elements of a DER sequence's body, whole."""
    while body:
        first, skip = body[1], 2
        size = first
        if first & 0x80:
            skip += first & 0x7F
            size = int.from_bytes(body[2:skip], "big")
        yield body[: skip + size]
        body = body[skip + size :]


def _body(element: bytes) -> bytes:
    return element[2 + (element[1] & 0x7F if element[1] & 0x80 else 0) :]


SHA1_ECDSA, SHA1_RSA = bytes.fromhex("06072a8648ce3d0401"), bytes.fromhex("06092a864886f70d010105")


def with_sha1(made: Issuer, by: Issuer) -> Issuer:
    """The same certificate, its signature over SHA-1, which `cryptography` no longer makes."""
    parts = list(_children(_body(made.certificate.tbs_certificate_bytes)))
    rsa_key = isinstance(by.key, rsa.RSAPrivateKey)
    algorithm = _tlv(0x30, SHA1_RSA + b"\x05\x00" if rsa_key else SHA1_ECDSA)
    parts[2] = algorithm
    tbs = _tlv(0x30, b"".join(parts))
    signing: Any = by.key
    how = (PKCS1v15(), hashes.SHA1()) if rsa_key else (ec.ECDSA(hashes.SHA1()),)
    whole = _tlv(0x30, tbs + algorithm + _tlv(0x03, b"\0" + signing.sign(tbs, *how)))
    return replace(made, certificate=x509.load_der_x509_certificate(whole))


@dataclass
class Shown:
    """A server that shows a certificate: where it listens, and the bytes of every request that reached it."""

    port: int
    requests: list[bytes] = field(default_factory=list)


@contextmanager
def showing(
    certificates: Sequence[x509.Certificate], key: Key, folder: Path, *, answer: bytes = b""
) -> Iterator[Shown]:
    """Listen on loopback and show a chain, leaf first; whoever takes it is answered with `answer`."""
    file = folder / "shown.pem"
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    file.write_bytes(pem + b"".join(one.public_bytes(Encoding.PEM) for one in certificates))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.load_cert_chain(file)
    with socket.create_server((HOST, 0)) as listening:
        shown = Shown(port=listening.getsockname()[1])
        thread = Thread(target=_serve, args=(listening, context, shown, answer), daemon=True)
        thread.start()
        yield shown
        listening.shutdown(socket.SHUT_RDWR)
    thread.join()


def _serve(listening: socket.socket, context: ssl.SSLContext, shown: Shown, answer: bytes) -> None:
    while True:
        try:
            one, _ = listening.accept()
        except OSError:
            return
        with one:
            try:
                with context.wrap_socket(one, server_side=True) as spoken:
                    shown.requests.append(_request(spoken))
                    spoken.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(answer) + answer)
            except OSError:
                continue


def _request(spoken: ssl.SSLSocket) -> bytes:
    """One whole request: what is left unread when a socket is closed would cut its answer off."""
    data = b""
    while (part := spoken.recv(65_536)) and not _is_whole(data := data + part):
        pass
    return data


def _is_whole(data: bytes) -> bool:
    head, end, body = data.partition(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head.lower())
    return bool(end) and len(body) >= (int(length[1]) if length else 0)


def hostile(authority: Issuer) -> dict[str, tuple[list[x509.Certificate], Key, str]]:
    """Every certificate that a device must not take from this authority: the chain, its key, what is said of it."""
    other = Wish(subject=authority.certificate.subject.rfc4514_string()[3:], **_ca()).signed_by(None)
    middle = Wish(subject="a middle", **_ca()).signed_by(authority)
    ordinary = SERVER.signed_by(authority)
    weak = rsa.generate_private_key(65537, 1024)
    plain = {
        "expired": (replace(SERVER, days=(-30, -1)), "has expired"),
        "not yet valid": (replace(SERVER, days=(1, 30)), "is not yet valid"),
        "another host": (replace(SERVER, hosts=("10.1.2.3", "elsewhere.example")), "not valid for '127.0.0.1'"),
        "the host as a name alone": (replace(SERVER, hosts=(), subject=HOST), "not valid for '127.0.0.1'"),
        "any host": (replace(SERVER, hosts=("*", "*.0.0.1")), "not valid for '127.0.0.1'"),
        "a client's": (replace(SERVER, purposes=(ExtendedKeyUsageOID.CLIENT_AUTH,)), "unsuitable certificate purpose"),
        "the countersigner's": (replace(SERVER, purposes=(PURPOSE,)), "unsuitable certificate purpose"),
        "for signing certificates": (replace(SERVER, authority=True, signs=True), "unsuitable certificate purpose"),
        "a weak key": (replace(SERVER, key=weak), "key too weak"),
    }
    made = {name: (wish.signed_by(authority), says) for name, (wish, says) in plain.items()}
    found: dict[str, tuple[list[x509.Certificate], Key, str]] = {
        name: ([one.certificate], one.key, says) for name, (one, says) in made.items()
    }
    alone, stranger = SERVER.signed_by(None), SERVER.signed_by(Wish(subject="another", **_ca()).signed_by(None))
    below = SERVER.signed_by(ordinary)
    found |= {
        "self-signed": ([alone.certificate], alone.key, "self-signed certificate"),
        "of another authority": ([stranger.certificate], stranger.key, "unable to get local issuer"),
        "of another authority of the same name": (
            [(forged := SERVER.signed_by(other)).certificate], forged.key, "certificate verify failed",
        ),
        "below a server's": (chain(below, ordinary), below.key, "certificate verify failed"),
        "below an authority in the middle": (
            chain(under := SERVER.signed_by(middle), middle), under.key, "path length constraint exceeded",
        ),
        "a signature over SHA-1": (
            [with_sha1(ordinary, authority).certificate], ordinary.key, "too weak",
        ),
        "the authority's own": ([authority.certificate], authority.key, "unsuitable certificate purpose"),
    }  # fmt: skip
    return found


def _ca() -> dict[str, Any]:
    return {"hosts": (), "purposes": (), "authority": True, "signs": True}
