"""Keys change, and devices follow: an old client walks every root, no step in between locks anybody out, old keys count for nothing."""

import json
import shutil
import ssl
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from coordinator import Coordinator, covey, free_port, until
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from releasing import Works, build_works
from securesystemslib.signer import CryptoSigner, SSlibKey
from staged import roll, stage
from tuf.api.metadata import DelegatedRole, Delegations, Metadata, MetaFile, Root, Snapshot, Targets

from server import rotation
from server.config import Federation, Settings
from server.enroll import roster_statement
from server.founding import found
from server.releases import refresh_timestamp, renew
from server.repository import LIFETIME, Repository
from server.role_keys import ROOT_KEYS, make_keys
from server.rollout_role import publish_rollout, signed_rollout
from server.signatures import complaints
from server.store import Store
from shared.errors import InputError, ReleaseError
from shared.rollout import WHOLE, Rollout

ROLES: tuple[rotation.What, ...] = ("targets", "snapshot", "timestamp")
SIGNING: tuple[rotation.What, ...] = (*ROLES, "rollout", "root")


@pytest.fixture
def works(tmp_path: Path) -> Works:
    """A device that runs release 1."""
    works = build_works(tmp_path)
    works.publish(seed=1)
    assert works.check() == 1
    return works


def rotate(works: Works, what: rotation.What) -> None:
    rotation.rotate(works.federation, works.store, what)


def root_seen(works: Works) -> int:
    """The newest root that the device trusts, by its own files."""
    versions = [Metadata[Root].from_file(str(file)).signed.version for file in works.home.metadata.rglob("*root.json")]
    return max(versions)


@pytest.mark.parametrize("what", SIGNING)
def test_a_device_follows_a_new_key(works: Works, what: rotation.What) -> None:
    old = (works.federation.keys / f"{'root1' if what == 'root' else what}.key").read_bytes()
    rotate(works, what)
    assert (works.federation.keys / f"{'root1' if what == 'root' else what}.key").read_bytes() != old
    assert not list(works.federation.keys.glob("*.next.key"))
    works.publish(seed=2)
    assert works.check() == 2
    assert list(complaints(works.federation)) == []


def test_a_device_that_slept_walks_from_root_to_root(works: Works) -> None:
    for what in (*ROLES, "root", "root"):
        rotate(works, what)
    works.publish(seed=2)
    assert Repository(works.federation).root().version == 6
    assert works.check() == 2
    assert root_seen(works) == 6


@pytest.mark.parametrize("what", ROLES)
def test_what_an_old_key_signs_counts_for_nothing(works: Works, what: rotation.What) -> None:
    key = works.federation.keys / f"{what}.key"
    old = key.read_bytes()
    rotate(works, what)
    assert works.check() is None
    key.write_bytes(old)
    works.publish(seed=2)
    with pytest.raises(ReleaseError, match="signed by nobody whom this device trusts"):
        works.check()
    assert works.serving() == 1


def test_the_old_rollout_key_can_halt_nothing(works: Works) -> None:
    key = works.federation.keys / "rollout.key"
    old = key.read_bytes()
    rotate(works, "rollout")
    key.write_bytes(old)
    publish_rollout(works.federation, Rollout(number=1, task="machines", release=1, share_bp=0, state="halted"))
    with pytest.raises(ReleaseError, match="signed by nobody whom this device trusts"):
        works.check()


# -- what a thief of the online keys left behind


ONLINE: tuple[rotation.What, ...] = ("rollout", "snapshot", "timestamp")


def plant(works: Works, *, delegate: bool = True, **document: object) -> None:
    """A document, and a role of the thief's own that answers for every task to come, signed with all three online keys."""
    repository = Repository(works.federation)
    signed = repository.rollout()
    assert signed is not None
    given: dict[str, object] = {"number": 9, "task": "machines", "release": 2, "share_bp": WHOLE}
    body = json.dumps(given | document).encode()
    snapshot = repository._next_snapshot()
    if delegate:
        _delegate(repository, signed, snapshot, body)
    else:
        repository.add(signed, "rollout/machines.json", body, {"number": 9})
        repository.add(signed, "rollout/later.json", body, {"number": 9})
    repository._sign_rollout(signed, snapshot)
    repository._commit_snapshot(snapshot)


def _delegate(repository: Repository, signed: Targets, snapshot: Snapshot, body: bytes) -> None:
    key = Ed25519PrivateKey.generate()
    signer = CryptoSigner(key, SSlibKey.from_crypto(key.public_key()))
    role = DelegatedRole("evil", [signer.public_key.keyid], 1, False, paths=["rollout/*"])
    signed.delegations = Delegations({signer.public_key.keyid: signer.public_key}, {"evil": role})
    evil = Targets(version=1, expires=signed.expires)
    repository.add(evil, "rollout/machines.json", body, {"number": 9})
    metadata = Metadata(evil)
    metadata.sign(signer)
    data = metadata.to_bytes()
    (repository.metadata / "1.evil.json").write_bytes(data)
    snapshot.meta["evil.json"] = MetaFile.from_data(1, data, ["sha256"])


