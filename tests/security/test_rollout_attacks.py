"""Whoever holds the online rollout role's key, or an old copy of what it said, moves no device to what targets did not sign."""

import json
import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from machines import small_task
from releasing import DirectoryFetcher, Works, build_works
from staged import here, just_in, roll, stage

from client.inference import Predictor
from client.updates import Updates, fetch_signed
from server import repository as repository_module
from server.releases import LIFTED, published_releases
from server.repository import Repository
from server.rollout_role import publish_rollout, signed_rollout
from shared import wire
from shared.errors import CoveyError, ReleaseError
from shared.models import Release
from shared.rollout import WHOLE, Rollout


@pytest.fixture
def works(tmp_path: Path) -> Works:
    """A device that runs release 2; release 3, which gives way to it, is signed and for nobody yet."""
    works = build_works(tmp_path)
    works.publish(seed=1)
    works.publish(seed=2)
    assert works.check() == 2
    stage(works, 3, fallback=2, ceiling_bp=WHOLE)
    return works


def newest(works: Works) -> Release:
    return published_releases(works.federation, "machines")[-1]


def sign(works: Works, path: str, body: bytes, custom: dict[str, object] | None = None) -> None:
    """Whatever the thief of the role's key likes, past every check of the operator's side."""
    repository = Repository(works.federation)
    rollout = repository.rollout()
    assert rollout is not None
    repository.add(rollout, path, body, custom or {"number": 1})
    repository.commit_rollout(rollout)


def say(works: Works, **document: object) -> None:
    """A document in the role's name."""
    given: dict[str, object] = {"number": 1, "task": "machines", "release": 3, "share_bp": WHOLE}
    sign(works, "rollout/machines.json", json.dumps(given | document).encode())


def another_key(works: Works, name: str) -> None:
    key = Ed25519PrivateKey.generate()
    file = works.federation.keys / f"{name}.key"
    file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


# -- what the key cannot say: nothing changes, and nothing is wrong either


def a_release_of_its_own(works: Works) -> None:
    forged = wire.encode(newest(works)) | {"number": 9}
    for name in ("fp32.onnx", "task.json"):
        sign(works, f"releases/machines/9/{name}", b"evil", forged)
    say(works, release=9)


def a_task_of_its_own(works: Works) -> None:
    sign(works, "tasks/machines.json", wire.to_json(small_task(title="Where do you live?", revision=9)))


def another_file_for_a_signed_release(works: Works) -> None:
    sign(works, newest(works).artifacts["fp32"].path, b"evil", wire.encode(newest(works)))


def a_release_that_was_never_signed(works: Works) -> None:
    say(works, release=99)


def an_older_release_than_the_fallback(works: Works) -> None:
    say(works, release=1)


def a_document_of_another_name(works: Works) -> None:
    sign(works, "rollout/others.json", wire.to_json(Rollout(number=1, task="machines", release=3, share_bp=WHOLE)))


CANNOT = [
    a_release_of_its_own, a_task_of_its_own, another_file_for_a_signed_release, a_release_that_was_never_signed,
    an_older_release_than_the_fallback, a_document_of_another_name,
]  # fmt: skip


@pytest.mark.parametrize("attack", CANNOT, ids=lambda attack: attack.__name__)
def test_the_roles_key_cannot_move_a_device_to_what_targets_did_not_sign(
    attack: Callable[[Works], None], works: Works
) -> None:
    task, answer = works.place.signed.read_bytes(), Predictor(works.home).predict({"load": 0.5}).scores
    attack(works)
    assert works.check() is None
    assert works.serving() == 2
    assert works.place.signed.read_bytes() == task
    assert Predictor(works.home).predict({"load": 0.5}).scores == answer


def test_the_roles_key_brings_no_new_task_to_a_device(works: Works) -> None:
    sign(works, "tasks/others.json", wire.to_json(small_task(name="others")))
    with pytest.raises(ReleaseError, match="not signed tasks/others"):
        fetch_signed(works.home, "others", fetcher=DirectoryFetcher(works.repository))


