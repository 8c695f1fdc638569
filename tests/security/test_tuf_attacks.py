"""Whoever holds the network, an old copy, or some of the keys cannot move a device to what was not signed for it."""

import shutil
import time
from collections.abc import Callable
from datetime import datetime, timedelta, tzinfo
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from releasing import Works, build_works
from tuf.api.metadata import Metadata, Root

from client.inference import Predictor
from server import repository as repository_module
from server.releases import publish_release, renew
from server.repository import Repository
from shared.errors import CoveyError, ReleaseError


@pytest.fixture
def works(tmp_path: Path) -> Works:
    """A device that runs release 1; release 2 is signed; `old` holds the repository as it was at release 1."""
    works = build_works(tmp_path)
    works.publish(seed=1)
    assert works.check() == 1
    shutil.copytree(works.repository, tmp_path / "old")
    works.publish(seed=2)
    return works


def metadata(works: Works, name: str) -> Path:
    return works.repository / "metadata" / name


def model_file(works: Works, number: int) -> Path:
    return next((works.repository / "targets" / "releases" / "machines" / str(number)).glob("*.fp32.onnx"))


def steal_key(works: Works, role: str) -> None:
    """Replace a role's key by one that the root does not know."""
    file = works.federation.keys / f"{role}.key"
    file.unlink()
    key = Ed25519PrivateKey.generate()
    file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def publish_something(works: Works) -> None:
    files = dict.fromkeys(("fp32.onnx", "int8.onnx", "task.json"), b"evil")
    publish_release(works.federation, works.draft(9), files)


def change_a_byte(works: Works) -> None:
    file = model_file(works, 2)
    data = bytearray(file.read_bytes())
    data[100] ^= 1
    file.write_bytes(data)


def grow_the_file(works: Works) -> None:
    file = model_file(works, 2)
    file.write_bytes(file.read_bytes() + b"more" * 1000)


def cut_the_file(works: Works) -> None:
    file = model_file(works, 2)
    file.write_bytes(file.read_bytes()[:-1])


def swap_two_files(works: Works) -> None:
    shutil.copy(model_file(works, 1), model_file(works, 2))


def lose_the_file(works: Works) -> None:
    model_file(works, 2).unlink()


def expire_the_timestamp(works: Works) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(repository_module.LIFETIME, "timestamp", timedelta(hours=-1))
        Repository(works.federation).renew_timestamp()


def expire_the_targets(works: Works) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(repository_module.LIFETIME, "targets", timedelta(hours=-1))
        publish_something(works)


def sign_targets_with_another_key(works: Works) -> None:
    steal_key(works, "targets")
    publish_something(works)


def sign_the_timestamp_with_another_key(works: Works) -> None:
    steal_key(works, "timestamp")
    Repository(works.federation).renew_timestamp()


def replace_the_root_with_one_signature(works: Works) -> None:
    """The attacker holds one root key and the repository, and names a targets key of their own."""
    file = metadata(works, "1.root.json")
    root = Metadata[Root].from_bytes(file.read_bytes())
    steal_key(works, "targets")
    repository = Repository(works.federation)
    root.signed.add_key(repository._signer("targets").public_key, "targets")
    root.signed.version = 2
    root.signatures.clear()
    root.sign(repository._signer("root1"))
    metadata(works, "2.root.json").write_bytes(root.to_bytes())
    publish_something(works)


def mix_an_old_snapshot_in(works: Works) -> None:
    newest = Repository(works.federation).snapshot().version
    shutil.copy(metadata(works, f"{newest - 1}.snapshot.json"), metadata(works, f"{newest}.snapshot.json"))


def mix_old_targets_in(works: Works) -> None:
    newest = Repository(works.federation).targets().version
    shutil.copy(metadata(works, f"{newest - 1}.targets.json"), metadata(works, f"{newest}.targets.json"))


def sign_old_targets_with_the_online_keys(works: Works) -> None:
    """Snapshot and timestamp keys are stolen; they cannot bring an old list of targets back."""
    assert works.check() == 2
    repository = Repository(works.federation)
    snapshot = repository.snapshot()
    snapshot.meta["targets.json"].version -= 1
    snapshot.meta["targets.json"].hashes = snapshot.meta["targets.json"].length = None
    snapshot.version += 1
    repository._commit_snapshot(snapshot)


def garble_the_timestamp(works: Works) -> None:
    metadata(works, "timestamp.json").write_bytes(b"{")


ATTACKS = [
    change_a_byte, grow_the_file, cut_the_file, swap_two_files, lose_the_file, expire_the_timestamp,
    expire_the_targets, sign_targets_with_another_key, sign_the_timestamp_with_another_key,
    replace_the_root_with_one_signature, mix_an_old_snapshot_in, mix_old_targets_in,
    sign_old_targets_with_the_online_keys, garble_the_timestamp,
]  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_an_attack_leaves_the_device_as_it_was(attack: Callable[[Works], None], works: Works) -> None:
    attack(works)
    before, answer = works.serving(), Predictor(works.home).predict({"load": 0.5}).scores
    with pytest.raises(CoveyError):
        works.check()
    assert works.serving() == before
    assert Predictor(works.home).predict({"load": 0.5}).scores == answer


def test_without_an_attack_the_device_moves_on(works: Works) -> None:
    assert works.check() == 2
    assert works.serving() == 2


def test_an_old_repository_replayed_is_refused(works: Works, tmp_path: Path) -> None:
    assert works.check() == 2
    shutil.rmtree(works.repository)
    (tmp_path / "old").rename(works.repository)
    with pytest.raises(ReleaseError, match="does not hold together"):
        works.check()
    assert works.serving() == 2


def test_a_frozen_repository_is_refused_once_it_expires(works: Works, monkeypatch: pytest.MonkeyPatch) -> None:
    import tuf.ngclient._internal.trusted_metadata_set as trusted

    class Later(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:
            return datetime.now(tz) + timedelta(days=2)

    monkeypatch.setattr(trusted.datetime, "datetime", Later)
    with pytest.raises(ReleaseError, match="expired"):
        works.check()
    assert works.serving() == 1


def test_a_clock_that_went_back_gets_no_update(works: Works) -> None:
    works.home.clock_file.write_text(str(time.time() + 86_400), encoding="ascii")
    with pytest.raises(ReleaseError, match="clock went back"):
        works.check()
    assert works.serving() == 1


def test_keys_that_two_root_keys_replaced_are_followed(works: Works) -> None:
    repository = Repository(works.federation)
    root = repository.root()
    root.revoke_key(repository._signer("targets").public_key.keyid, "targets")
    steal_key(works, "targets")
    root.add_key(repository._signer("targets").public_key, "targets")
    root.version += 1
    repository._write(root, "2.root.json", signers=("root1", "root3"))
    works.publish(seed=3)
    assert works.check() == 3


def test_a_renewed_repository_is_followed(works: Works) -> None:
    renew(works.federation)
    assert works.check() == 2


def test_private_keys_are_their_owners_alone(works: Works) -> None:
    files = list(works.federation.keys.iterdir())
    assert len(files) == 6
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}