def said_by_the_role(works: Works) -> list[str]:
    signed = Repository(works.federation).rollout()
    assert signed is not None
    return [*sorted(signed.targets), *(signed.delegations.roles or {} if signed.delegations else {})]


@pytest.mark.parametrize("looked", [True, False], ids=["a device that saw it", "a device that did not"])
def test_new_online_keys_evict_a_role_of_the_thiefs_own(works: Works, looked: bool) -> None:
    plant(works)
    assert any("names roles of its own (evil)" in line for line in complaints(works.federation))
    assert any("lists evil.json" in line for line in complaints(works.federation))
    if looked:
        assert works.check() is None
    for what in ONLINE:
        rotate(works, what)
    assert said_by_the_role(works) == []
    assert sorted(Repository(works.federation).snapshot().meta) == ["rollout.json", "targets.json"]
    stage(works, 2, fallback=1)
    assert works.check() is None, "the operator signed no document for release 2"
    works.publish(seed=3)
    assert works.check() == 3


def test_a_new_rollout_key_alone_locks_nobody_out(works: Works) -> None:
    """A device that saw the thief's role takes no snapshot without it, until the snapshot has a new key as well."""
    plant(works)
    assert works.check() is None
    rotate(works, "rollout")
    stage(works, 2, fallback=1)
    assert works.check() is None
    works.publish(seed=3)
    assert works.check() == 3
    assert said_by_the_role(works) == []


def test_a_new_rollout_key_signs_what_the_store_knows_and_nothing_else(works: Works) -> None:
    release = stage(works, 2, fallback=1)
    own = roll(works, release, 0, state="paused")
    works.store.add_rollout(own, why="paused by the operator")
    plant(works, delegate=False)
    rotate(works, "rollout")
    assert said_by_the_role(works) == ["rollout/machines.json"]
    assert signed_rollout(works.federation, "machines") == own
    assert works.check() is None


def test_a_rotation_cut_short_has_signed_nothing_of_the_thiefs(works: Works, monkeypatch: pytest.MonkeyPatch) -> None:
    stage(works, 2, fallback=1)
    plant(works, delegate=False)
    with monkeypatch.context() as patch:
        patch.setattr(rotation, "put_next_in_place", _crash)
        with pytest.raises(Crash):
            rotate(works, "rollout")
    assert said_by_the_role(works) == []
    assert works.check() is None


def test_a_document_that_only_the_thief_knows_is_gone_with_the_key(works: Works) -> None:
    stage(works, 2, fallback=1)
    plant(works, delegate=False)
    rotate(works, "rollout")
    assert said_by_the_role(works) == []
    assert works.check() is None


@pytest.mark.parametrize("act", ["a renewal", "another key", "its standing duty"])
def test_whatever_signs_the_role_anew_leaves_the_thiefs_role_out(works: Works, act: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(LIFETIME, "rollout", timedelta(days=3) if act == "its standing duty" else LIFETIME["rollout"])
        plant(works)
    if act == "its standing duty":
        assert refresh_timestamp(works.federation)
    elif act == "another key":
        key = works.federation.keys / "rollout.key"
        key.unlink()
        make_keys(works.federation.keys, "rollout")
        works.publish(seed=2)
    else:
        renew(works.federation)
    assert said_by_the_role(works) == []


def test_old_root_keys_alone_sign_no_further_root(works: Works, tmp_path: Path) -> None:
    shutil.copytree(works.federation.keys, tmp_path / "stolen")
    rotate(works, "root")
    assert works.check() is None
    assert root_seen(works) == 2
    for name in ROOT_KEYS:
        shutil.copy(tmp_path / "stolen" / f"{name}.key", works.federation.keys)
    assert renew(works.federation) == ("root",)
    with pytest.raises(InputError, match="holds 0 of the keys root1, root2, root3, and 2 must sign"):
        rotate(works, "root")


def test_two_root_keys_replace_a_lost_one(works: Works) -> None:
    (works.federation.keys / "root2.key").unlink()
    rotate(works, "root")
    assert all((works.federation.keys / f"{name}.key").exists() for name in ROOT_KEYS)
    renew(works.federation)
    assert works.check() is None
    assert root_seen(works) == 3


def test_one_root_key_changes_nothing(works: Works) -> None:
    for name in ("root1", "root2"):
        (works.federation.keys / f"{name}.key").unlink()
    before = sorted(path.name for path in Repository(works.federation).metadata.iterdir())
    with pytest.raises(InputError, match="holds 1 of the keys"):
        rotate(works, "timestamp")
    assert sorted(path.name for path in Repository(works.federation).metadata.iterdir()) == before


class Crash(Exception):
    """The machine stopped here."""


STEPS: dict[str, tuple[object, str]] = {
    "before the root": (Repository, "renew_root"),
    "before the old key goes": (rotation, "put_next_in_place"),
}
NO_ROOT = ("rollout", "before the root")
"""The targets name this key: there is no root in its way."""


@pytest.mark.parametrize(
    ("what", "step"), [(what, step) for what in SIGNING for step in STEPS if (what, step) != NO_ROOT]
)
def test_a_crash_between_two_steps_locks_nobody_out(
    works: Works, monkeypatch: pytest.MonkeyPatch, what: rotation.What, step: str
) -> None:
    owner, name = STEPS[step]
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, _crash)
        with pytest.raises(Crash):
            rotate(works, what)
    works.publish(seed=2)
    assert works.check() == 2
    rotate(works, what)
    works.publish(seed=3)
    assert works.check() == 3
    assert not list(works.federation.keys.glob("*.next.key"))
    assert list(complaints(works.federation)) == []