def test_a_fallback_reaches_no_more_devices_than_its_own_ceiling(works: Works) -> None:
    """Release 4 was complete, within its ceiling; release 5 gives way to it, and this device stands outside of both."""
    fourth = stage(works, 4, fallback=2, ceiling_bp=1)
    assert just_in(fourth) > fourth.ceiling_bp, "this device must stand outside for this test to mean anything"
    roll(works, fourth, 1, state="complete")
    fifth = stage(works, 5, fallback=4)
    roll(works, fifth, 0)
    assert works.check() is None
    assert works.serving() == 2


def test_a_fallback_without_one_of_its_own_reaches_nobody_outside_its_ceiling(works: Works) -> None:
    fourth = stage(works, 4, fallback=0, ceiling_bp=1)
    assert just_in(fourth) > fourth.ceiling_bp
    stage(works, 5, fallback=4)
    assert works.check() is None
    assert works.serving() == 2


def test_a_share_above_the_ceiling_counts_as_the_ceiling(works: Works) -> None:
    release = stage(works, 4, fallback=2, ceiling_bp=1)
    assert just_in(release) > release.ceiling_bp, "this device must stand outside for this test to mean anything"
    say(works, release=release.number, share_bp=WHOLE, shadow_bp=WHOLE)
    assert works.check() is None
    assert works.serving() == 2
    assert not works.place.beside.exists()


# -- what does not hold together: the look ends, and what served goes on


def frozen(works: Works) -> None:
    """The coordinator goes on signing everything but the role."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(repository_module.LIFETIME, "rollout", timedelta(hours=-1))
        roll(works, newest(works), WHOLE)


def signed_by_another_key(works: Works) -> None:
    another_key(works, "rollout")
    say(works)


def an_old_document_under_a_new_version(works: Works) -> None:
    roll(works, newest(works), WHOLE)
    metadata = works.repository / "metadata"
    shutil.copy(metadata / "1.rollout.json", metadata / "2.rollout.json")


def an_old_file_under_a_new_hash(works: Works) -> None:
    roll(works, newest(works))
    folder = works.repository / "targets" / "rollout"
    (old,) = folder.iterdir()
    body = old.read_bytes()
    roll(works, newest(works), WHOLE)
    (new,) = set(folder.iterdir()) - {old}
    new.write_bytes(body)


def a_fallback_that_was_never_signed(works: Works) -> None:
    """Only the targets' key can do this, and then by mistake: after a restored backup, numbers leave a gap."""
    repository = Repository(works.federation)
    targets = repository.targets()
    targets.unrecognized_fields[LIFTED] = 100
    repository.commit(targets)
    stage(works, 4, fallback=99)


def targets_say(works: Works, **changes: object) -> None:
    """Another mistake of the targets' key: the newest release speaks of something else than its path."""
    repository, release = Repository(works.federation), newest(works)
    targets = repository.targets()
    path = release.artifacts["fp32"].path
    targets.targets[path].unrecognized_fields["custom"] = wire.encode(release) | changes
    repository.commit(targets)


def a_fallback_to_itself(works: Works) -> None:
    targets_say(works, fallback=3)


def a_fallback_to_a_newer_one(works: Works) -> None:
    stage(works, 4, fallback=2)
    targets_say(works, fallback=5)


def a_release_of_another_number(works: Works) -> None:
    targets_say(works, number=4)


def a_release_of_another_task(works: Works) -> None:
    targets_say(works, task="others")


BROKEN = [
    frozen, signed_by_another_key, an_old_document_under_a_new_version, an_old_file_under_a_new_hash,
    a_fallback_that_was_never_signed, a_fallback_to_itself, a_fallback_to_a_newer_one, a_release_of_another_number,
    a_release_of_another_task,
]  # fmt: skip


@pytest.mark.parametrize("attack", BROKEN, ids=lambda attack: attack.__name__)
def test_what_does_not_hold_together_leaves_the_device_as_it_was(attack: Callable[[Works], None], works: Works) -> None:
    attack(works)
    with pytest.raises(CoveyError):
        works.check()
    assert works.serving() == 2
    assert Predictor(works.home).release == 2


