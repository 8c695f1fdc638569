"""Whatever is changed in what the coordinator keeps, by one byte or by a whole row, `covey models verify` names it."""

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from releasing import Works, build_works, some_weights
from trained import campaign
from tuf.api.metadata import Delegations, MetaFile

from server.export import export, same_content
from server.promotion import promote
from server.releases import publish_release, publish_roster, renew
from server.repository import Repository
from server.rollout_role import publish_rollout
from server.verifying import verify
from shared.errors import ReleaseError
from shared.rollout import Rollout
from shared.signing import public_key_bytes

FLIPS = 40
"""How many places of each kind of file are tried; the seed is fixed."""


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Works:
    """A trained and released version, a second release, a roster, and a root that was signed anew."""
    works = build_works(tmp_path_factory.mktemp("sound"))
    made = campaign(works, works.add_version(1), 3)
    promote(works.federation, works.store, works.task, made[-1])
    works.promote(seed=2)
    publish_roster(works.federation, {"ada": public_key_bytes(ec.generate_private_key(ec.SECP256R1()).public_key())})
    renew(works.federation)
    return works


@pytest.fixture
def works(sound: Works, tmp_path: Path) -> Works:
    """A copy of it to break."""
    sound.store._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    shutil.copytree(sound.federation.home, tmp_path / "federation")
    copy = type(sound.federation)(tmp_path / "federation")
    return Works(federation=copy, store=type(sound.store)(copy.database), task=sound.task, home=sound.home)


def wrong(works: Works) -> tuple[str, ...]:
    return verify(works.federation, works.store, say=lambda _: None).wrong


def flip(data: bytes, place: int, bit: int) -> bytes:
    return data[:place] + bytes([data[place] ^ (1 << bit)]) + data[place + 1 :]


def test_what_is_sound_has_nothing_wrong(works: Works) -> None:
    found = verify(works.federation, works.store, say=lambda _: None)
    assert found.wrong == ()
    assert (found.versions, found.releases) == (5, 2)
    assert found.targets >= 6


KINDS = {
    "root": "metadata/*.root.json",
    "targets": "metadata/*.targets.json",
    "snapshot": "metadata/*.snapshot.json",
    "timestamp": "metadata/timestamp.json",
    "rollout": "metadata/*.rollout.json",
    "model": "targets/releases/*/*/*.onnx",
    "delta": "targets/releases/*/*/*.bin",
    "task": "targets/**/*.json",
}


@pytest.mark.parametrize("kind", KINDS)
def test_one_byte_anywhere_in_a_file_is_named(kind: str, works: Works) -> None:
    chosen = random.Random(kind)
    files = sorted(works.repository.glob(KINDS[kind]))
    assert files
    for _ in range(FLIPS):
        file = chosen.choice(files)
        whole = file.read_bytes()
        file.write_bytes(flip(whole, chosen.randrange(len(whole)), chosen.randrange(8)))
        assert any(file.name in line for line in wrong(works)), f"{file.name} was changed and not named"
        file.write_bytes(whole)


def test_one_byte_anywhere_in_weights_is_named(works: Works) -> None:
    chosen = random.Random(1)
    addresses = sorted(works.store.blob_sizes())
    for _ in range(FLIPS):
        address = chosen.choice(addresses)
        (whole,) = works.store._one("SELECT data FROM blobs WHERE sha256 = ?", address)
        spoilt = flip(bytes(whole), chosen.randrange(len(whole)), chosen.randrange(8))
        works.store._do("UPDATE blobs SET data = ? WHERE sha256 = ?", spoilt, address)
        assert any(address[:12] in line for line in wrong(works))
        works.store._do("UPDATE blobs SET data = ? WHERE sha256 = ?", whole, address)


def lose_a_model(works: Works) -> str:
    next(works.repository.glob("targets/releases/machines/1/*.onnx")).unlink()
    return "targets/releases/machines/1/fp32.onnx is missing"


def lose_the_snapshot(works: Works) -> str:
    newest = max(works.repository.glob("metadata/*.snapshot.json"), key=lambda file: int(file.name.split(".")[0]))
    newest.unlink()
    return f"{newest.name} is missing"


def lose_a_root(works: Works) -> str:
    (works.repository / "metadata/1.root.json").unlink()
    return "metadata/2.root.json does not follow the root before it"


def put_an_older_targets_in_place(works: Works) -> str:
    files = sorted(works.repository.glob("metadata/*.targets.json"), key=lambda file: int(file.name.split(".")[0]))
    files[-1].write_bytes(files[-2].read_bytes())
    return f"{files[-1].name} is not the file that was signed for"


def change_the_task(works: Works) -> str:
    works.store._do("UPDATE tasks SET body = replace(body, ?, ?)", works.task.title, "another question")
    return "revision 1 of machines in the store is not the signed task file"


def change_the_task_of_a_release(works: Works) -> str:
    works.store._do("UPDATE tasks SET body = replace(body, ?, ?)", works.task.title, "another question")
    return "revision 1 of machines in the store is not the task file of release 2"


def orphan_a_version(works: Works) -> str:
    works.store._do("UPDATE versions SET parent = 99 WHERE number = 3")
    return "version 3 names version 99 as its parent, which is not there"