def test_a_crash_amid_the_root_keys_is_mended_by_the_same_command(
    works: Works, monkeypatch: pytest.MonkeyPatch
) -> None:
    put: Callable[[Path, str], None] = rotation.put_next_in_place
    with monkeypatch.context() as patch:
        patch.setattr(
            rotation, "put_next_in_place", lambda keys, name: put(keys, name) if name == "root1" else _crash()
        )
        with pytest.raises(Crash):
            rotate(works, "root")
    rotate(works, "root")
    assert Repository(works.federation).root().version == 2
    renew(works.federation)
    assert works.check() is None
    assert root_seen(works) == 3


def _crash(*_: object) -> None:
    raise Crash


def test_the_coordinator_goes_on_signing_while_a_rotation_is_under_way(works: Works) -> None:
    make_keys(works.federation.keys, "timestamp.next")
    Repository(works.federation).renew_timestamp()
    assert works.check() is None
    assert refresh_timestamp(works.federation) is False


def test_another_key_is_refused_by_name(works: Works) -> None:
    with pytest.raises(InputError, match="no key to rotate called 'ca'; there are tls, targets"):
        rotation.known("ca")


def test_every_approval_is_signed_by_the_new_roster_key(tmp_path: Path) -> None:
    federation = found(tmp_path / "federation", Settings(name="rosters"))
    store = Store(federation.database)
    store.add_invitation("t", 4e9)
    store.enrol("t", "ada", b"a key in PEM")
    store.set_device_state("ada", "approved", roster_signature=b"old")
    rotation.rotate(federation, store, "roster")
    signature = store._one("SELECT roster_signature FROM devices")[0]  # type: ignore[index]
    _roster_key(federation).verify(signature, roster_statement(store.device("ada")))
    assert (federation.keys / "roster.key").stat().st_mode & 0o777 == 0o600
    store.close()


def _roster_key(federation: Federation) -> Ed25519PublicKey:
    from server.enroll import _roster_key as read

    return read(federation).public_key()


@pytest.mark.proof
def test_a_running_coordinator_shows_the_new_certificate(tmp_path: Path) -> None:
    federation = found(tmp_path / "federation", Settings(name="tls", port=free_port(), admin_port=free_port()))
    running = Coordinator(federation)
    try:
        before = _shown(federation)
        assert covey(federation.home, "rotate", "tls").returncode == 0
        until(lambda: _shown(federation) != before, every=1.0)
        with running.client() as client:
            assert client.get("/health").json() == {"state": "serving"}
    finally:
        assert running.end() == (0, "")


def _shown(federation: Federation) -> str:
    """The certificate that a new connection is shown, once the federation's authority vouches for it."""
    return ssl.get_server_certificate(
        ("127.0.0.1", federation.settings().port), ca_certs=str(federation.tls / "ca.crt"), timeout=10
    )


@pytest.mark.parametrize(("what", "away"), [("rollout", "targets"), ("timestamp", "targets"), ("targets", "snapshot")])
def test_a_rotation_that_cannot_be_signed_makes_no_key(works: Works, what: rotation.What, away: str) -> None:
    (works.federation.keys / f"{away}.key").unlink()
    with pytest.raises(InputError, match=rf"{away}\.key cannot be read .* put it back"):
        rotate(works, what)
    assert not list(works.federation.keys.glob("*.next.key"))
