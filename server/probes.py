"""What `covey doctor` looks at: the clock, certificates, disk, ports, packages, the store, runs and keys. Nothing is changed."""

import os
import platform
import re
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

import psutil

from server.config import Federation
from server.examined import Ending, Examined, Listening
from server.history import SignedRole
from server.leftovers import leftovers
from server.pki import validity
from server.role_keys import ROLE_KEYS, ROLLOUT_KEY
from server.schema import MIGRATIONS
from server.signatures import signed_roles
from server.storeprobes import Recorded, nothing_recorded, recorded, unreadable
from server.upgrades import copies, schema_of
from shared.errors import CoveyError, InputError
from shared.lock import holder

Say = Callable[[str], None]

_PIN = re.compile(r"([A-Za-z0-9._-]+)(?:\[[^]]*\])?==([A-Za-z0-9.+!]+)(?:\s*;\s*(.*))?")
_SERVES = frozenset(["", 'extra == "full"'])
"""Of a coordinator: what every installation has, and what `full` adds."""

_TIMESTAMP_DAY = 86_400.0


def look(federation: Federation, *, say: Say, now: float | None = None) -> Examined:
    """Look at everything; raise `InputError` where there is no federation. `now` is Unix time."""
    federation.settings()
    say("certificates and signatures")
    roles, unsigned = _roles(federation)
    say("the store")
    kept, coordinator = _recorded(federation, say), holder(federation.lock)
    timestamp = next((datetime.fromisoformat(role.expires) for role in roles if role.role == "timestamp"), None)
    return Examined(
        now=time.time() if now is None else now,
        newest_record=kept.newest,
        signed_at=timestamp.timestamp() - _TIMESTAMP_DAY if timestamp else None,
        endings=(*_certificates(federation), *_signed(roles)),
        unsigned=unsigned,
        free_bytes=shutil.disk_usage(federation.home).free,
        log_bytes=_bytes(federation.database.with_name(f"{federation.database.name}-wal")),
        ports=tuple(_ports(federation, coordinator)),
        coordinator=coordinator,
        lock_names=_named(federation.lock) if coordinator is None else 0,
        python=platform.python_version(),
        wanted_python="3.11",
        packages=packages(),
        schema=schema_of(federation.database),
        newest_schema=len(MIGRATIONS),
        copies=tuple(copy.name for copy in copies(federation.database)),
        read=kept.read,
        unreadable=unreadable(federation.database),
        unsound=kept.unsound,
        damaged=kept.damaged,
        underway=kept.underway if coordinator is not None else (),
        lost=_lost(federation),
        leftovers=tuple(map(str, _left(federation, kept))),
        restored_unlifted=kept.restored_unlifted,
        closed=tuple(f"{folder.name}/" for folder in (federation.keys, federation.tls) if _is_closed(folder)),
        exposed=tuple(_exposed(federation)),
        missing_keys=tuple(_missing(federation)),
        ahead=kept.ahead,
        newest_release=kept.newest_release,
        backed_up_at=kept.backed_up_at,
    )


def packages() -> dict[str, tuple[str, str]]:
    """Each package that Covey pins for a coordinator: the version that is installed (empty for none), and the pin."""
    found: dict[str, tuple[str, str]] = {}
    with suppress(metadata.PackageNotFoundError):
        for line in metadata.requires("covey") or ():
            pin = _PIN.fullmatch(line.strip())
            if pin and (pin[3] or "").replace("'", '"') in _SERVES:
                found[pin[1]] = (_installed(pin[1]), pin[2])
    return found


def _installed(name: str) -> str:
    """A build's own suffix (`+cpu`) does not make it another version."""
    try:
        return metadata.version(name).partition("+")[0]
    except metadata.PackageNotFoundError:
        return ""


def _roles(federation: Federation) -> tuple[tuple[SignedRole, ...], str]:
    """The roles in force, and what is wrong with them."""
    try:
        roles = signed_roles(federation)
    except CoveyError as error:
        return (), str(error)
    loose = [role.role for role in roles if not role.keys]
    return (
        roles,
        f"{', '.join(loose)} signed by no key that counts" if loose else "" if roles else "nothing is signed yet",
    )