def forget_a_round(works: Works) -> str:
    works.store._do("DELETE FROM rounds WHERE number = 2")
    return "version 3 came from round 2 of run 1, of which there is no committed record"


def forget_the_run(works: Works) -> str:
    works.store._do("DELETE FROM runs WHERE id = 1")
    return "version 2 came from run 1, which is not there"


def change_a_releases_row(works: Works) -> str:
    works.store._do(
        "UPDATE releases SET body = replace(body, '\"ceiling_bp\":10000', '\"ceiling_bp\":500') WHERE number = 1"
    )
    return "release 1 is not the same in the store and in the signed list"


def forget_a_release(works: Works) -> str:
    works.store._do("DELETE FROM releases WHERE number = 2")
    return "release 2 is not the same in the store and in the signed list"


def sign_other_weights(works: Works) -> str:
    """What only the holder of the targets key can do: a well signed model that is not its version's."""
    version = works.add_version(7)
    model = export(works.task, some_weights(works.task, seed=8), version=version)
    works.store.add_release(publish_release(works.federation, works.draft(version), {"fp32.onnx": model}), ())
    return f"release 3 is not an export of the weights of version {version}"


def swap_the_weights_of_a_version(works: Works) -> str:
    works.store._do(
        "UPDATE versions SET weights_sha256 = (SELECT weights_sha256 FROM versions WHERE number = 1) WHERE number = 4"
    )
    return "release 1 is not an export of the weights of version 4"


def sign_a_document_that_the_store_knows_not(works: Works) -> str:
    """What the holder of the rollout role's key can do."""
    publish_rollout(works.federation, Rollout(number=7, task="machines", release=2, share_bp=0))
    return "the rollout of machines is not the same in the store and in the signed list: none and document 7"


def forget_a_document(works: Works) -> str:
    works.store.add_rollout(Rollout(number=7, task="machines", release=2, share_bp=0), why="")
    return "the rollout of machines is not the same in the store and in the signed list: document 7 and none"


def _sign_as_the_role(works: Works, path: str, **changes: object) -> None:
    repository = Repository(works.federation)
    rollout = repository.rollout()
    assert rollout is not None
    for name, value in changes.items():
        setattr(rollout, name, value)
    repository.add(rollout, path, b"\x00", {"number": 1})
    repository.commit_rollout(rollout)


def sign_a_document_that_nobody_can_read(works: Works) -> str:
    _sign_as_the_role(works, "rollout/machines.json")
    return "the rollout of machines is not the same in the store and in the signed list"


def sign_a_document_of_a_task_to_come(works: Works) -> str:
    _sign_as_the_role(works, "rollout/later.json")
    return "the rollout role signs rollout/later.json, which is of no published task"


def let_the_role_name_roles(works: Works) -> str:
    _sign_as_the_role(works, "rollout/machines.json", delegations=Delegations({}, {}))
    return "the rollout role names roles of its own"


def list_a_role_that_is_none_of_ours(works: Works) -> str:
    repository = Repository(works.federation)
    snapshot = repository._next_snapshot()
    snapshot.meta["evil.json"] = MetaFile(1)
    repository._commit_snapshot(snapshot)
    return "the snapshot lists evil.json, a role that is none of ours"


def drop_a_releases_weights(works: Works) -> str:
    works.store.drop_blobs([works.store.version(4).weights_sha256])
    return "release 1 is of version 4, whose weights were collected"


ATTACKS = (
    lose_a_model, lose_the_snapshot, lose_a_root, put_an_older_targets_in_place, change_the_task,
    change_the_task_of_a_release, orphan_a_version, forget_a_round,
    forget_the_run, change_a_releases_row, forget_a_release, sign_other_weights, swap_the_weights_of_a_version,
    drop_a_releases_weights, sign_a_document_that_the_store_knows_not, forget_a_document,
    sign_a_document_that_nobody_can_read, sign_a_document_of_a_task_to_come, let_the_role_name_roles,
    list_a_role_that_is_none_of_ours,
)  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_what_is_lost_or_swapped_is_named(attack: Callable[[Works], str], works: Works) -> None:
    expected = attack(works)
    found = wrong(works)
    assert any(expected in line for line in found), found


def test_weights_that_nothing_refers_to_may_be_dropped(works: Works) -> None:
    works.store.drop_blobs([works.store.version(2).weights_sha256])
    assert wrong(works) == ()


def test_the_card_is_no_part_of_what_a_model_answers(works: Works) -> None:
    weights = some_weights(works.task, seed=1)
    plain = export(works.task, weights, version=1)
    assert same_content(plain, export(works.task, weights, version=1, card="# A card"))
    assert not same_content(plain, export(works.task, np.nextafter(weights, np.float32(9)), version=1))
    assert not same_content(plain, export(works.task, weights, version=2))
    assert not same_content(b"no model", plain)


def test_a_store_that_cannot_be_read_is_no_sound_one(works: Works) -> None:
    works.store._do(
        "UPDATE releases SET version = 1, body = replace(body, '\"version\":4', '\"version\":9') WHERE number = 1"
    )
    try:
        found = wrong(works)
    except ReleaseError as error:
        found = (str(error),)
    assert any("release 1" in line for line in found)
