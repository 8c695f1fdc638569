"""Founding a federation: its directory, keys, certificates, TUF repository and store; all of it or nothing."""

import json
import os
import secrets
import shutil
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from server.config import Federation, Settings
from server.pki import create_authority, create_server_certificate
from server.store import Store
from shared.errors import InputError
from shared.files import write_secret

_PRIVATE = 0o700


def found(home: Path, settings: Settings, *, command: str = "") -> Federation:
    """Make a federation at `home`; raise `InputError` if something is there already.

    It is built beside its place and moved there last, so a failure leaves nothing half made.
    """
    _refuse_existing(home)
    home.parent.mkdir(parents=True, exist_ok=True)
    staging = home.parent / f".{home.name}.founding-{os.getpid()}"
    try:
        _build(Federation(staging), settings, command)
        staging.rename(home)
    except OSError as error:
        raise InputError(f"federation cannot be made at {home}: {error.strerror}") from None
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return Federation(home)


def _refuse_existing(home: Path) -> None:
    if Federation(home).settings_file.exists():
        raise InputError(f"{home} holds a federation already; choose another directory")
    if home.exists() and (not home.is_dir() or any(home.iterdir())):
        raise InputError(f"{home} is not an empty directory; choose another one")


def _build(federation: Federation, settings: Settings, command: str) -> None:
    for directory in (federation.home, federation.tls, federation.keys, federation.logs):
        directory.mkdir(mode=_PRIVATE)
    federation.settings_file.write_text(_toml(settings), encoding="utf-8")
    create_authority(federation.tls, name=settings.name)
    create_server_certificate(federation.tls, hosts=[settings.host])
    _create_secrets(federation)
    _create_repository(federation)
    _create_store(federation, settings, command)


def _create_secrets(federation: Federation) -> None:
    """The roster key signs whom the operator lets in; the two secrets open Flower's loopback interfaces."""
    roster = ed25519.Ed25519PrivateKey.generate()
    pem, pkcs8, plain = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    write_secret(federation.keys / "roster.key", roster.private_bytes(pem, pkcs8, plain))
    write_secret(federation.control_token, secrets.token_urlsafe(32).encode())
    write_secret(federation.superexec_secret, secrets.token_bytes(32))


def _create_repository(federation: Federation) -> None:
    from server.releases import create_repository

    create_repository(federation)


def _create_store(federation: Federation, settings: Settings, command: str) -> None:
    store = Store(federation.database)
    store.audit("operator", "init", f"federation {settings.name}", command=command)
    store.close()
    federation.database.chmod(0o600)


def _toml(settings: Settings) -> str:
    """`federation.toml`; a JSON string is a TOML basic string."""
    return (
        "# Where this federation's coordinator listens; restart `covey serve` after a change.\n"
        f"name = {json.dumps(settings.name)}\n"
        f"host = {json.dumps(settings.host)}\n"
        f"port = {settings.port}\n"
        f"admin_port = {settings.admin_port}\n"
    )
