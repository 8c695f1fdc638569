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
from contextlib import closing, contextmanager
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from client import audit, coordinator, erasure
from client.config import AgentHome, TaskHome
from client.explanation import explain
from client.policy import fingerprint
from client.policyfile import add_task, render
from client.settings import AgentSettings, TaskGrant
from client.store import AgentStore
from shared import wire
from shared.enrolment import EnrolRequest
from shared.errors import ConsentWithheld, InputError
from shared.files import write_secret, write_whole
from shared.invitations import Invitation, parse_invitation
from shared.privacy import PrivacyBudget, SampledGaussian
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
    erasure.finish(home)
    invitation = _usable(parse_invitation(line))
    _check_home(home)
    data = _existing(data)
    with _staging(home) as staged:
        trust, signed = _verified_task(staged, invitation, task)
        _check_columns(data, signed)
        budget = _budget(epsilon, signed.privacy.delta if delta is None else delta)
        words = explain(signed, budget=budget, data=str(data), history=_spent(home))
        if not agree(words):
            raise ConsentWithheld("you did not agree, so nothing was joined and nothing was kept")
        settings = AgentSettings(
            name=name or default_name(), coordinator=coordinator.address_of(invitation),
            federation=invitation.federation, budget=budget, tasks={signed.name: TaskGrant(data=str(data))},
        )  # fmt: skip
        key = new_key(staged)
        request = _request(settings, key, invitation)
        coordinator.enrol(settings.coordinator, request, key=key, trust=trust)
        _install(staged, home)
        _consent(home, signed, words)
        purpose = f"asked to join {settings.federation} as {settings.name}"
        audit.note(home, "enrolment", task=signed.name, purpose=purpose, content=wire.to_json(request))
        # Written last: it is what makes a directory an agent.
        write_whole(home.settings_file, render(settings).encode())
    return settings


def take(
    home: AgentHome, name: str, *, data: Path | None, epsilon: float | None = None, agree: Callable[[str], bool]
) -> Task:
    """Take part in one more task of the federation that this device has joined; `agree` as in `join`.

    Raises what `join` raises; without `data` the device learns that task from outcomes alone.
    """
    from client.updates import fetch_signed

    settings = home.settings()
    if name in settings.tasks:
        raise InputError(f"this device has the task {name!r} already; edit its table in {home.settings_file}")
    grant = TaskGrant(data=str(_existing(data)) if data else "", epsilon=_share(epsilon))
    signed = fetch_signed(home, name)
    if data:
        _check_columns(Path(grant.data), signed)
    words = explain(signed, budget=settings.budget, data=grant.data or "its predictions", history=_spent(home))
    if not agree(words):
        raise ConsentWithheld("you did not agree, so this device does not learn it")
    _consent(home, signed, words)
    add_task(home, name, grant)
    return signed


def leave(home: AgentHome) -> None:
    """Forget the federation and all that was held for it; the owner's rows and the ledger's spent total stay.

    Raise `InputError`, naming its process, while the agent runs.
    """
    erasure.finish(home)
    home.settings()
    erasure.erase(home, with_data=False)


def renew_task(place: TaskHome) -> None:
    """Fetch the task as it is signed now; raise `Unreachable` if the coordinator does not answer."""
    from client.updates import fetch_signed

    fetch_signed(place.home, place.name)


def agree(place: TaskHome, *, ask: Callable[[str], bool]) -> None:
    """Explain the task as it is signed now and record the owner's consent to its revision; `ask` says yes or no."""
    settings, signed = place.home.settings(), place.signed_task()
    data = settings.tasks[place.name].data or "its predictions"
    words = explain(signed, budget=settings.budget, data=data, history=_spent(place.home))
    if not ask(words):
        raise ConsentWithheld(f"you did not agree; this device takes no part in revision {signed.revision}")
    _consent(place.home, signed, words)


def _spent(home: AgentHome) -> list[SampledGaussian]:
    """What a ledger in this directory has spent, one that an agent left behind too."""
    if not home.database.exists():
        return []
    with closing(AgentStore(home.database)) as store:
        return store.events()


def _consent(home: AgentHome, task: Task, words: str) -> None:
    with closing(AgentStore(home.database)) as store:
        store.agree(task.name, fingerprint(task), words=words)


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


def _share(epsilon: float | None) -> float | None:
    if epsilon is not None and not epsilon > 0:
        raise InputError(f"this share cannot be granted: epsilon must be positive, got {epsilon}")
    return epsilon


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


def new_key(staged: AgentHome) -> ec.EllipticCurvePrivateKey:
    """Make a device's key, on P-256, readable by its owner only."""
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


def _install(staged: AgentHome, home: AgentHome) -> None:
    """Move keys and trust to their place."""
    for source, target in ((staged.key, home.key), (staged.authority, home.authority)):
        shutil.rmtree(target.parent, ignore_errors=True)
        source.parent.rename(target.parent)
    home.staging.mkdir(mode=0o700, exist_ok=True)
