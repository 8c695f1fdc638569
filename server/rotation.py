"""Changing keys while devices follow: the server's certificate, each role of the signed repository, the roster's key.

A role is changed in five steps, each of which leaves devices something that they trust, so that a crash between two of
them costs nothing: the next key is made; the role is signed by both; a new root, signed as the last one demands, names the
next key alone; that key takes the old one's place, which is gone; the role is signed by it alone. Asked again after a
crash, the same command goes on where it stopped. A device that looks for the first time in months walks from root to root.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from server.config import Federation
from server.enroll import make_roster_key, roster_statement
from server.pki import create_server_certificate
from server.repository import Repository
from server.role_keys import NEXT, ROLE_KEYS, ROLLOUT_KEY, ROOT_KEYS, make_keys, put_next_in_place
from server.rollout_role import only
from server.rollout_word import known_documents
from server.store import Store
from shared.errors import InputError

What = Literal["tls", "targets", "snapshot", "timestamp", "rollout", "root", "roster"]
WHAT: tuple[What, ...] = ("tls", "targets", "snapshot", "timestamp", "rollout", "root", "roster")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotated:
    """What was changed, and what there is to know about it."""

    what: What
    says: str


def known(name: str) -> What:
    """The key called so; raise `InputError` that names those there are."""
    for what in WHAT:
        if what == name:
            return what
    raise InputError(f"there is no key to rotate called {name!r}; there are {', '.join(WHAT)}")


def rotate(federation: Federation, store: Store, what: What) -> Rotated:
    """Change a key; raise `InputError` where one that must sign for the change is not here."""
    if what == "tls":
        return rotate_certificate(federation)
    if what == "roster":
        return rotate_roster(federation, store)
    with (repository := Repository(federation)).locked():
        if what == "rollout":
            return _rotate_rollout(repository, store)
        if what == "root":
            return _rotate_root(repository)
        return _rotate_role(repository, what)


def rotate_certificate(federation: Federation) -> Rotated:
    """A new key and certificate for the server, by the same authority: devices notice nothing."""
    create_server_certificate(federation.tls, hosts=[federation.settings().host])
    return Rotated(
        what="tls", says="The server has a new key and certificate; a running coordinator takes them up by itself"
    )


def rotate_roster(federation: Federation, store: Store) -> Rotated:
    """A new key that vouches for whom the operator let in, and every approval signed by it.

    No device pins it: what devices hold secure aggregation against is the roster that the targets role signed.
    """
    key = make_roster_key(federation)
    approved = [device for device in store.devices() if device.state == "approved"]
    for device in approved:
        store.set_device_state(device.name, "approved", roster_signature=key.sign(roster_statement(device)))
    return Rotated(what="roster", says=f"{len(approved)} approvals are signed by a new key")


def _rotate_role(repository: Repository, role: What) -> Rotated:
    repository.root_signers()
    _require(repository, but=role)
    make_keys(repository.federation.keys, _next(role))
    repository.commit(repository.targets(), new_snapshot_key=role == "snapshot")
    _name_in_root(repository, role, [role])
    put_next_in_place(repository.federation.keys, role)
    repository.commit(repository.targets())
    return Rotated(what=role, says=f"Root {repository.root().version} names a new key for {role}")


def _rotate_root(repository: Repository) -> Rotated:
    """All root keys at once: a lost or stolen one is replaced with the others, and two of the old ones suffice."""
    repository.root_signers()
    keys = repository.federation.keys
    if not any(_is_named(repository, "root", _next(name)) for name in ROOT_KEYS):
        make_keys(keys, *map(_next, ROOT_KEYS))
        _name_in_root(repository, "root", ROOT_KEYS)
    for name in ROOT_KEYS:
        if repository.holds(_next(name)):
            put_next_in_place(keys, name)
    said = f"Root {repository.root().version} is signed by the old keys and by the new ones, which are in {keys}"
    return Rotated(what="root", says=f"{said}: keep root1, root2 and root3 off this machine too, and destroy the old")


def _rotate_rollout(repository: Repository, store: Store) -> Rotated:
    """The targets name this key themselves, so one commit changes it: no root is needed.

    The new key signs what the store knows and nothing that it finds: whoever stole the old one may have signed that.
    """
    keys, documents = repository.federation.keys, known_documents(store)
    _require(repository)
    make_keys(keys, _next(ROLLOUT_KEY))
    repository.commit(repository.targets(), rollout=only(repository, documents))
    put_next_in_place(keys, ROLLOUT_KEY)
    repository.commit_rollout(only(repository, documents))
    return Rotated(what="rollout", says="The targets name a new key for rollouts")


def _require(repository: Repository, *, but: str = "") -> None:
    """Raise `InputError` where a key that signs a commit is not here, before any is made; the one that goes may be lost."""
    for name in ROLE_KEYS:
        if name != but:
            repository.public_key(name)


def _name_in_root(repository: Repository, role: str, names: Sequence[str]) -> None:
    """Publish a root in which the next keys of these names stand for the role, and the ones before do not."""
    if all(_is_named(repository, role, _next(name)) for name in names):
        return
    root = repository.root()
    for old in list(root.roles[role].keyids):
        root.revoke_key(old, role)
    for name in names:
        root.add_key(repository.public_key(_next(name)), role)
    repository.renew_root(root)


def _is_named(repository: Repository, role: str, name: str) -> bool:
    return repository.holds(name) and repository.public_key(name).keyid in repository.root().roles[role].keyids


def _next(name: str) -> str:
    return f"{name}{NEXT}"
