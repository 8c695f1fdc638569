"""Covey's own requests to the coordinator, beside Flower's fleet protocol: what to trust, joining, reporting."""

import hashlib
import json
import ssl
import time
from typing import Any, cast

import httpx
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from client.config import AgentHome
from client.handshake import leaves_only
from shared import wire
from shared.enrolment import EnrolRequest, InstalledReport
from shared.errors import InputError, Unreachable
from shared.invitations import Invitation
from shared.signing import sign

TIMEOUT_SECONDS = 15.0
MAX_BYTES = 1 << 20


def base_url(address: str) -> str:
    """The coordinator's URL from its `host:port`."""
    return f"https://{address}"


def address_of(invitation: Invitation) -> str:
    """The coordinator's `host:port`, an IPv6 host in brackets."""
    host = f"[{invitation.host}]" if ":" in invitation.host else invitation.host
    return f"{host}:{invitation.port}"


def authority(home: AgentHome) -> bytes:
    """The federation's own authority (PEM), pinned when joining; raise `InputError` if it is gone."""
    try:
        return home.authority.read_bytes()
    except OSError:
        raise InputError(f"certificate {home.authority} is missing; leave and join again") from None


def trust_only(authority: bytes) -> ssl.SSLContext:
    """Trust servers that this authority (PEM) signed, and no other; raise `InputError` if it is damaged."""
    try:
        return leaves_only(ssl.create_default_context(cadata=authority.decode("ascii")))
    except (ssl.SSLError, ValueError):
        raise InputError("the federation's certificate, ca.crt, is damaged; leave and join again") from None


def fetch_authority(invitation: Invitation) -> bytes:
    """The authority's certificate in PEM, if it is the one that the invitation pins; else `InputError`.

    It is fetched from a server that nobody can vouch for yet; the pinned hash is what makes it trusted.
    """
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    body = _get(f"{base_url(address_of(invitation))}/covey/ca.crt", context)
    try:
        certificate = x509.load_pem_x509_certificate(body)
    except ValueError:
        raise InputError(f"{address_of(invitation)} did not answer with a certificate: {_IMPOSTOR}") from None
    if hashlib.sha256(certificate.public_bytes(serialization.Encoding.DER)).hexdigest() != invitation.ca_sha256:
        raise InputError(f"the certificate of {address_of(invitation)} is not the invitation's: {_IMPOSTOR}")
    return certificate.public_bytes(serialization.Encoding.PEM)


def fetch_root(invitation: Invitation, trust: ssl.SSLContext) -> bytes:
    """The first TUF root, if it is the one that the invitation pins; else `InputError`."""
    body = _get(f"{base_url(address_of(invitation))}/tuf/metadata/1.root.json", trust)
    if hashlib.sha256(body).hexdigest() != invitation.root_sha256:
        raise InputError(f"the signing root of {address_of(invitation)} is not the invitation's: {_IMPOSTOR}")
    return body


def enrol(address: str, request: EnrolRequest, *, key: ec.EllipticCurvePrivateKey, trust: ssl.SSLContext) -> None:
    """Ask to be let in, or raise `InputError` with the coordinator's reason."""
    _post(address, "/covey/enrol", wire.to_json(request), key=key, trust=trust)


def report_installed(
    address: str, report: InstalledReport, *, key: ec.EllipticCurvePrivateKey, trust: ssl.SSLContext
) -> None:
    """Say which release serves here; nothing computed from examples is in it (privacy rule 14)."""
    _post(address, "/covey/installed", wire.to_json(report), key=key, trust=trust)


_IMPOSTOR = "somebody may be in between; nothing was kept, ask the operator for a new invitation"


def _get(url: str, trust: ssl.SSLContext) -> bytes:
    body = bytearray()
    try:
        with (
            httpx.Client(verify=trust, timeout=TIMEOUT_SECONDS, trust_env=False) as client,
            client.stream("GET", url) as response,
        ):
            if not response.is_success:
                raise Unreachable(f"{url} answered with status {response.status_code}; ask the operator about it")
            for part in response.iter_raw():
                body += part
                if len(body) > MAX_BYTES:
                    raise Unreachable(f"{url} sent more than {MAX_BYTES} bytes; that is not a coordinator")
    except httpx.HTTPError as error:
        raise Unreachable(f"{url} cannot be reached ({error}); is `covey serve` running there?") from None
    return bytes(body)


def _post(address: str, path: str, body: bytes, *, key: ec.EllipticCurvePrivateKey, trust: ssl.SSLContext) -> None:
    headers = sign(key, method="POST", path=path, body=body, now=time.time())
    try:
        with httpx.Client(verify=trust, timeout=TIMEOUT_SECONDS, trust_env=False) as client:
            response = client.post(base_url(address) + path, content=body, headers=headers)
    except httpx.HTTPError as error:
        raise Unreachable(f"{address} cannot be reached ({error}); is `covey serve` running there?") from None
    if not response.is_success:
        raise InputError(f"{address} declined: {_detail(response.content) or f'status {response.status_code}'}")


def _detail(body: bytes) -> str:
    """The coordinator's sentence, as far as it is one that a terminal can show."""
    try:
        document: Any = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    detail = cast(dict[str, Any], document).get("detail") if isinstance(document, dict) else None
    return detail[:300] if isinstance(detail, str) and detail.isprintable() else ""
