"""How a device is let in and put out: invite, enrol, approve, revoke."""

import hashlib
import math
import secrets
import time

from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from server.config import Federation
from server.pki import fingerprint
from server.records import Device
from server.store import Store
from shared import wire
from shared.enrolment import EnrolRequest, InstalledReport
from shared.errors import InputError, WireError
from shared.files import write_whole
from shared.invitations import Invitation
from shared.signing import key_fingerprint, load_public_key, public_key_bytes

_ROSTER = b"covey roster v1"


def invite(federation: Federation, store: Store, *, hours: float, owner: str = "", command: str = "") -> Invitation:
    """Make an invitation that lets one device, of `owner`, ask to join within `hours`; its token's hash is kept."""
    if not math.isfinite(hours):
        raise InputError(f"an invitation is good for a number of hours, got {hours}")
    settings, token = federation.settings(), secrets.token_urlsafe(32)
    invitation = Invitation(
        federation=settings.name, host=settings.host, port=settings.port,
        ca_sha256=fingerprint(federation.tls / "ca.crt"), root_sha256=_root_sha256(federation),
        expires_at=int(time.time() + hours * 3600), token=token,
    )  # fmt: skip
    store.add_invitation(token_sha256(token), invitation.expires_at, owner=owner)
    whose = f" of {owner}" if owner else ""
    store.audit("operator", "invite", f"one device{whose}, for {hours:g} hours", command=command)
    return invitation


def enrol(store: Store, body: bytes, *, signed_by: bytes) -> EnrolRequest:
    """Spend an invitation on a device that now waits for approval.

    Raise `WireError` for a body of the wrong shape, `InputError` for an invitation or a name that cannot be used.
    """
    request = wire.from_json(EnrolRequest, body, what="enrolment")
    key = public_key_bytes(load_public_key(request.public_key.encode()))
    if key != signed_by:
        raise WireError("enrolment is not signed by the key that it names")
    store.enrol(token_sha256(request.token), request.name, key)
    store.audit("coordinator", "enrol", request.name)
    return request


def approve(federation: Federation, store: Store, name: str, *, command: str = "") -> None:
    """Let a pending device in, signed by the roster's key; the service then makes it a node."""
    device = store.device(name)
    if device.state == "revoked":
        raise InputError(f"device {name!r} was revoked, which is for good; let it join again under another name")
    if device.state == "approved":
        raise InputError(f"device {name!r} is approved already")
    signature = _roster_key(federation).sign(roster_statement(device))
    store.set_device_state(name, "approved", roster_signature=signature)
    store.audit("operator", "approve", f"{name} {key_fingerprint(device.public_key)}", command=command)


def revoke(store: Store, name: str, *, command: str = "") -> None:
    """Put a device out: its next request is refused, and its key never comes back."""
    device = store.device(name)
    if device.state == "revoked":
        raise InputError(f"device {name!r} is revoked already")
    store.set_device_state(name, "revoked")
    store.audit("operator", "revoke", f"{name} {key_fingerprint(device.public_key)}", command=command)


def record_installed(store: Store, device: Device, body: bytes) -> None:
    """Keep which release a device says that it runs, how releases fare there, and what it can afford, as its owner lets it.

    What it says of a release that was never signed for that task is dropped.
    """
    report = wire.from_json(InstalledReport, body, what="installed report")
    if (report.release, report.detail, report.affords) != (device.release, device.detail, device.affords):
        store.set_installed(device.name, report.release, report.detail, affords=report.affords)
    if report.health:
        signed = {(release.task, release.number) for release in store.releases()}
        known = [each for each in report.health if (each.task, each.release) in signed]
        store.put_health(device.name, known, at=time.time())


def roster_statement(device: Device) -> bytes:
    """What the roster's key signs: this name goes with this key."""
    return b"\n".join((_ROSTER, device.name.encode(), device.public_key))


def token_sha256(token: str) -> str:
    """What the store knows of an invitation's token."""
    return hashlib.sha256(token.encode()).hexdigest()


def _root_sha256(federation: Federation) -> str:
    root = federation.repository / "metadata" / "1.root.json"
    try:
        return hashlib.sha256(root.read_bytes()).hexdigest()
    except OSError:
        raise InputError(f"{root} is missing, so nobody can join; restore it from a backup") from None


def make_roster_key(federation: Federation) -> ed25519.Ed25519PrivateKey:
    """A new key in the roster key's place."""
    key = ed25519.Ed25519PrivateKey.generate()
    pem, pkcs8, plain = Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    write_whole(federation.keys / "roster.key", key.private_bytes(pem, pkcs8, plain), mode=0o600)
    return key


def _roster_key(federation: Federation) -> ed25519.Ed25519PrivateKey:
    path = federation.keys / "roster.key"
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError):
        raise InputError(f"roster key {path} is missing or damaged; restore it from a backup") from None
    if not isinstance(key, ed25519.Ed25519PrivateKey):
        raise InputError(f"roster key {path} is not an Ed25519 key; restore it from a backup")
    return key