# -- what cannot be understood says nothing: a thief of the role's key keeps nobody from what targets sign


def a_field_that_nobody_knows(works: Works) -> None:
    say(works, unlock=True)


def a_share_of_more_than_everybody(works: Works) -> None:
    say(works, share_bp=WHOLE + 1)


def a_halt_that_goes_on(works: Works) -> None:
    say(works, state="halted")


def a_document_of_another_task(works: Works) -> None:
    say(works, task="others")


def no_document_at_all(works: Works) -> None:
    sign(works, "rollout/machines.json", b"\x00")


def one_that_nests_without_end(works: Works) -> None:
    sign(works, "rollout/machines.json", b"[" * 4000)


def one_longer_than_any_document(works: Works) -> None:
    body = json.dumps({"number": 1, "task": "machines", "release": 3, "share_bp": WHOLE}).encode()
    sign(works, "rollout/machines.json", body + b" " * 4096)


SAYS_NOTHING = [
    a_field_that_nobody_knows, a_share_of_more_than_everybody, a_halt_that_goes_on, a_document_of_another_task,
    no_document_at_all, one_that_nests_without_end, one_longer_than_any_document,
]  # fmt: skip


@pytest.mark.parametrize("attack", SAYS_NOTHING, ids=lambda attack: attack.__name__)
def test_what_cannot_be_understood_says_nothing(attack: Callable[[Works], None], works: Works) -> None:
    """A staged release gives way to its fallback, and one that targets sign for everybody arrives all the same."""
    roll(works, newest(works), WHOLE)
    assert works.check() == 3
    attack(works)
    assert works.check() == 2
    works.publish(seed=9)
    assert works.check() == 4


def test_a_document_longer_than_any_is_not_even_fetched(works: Works) -> None:
    one_longer_than_any_document(works)
    fetcher = DirectoryFetcher(works.repository)
    Updates(works.home, fetcher=fetcher).check()
    assert not [path for path in fetcher.asked if path.startswith("targets/rollout/")]


@pytest.mark.parametrize("attack", SAYS_NOTHING, ids=lambda attack: attack.__name__)
def test_what_cannot_be_understood_keeps_no_operator_from_halting(
    attack: Callable[[Works], None], works: Works
) -> None:
    roll(works, newest(works), WHOLE)
    assert works.check() == 3
    attack(works)
    halted = Rollout(number=2, task="machines", release=3, share_bp=0, state="halted")
    publish_rollout(works.federation, halted, after=1)
    assert signed_rollout(works.federation, "machines") == halted
    assert works.check() == 2


def test_a_rollout_that_was_halted_cannot_be_rolled_back_to_before_the_halt(works: Works) -> None:
    """Snapshot and timestamp keys are stolen, the role's is not: the older list of documents does not come back."""
    release = newest(works)
    roll(works, release, WHOLE)
    assert works.check() == 3
    roll(works, release, state="halted")
    assert works.check() == 2
    repository = Repository(works.federation)
    snapshot = repository.snapshot()
    snapshot.meta["rollout.json"].version -= 1
    snapshot.meta["rollout.json"].hashes = snapshot.meta["rollout.json"].length = None
    snapshot.version += 1
    repository._commit_snapshot(snapshot)
    with pytest.raises(ReleaseError, match="does not hold together"):
        works.check()
    assert works.serving() == 2


def test_halting_leads_every_canary_to_the_signed_fallback_and_nowhere_else(works: Works) -> None:
    release = newest(works)
    roll(works, release, just_in(release))
    assert works.check() == 3
    say(works, number=2, release=1, share_bp=WHOLE)
    assert works.check() == 2, "a document about an older release does not lead to that one"
    assert here(works) == {"2"}
    assert Predictor(works.home).release == 2


def test_a_role_that_flaps_is_slowed_down(works: Works) -> None:
    release, moves = newest(works), 0
    for turn in range(12):
        roll(works, release, WHOLE if turn % 2 == 0 else 0)
        moves += works.look().installed
    assert moves < 6, "one was the first installation"
    assert works.serving() in {2, 3}
