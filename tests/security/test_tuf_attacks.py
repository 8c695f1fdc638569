"""Whoever holds the network, an old copy, or some of the keys cannot move a device to what was not signed for it."""

import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta, tzinfo
from hashlib import sha256
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from releasing import Works, build_works
from tuf.api.metadata import Metadata, Root

from client.inference import Predictor
from client.installed import file_of
from server import repository as repository_module
from server.releases import publish_release, published_releases, renew
from server.repository import Repository
from shared import wire
from shared.delta import make_delta
from shared.errors import CoveyError, ReleaseError
from shared.models import Artifact


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
    return target_file(works, number, "fp32.onnx")


def target_file(works: Works, number: int, name: str) -> Path:
    return next((works.repository / "targets" / "releases" / "machines" / str(number)).glob(f"*.{name}"))


def lose_the_delta(works: Works) -> Path:
    """So that the whole file must travel; returns that file."""
    target_file(works, 2, "delta.bin").unlink()
    return model_file(works, 2)


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
    file = lose_the_delta(works)
    data = bytearray(file.read_bytes())
    data[100] ^= 1
    file.write_bytes(data)


def grow_the_file(works: Works) -> None:
    file = lose_the_delta(works)
    file.write_bytes(file.read_bytes() + b"more" * 1000)


def cut_the_file(works: Works) -> None:
    file = lose_the_delta(works)
    file.write_bytes(file.read_bytes()[:-1])


def swap_two_files(works: Works) -> None:
    shutil.copy(model_file(works, 1), lose_the_delta(works))


def lose_the_file(works: Works) -> None:
    lose_the_delta(works).unlink()


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


def sign_another_delta(works: Works, change: Callable[[bytes], bytes], base: str = "") -> None:
    """Sign release 2 anew as release 3 with a delta of the attacker's making, whole file and all else as they are."""
    repository = Repository(works.federation)
    signed = published_releases(works.federation, "machines")[-1]
    body = change(target_file(works, 2, "delta.bin").read_bytes())
    folder, targets = "releases/machines/3", repository.targets()
    files = {"fp32.onnx": model_file(works, 2).read_bytes(), "delta.bin": body, "task.json": wire.to_json(works.task)}
    artifacts = {
        name.partition(".")[0]: Artifact(path=f"{folder}/{name}", sha256=sha256(body).hexdigest(), bytes=len(body))
        for name, body in files.items()
    }
    release = replace(signed, number=3, artifacts=artifacts, delta_base=base or signed.delta_base)
    for name, body in files.items():
        repository.add(targets, f"{folder}/{name}", body, wire.encode(release))
    repository.commit(targets)


def of_another_base(works: Works) -> bytes:
    new = model_file(works, 2).read_bytes()
    return make_delta(bytes(reversed(new)), new)


DELTAS: dict[str, Callable[[bytes], bytes]] = {
    "nothing": lambda _: b"",
    "noise": lambda _: bytes(range(256)),
    "a truncated delta": lambda delta: delta[: len(delta) // 2],
    "a changed byte": lambda delta: delta[:-20] + bytes([delta[-20] ^ 1]) + delta[-19:],
    "a bomb": lambda _: make_delta(b"", bytes(1_000_000)),
}


@pytest.mark.parametrize("delta", DELTAS)
def test_a_wrong_delta_costs_its_bytes_and_the_whole_file_is_fetched(delta: str, works: Works) -> None:
    """Even a signed one: what it makes is held against the signed hash of the whole."""
    sign_another_delta(works, DELTAS[delta])
    wrong, whole = target_file(works, 3, "delta.bin").stat().st_size, model_file(works, 2).stat().st_size
    found = works.look()
    assert (found.release, found.fetched) == (3, wrong + whole)
    assert file_of(works.place.releases / "3", "fp32").read_bytes() == model_file(works, 2).read_bytes()


def test_a_delta_that_is_for_another_base_than_it_says_is_not_used(works: Works) -> None:
    sign_another_delta(works, lambda _: of_another_base(works))
    assert works.check() == 3
    assert file_of(works.place.releases / "3", "fp32").read_bytes() == model_file(works, 2).read_bytes()


def test_a_delta_for_a_file_that_is_not_here_is_not_fetched(works: Works) -> None:
    sign_another_delta(works, lambda delta: delta, base="0" * 64)
    found = works.look()
    assert (found.release, found.fetched) == (3, model_file(works, 2).stat().st_size)


def test_a_delta_on_the_way_is_not_trusted(works: Works) -> None:
    """Whoever holds the network can cost the device a few bytes more, and no more."""
    file = target_file(works, 2, "delta.bin")
    file.write_bytes(file.read_bytes()[:-1] + b"\0")
    assert works.check() == 2


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
    assert len(files) == 7
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}
