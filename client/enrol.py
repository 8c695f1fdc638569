"""Joining a federation and leaving it: all of it or nothing.

Trust starts from the invitation alone: it pins the certificate authority and the first signing root, and
everything else is verified by these two.
"""

import platform
import re
import shutil
import ssl
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from client import coordinator
from client.config import AgentHome, AgentSettings
from client.explanation import explain
from client.ledger import Ledger
from client.policy import fingerprint
from client.settings import render
from client.store import AgentStore
from shared import wire
from shared.enrolment import EnrolRequest
from shared.errors import ConsentWithheld, InputError
from shared.files import sync, write_secret, write_whole
from shared.invitations import Invitation, parse_invitation
from shared.lock import holder
from shared.privacy import PrivacyBudget
from shared.signing import key_fingerprint, public_key_bytes
from shared.tasks import Task, Window

_NOT_PLAIN = re.compile(r"[^A-Za-z0-9._-]+")


def join(
    home: AgentHome, line: str, *, data: Path, epsilon: float, delta: float | None = None, name: str | None = None,
    task: str | None = None, agree: Callable[[str], bool],
) -> AgentSettings:  # fmt: skip
    """Follow an invitation; `agree` gets the explanation and says yes or no.

    Raises `InputError` for an invitation, a file or a number that cannot be used, `ConsentWithheld` for a no,
    `Unreachable` and `ReleaseError` when the coordinator does not answer or not with what was signed.
    """
    invitation = _usable(parse_invitation(line))
    _check_home(home)
    data = _existing(data)
    with _staging(home) as staged:
        trust, signed = _verified_task(staged, invitation, task)
        _check_columns(data, signed)
        budget = _budget(epsilon, signed.privacy.delta if delta is None else delta)
        if not agree(explain(signed, budget=budget, data=str(data))):
            raise ConsentWithheld("you did not agree, so nothing was joined and nothing was kept")
        settings = AgentSettings(
            name=name or default_name(), coordinator=coordinator.address_of(invitation),
            federation=invitation.federation, task=signed.name, data=str(data), budget=budget,
        )  # fmt: skip
        key = _make_key(staged)
        coordinator.enrol(settings.coordinator, _request(settings, key, invitation), key=key, trust=trust)
        _install(staged, home, settings, signed)
    return settings


def leave(home: AgentHome) -> None:
    """Forget the federation: keys, trust, releases and settings. The ledger's spent total stays."""
    settings = home.settings()
    if running := holder(home.lock):
        raise InputError(f"the agent in {home.path} is running (process {running}); stop it first")
    home.settings_file.unlink()
    _forget(home, settings.task)
    for folder in (home.key.parent, home.authority.parent, home.releases, home.staging):
        shutil.rmtree(folder, ignore_errors=True)
    for file in (home.lock, home.update_lock, home.link_file, *home.path.glob(f"{home.log.name}*")):
        file.unlink(missing_ok=True)
    sync(home.path)


def agree(home: AgentHome, *, ask: Callable[[str], bool]) -> None:
    """Explain the task as it is signed now and record the owner's consent to its revision; `ask` says yes or no."""
    settings = home.settings()
    signed = wire.from_json(Task, home.task_file.read_bytes(), what="signed task")
    if not ask(explain(signed, budget=settings.budget, data=settings.data)):
        raise ConsentWithheld(f"you did not agree; this device takes no part in revision {signed.revision}")
    store = AgentStore(home.database)
    store.agree(signed.name, fingerprint(signed))
    store.close()


def load_key(home: AgentHome) -> ec.EllipticCurvePrivateKey:
    """The device's key, or `InputError`."""
    try:
        key = serialization.load_pem_private_key(home.key.read_bytes(), password=None)
    except (OSError, ValueError):
        raise InputError(f"device key {home.key} is missing or damaged; leave and join again") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise InputError(f"device key {home.key} is not an elliptic-curve key; leave and join again")
    return key


def key_of(home: AgentHome) -> str:
    """The digits by which two people tell that they speak of the same device."""
    return key_fingerprint(public_key_bytes(load_key(home).public_key()))