def _certificates(federation: Federation) -> Iterator[Ending]:
    for kind, file, do in (
        ("authority", "ca.crt", "found a federation anew in time: devices pin this certificate (docs/operations.md)"),
        ("server", "server.crt", "`covey rotate tls`, or restart `covey serve`, which renews it"),
    ):
        with suppress(InputError):  # `_lost` tells of it
            begins, ends = validity(federation.tls / file)
            yield Ending(name=f"certificate {file}", kind=kind, begins=begins, ends=ends, do=do)


def _lost(federation: Federation) -> dict[str, str]:
    """Certificates that cannot be read, and why."""
    found: dict[str, str] = {}
    for file in ("ca.crt", "server.crt"):
        try:
            validity(federation.tls / file)
        except InputError as error:
            found[f"certificate {file}"] = str(error).partition(";")[0]
    return found


def _left(federation: Federation, kept: Recorded) -> Iterator[Path]:
    """What killed backups left where the store and its backups lie."""
    for folder in dict.fromkeys((federation.home, *kept.saved_in)):
        yield from leftovers(folder)


def _is_closed(folder: Path) -> bool:
    return folder.is_dir() and not os.access(folder, os.R_OK | os.X_OK)


def _signed(roles: tuple[SignedRole, ...]) -> Iterator[Ending]:
    for role in roles:
        if role.expires:
            by_hand = role.role in ("root", "targets")
            do = "`covey renew`" if by_hand else "start `covey serve`, which signs it anew, or `covey renew`"
            ends = datetime.fromisoformat(role.expires).astimezone(UTC)
            yield Ending(name=f"role {role.role}", kind=role.role, begins=None, ends=ends, do=do)


def _recorded(federation: Federation, say: Say) -> Recorded:
    """What the store says; one that cannot be read says that it is not sound."""
    if unreadable(federation.database) or schema_of(federation.database) != len(MIGRATIONS):
        return nothing_recorded("")
    try:
        return recorded(federation, say=say)
    except (sqlite3.Error, CoveyError) as error:
        return nothing_recorded(str(error))


def _ports(federation: Federation, coordinator: int | None) -> Iterator[Listening]:
    settings = federation.settings()
    holders: dict[int, int] = {
        connection.laddr[1]: connection.pid or -1  # whose it is only root may see
        for connection in psutil.net_connections(kind="tcp")
        if connection.status == psutil.CONN_LISTEN and connection.laddr
    }
    for port in (settings.port, settings.admin_port):
        process = holders.get(port, 0)
        name = _name(process)
        yield Listening(port=port, process=process, ours=process != 0 and process == coordinator, name=name)


def _name(process: int) -> str:
    try:
        return psutil.Process(process).name() if process > 0 else ""
    except psutil.Error:
        return ""


def _named(lock: Path) -> int:
    try:
        text = lock.read_text().strip()
    except OSError:
        return 0
    return int(text) if text.isascii() and text.isdigit() and len(text) < 12 else 0


def _exposed(federation: Federation) -> Iterator[str]:
    """Secrets that anybody but their owner may read."""
    folders = ((federation.keys, "*"), (federation.tls, "*.key"))
    for file in sorted(file for folder, names in folders if not _is_closed(folder) for file in folder.glob(names)):
        if file.stat().st_mode & 0o077:
            yield file.relative_to(federation.home).as_posix()


def _missing(federation: Federation) -> Iterator[str]:
    """Keys that a coordinator signs with every day."""
    needed = [
        *(federation.keys / f"{name}.key" for name in (*ROLE_KEYS[1:], ROLLOUT_KEY)),
        federation.tls / "server.key",
    ]
    for file in needed:
        if not _is_closed(file.parent) and not file.exists():
            yield file.relative_to(federation.home).as_posix()


def _bytes(file: Path) -> int:
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return 0