def default_name() -> str:
    """This machine's name, in the letters that a device's name may have."""
    return _NOT_PLAIN.sub("-", platform.node()).strip("-._")[:64] or "device"


def _usable(invitation: Invitation) -> Invitation:
    if invitation.expires_at <= time.time():
        when = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(invitation.expires_at))
        raise InputError(f"this invitation expired at {when}; ask the operator for a new one")
    return invitation


def _check_home(home: AgentHome) -> None:
    if home.settings_file.exists():
        raise InputError(f"{home.path} holds an agent already; `covey-agent leave` it first, or choose another --home")
    if home.path.exists() and not home.path.is_dir():
        raise InputError(f"{home.path} is not a directory; choose another --home")


def _existing(data: Path) -> Path:
    if not data.is_file():
        raise InputError(f"data file {data} does not exist; name a .parquet or .csv file with --data")
    return data.resolve()


def _budget(epsilon: float, delta: float) -> PrivacyBudget:
    try:
        return PrivacyBudget(epsilon=epsilon, delta=delta)
    except ValueError as error:
        raise InputError(f"this budget cannot be granted: {error}") from None


@contextmanager
def _staging(home: AgentHome) -> Generator[AgentHome]:
    """A place beside the agent's own files, gone when the block ends; so is a home that was made for it."""
    made = not home.path.exists()
    staged = AgentHome(home.path / ".joining")
    shutil.rmtree(staged.path, ignore_errors=True)
    for folder in (staged.key.parent, staged.authority.parent, staged.metadata, staged.staging):
        folder.mkdir(mode=0o700, parents=True)
    home.path.chmod(0o700)
    try:
        yield staged
    finally:
        shutil.rmtree(staged.path, ignore_errors=True)
        if made and not any(home.path.iterdir()):
            home.path.rmdir()


def _verified_task(staged: AgentHome, invitation: Invitation, name: str | None) -> tuple[ssl.SSLContext, Task]:
    """Whom to trust, and the task that they signed."""
    from client.updates import fetch_task

    authority = coordinator.fetch_authority(invitation)
    trust = coordinator.trust_only(authority)
    root = coordinator.fetch_root(invitation, trust)
    write_whole(staged.authority, authority)
    url = coordinator.base_url(coordinator.address_of(invitation))
    return trust, fetch_task(staged, base_url=url, root=root, ca=authority, name=name)


def _check_columns(data: Path, task: Task) -> None:
    """Read the file once, so that a missing column is found now and not in the first round."""
    from client.dataset import read_columns

    read_columns(data, task, Window())


def _make_key(staged: AgentHome) -> ec.EllipticCurvePrivateKey:
    """A new P-256 key, readable by its owner only."""
    key = ec.generate_private_key(ec.SECP256R1())
    pkcs8, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    write_secret(staged.key, key.private_bytes(serialization.Encoding.PEM, pkcs8, plain))
    return key


def _request(settings: AgentSettings, key: ec.EllipticCurvePrivateKey, invitation: Invitation) -> EnrolRequest:
    try:
        public = public_key_bytes(key.public_key()).decode()
        return EnrolRequest(name=settings.name, public_key=public, token=invitation.token)
    except ValueError as error:
        raise InputError(f"this device cannot be called so: {error}; choose another --name") from None


def _install(staged: AgentHome, home: AgentHome, settings: AgentSettings, task: Task) -> None:
    """Move everything to its place; `agent.toml`, written last, is what makes a directory an agent."""
    for source, target in ((staged.key, home.key), (staged.authority, home.authority)):
        shutil.rmtree(target.parent, ignore_errors=True)
        source.parent.rename(target.parent)
    home.staging.mkdir(mode=0o700, exist_ok=True)
    store = AgentStore(home.database)
    store.agree(task.name, fingerprint(task))
    store.close()
    write_whole(home.settings_file, render(settings).encode())


def _forget(home: AgentHome, task: str) -> None:
    """Withdraw the consent and drop unsent replies; what was charged stays charged."""
    store = AgentStore(home.database)
    store.withdraw(task)
    ledger = Ledger(store)
    for request, _ in ledger.unsent():
        ledger.mark_void(request)
    store.close()
