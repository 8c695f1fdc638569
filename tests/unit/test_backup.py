"""A backup made while others write holds one moment of everything; what is restored goes on above all that devices saw."""

import hashlib
import io
import json
import os
import shutil
import sqlite3
import tarfile
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from machines import small_task
from releasing import Works, build_works
from sequencing import ROUND, Device

from client.config import AgentHome
from client.sequence import standing
from server import __main__ as covey_main
from server import backups
from server.archive import LIST, Manifest
from server.backups import back_up, restore
from server.cli.founding import publish
from server.config import Federation, Settings
from server.founding import found
from server.lifting import NUMBER_STEP, lift
from server.releases import published_releases, renew
from server.repository import Repository
from server.rotation import rotate
from server.sequences import Sequences
from server.signatures import complaints
from server.store import Store
from shared import wire
from shared.database import copy_whole
from shared.errors import InputError, ReleaseError
from shared.lock import only_one
from shared.tasks import Window


def quiet(_what: str) -> None:
    """Nobody watches."""


@pytest.fixture
def federation(tmp_path: Path) -> Federation:
    federation = found(tmp_path / "federation", Settings(name="works"))
    with closing(Store(federation.database)) as store:
        publish(federation, store, small_task())
    return federation


def saved(federation: Federation, file: Path, *, with_keys: bool = True) -> Path:
    back_up(federation, file, with_keys=with_keys, say=quiet)
    return file


def contents(folder: Path) -> dict[str, bytes]:
    files = [path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".")]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files if path.suffix != ".db"}


@pytest.mark.parametrize("name", ["all.tar", "all.tar.zst"])
def test_what_is_restored_is_what_was_saved(federation: Federation, tmp_path: Path, name: str) -> None:
    file = saved(federation, tmp_path / name)
    assert file.stat().st_mode & 0o777 == 0o600
    restore(file, tmp_path / "again", say=quiet)
    assert contents(tmp_path / "again") == contents(federation.home)
    assert (tmp_path / "again" / "keys" / "root1.key").stat().st_mode & 0o777 == 0o600
    with closing(Store(tmp_path / "again" / "covey.db")) as store:
        assert [task.name for task in store.tasks()] == ["machines"]
        assert len(store.weights(1)) > 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again", name, "federation"]


def test_the_store_is_saved_while_somebody_writes_to_it(federation: Federation, tmp_path: Path) -> None:
    with closing(Store(federation.database)) as writer:
        for number in range(200):
            writer.audit("operator", "note", f"{number}")
        with closing(sqlite3.connect(federation.database, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            other.execute("INSERT INTO audit (at, actor, act, detail) VALUES (0, 'x', 'half', '')")
            file = saved(federation, tmp_path / "all.tar")
            other.execute("COMMIT")
    restore(file, tmp_path / "again", say=quiet)
    with closing(Store(tmp_path / "again" / "covey.db")) as store:
        acts = [entry.act for entry in store.audit_log(1000)]
    assert (acts.count("note"), acts.count("half")) == (200, 0)


def test_a_busy_writer_does_not_make_the_copy_begin_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One row more between any two pages: a copy that followed them would never end, or mix two moments."""
    database, copy, steps = tmp_path / "covey.db", tmp_path / "copy.db", list[int]()
    with closing(Store(database)) as writer:
        for number in range(400):
            writer.audit("operator", "note", f"{number} " * 100)

        def write(left: int, _of: int) -> None:
            steps.append(left)
            assert len(steps) < 1000, "the copy begins anew with every row"
            writer.audit("operator", "meanwhile")

        monkeypatch.setattr("shared.database.COPY_PAGES", 3)
        copy_whole(database, copy, progress=write)
    assert steps == sorted(steps, reverse=True)
    assert len(steps) > 10
    with closing(Store(copy)) as store:
        assert {entry.act for entry in store.audit_log(1000)} == {"note"}


def test_without_keys_no_private_key_is_in_it(federation: Federation, tmp_path: Path) -> None:
    file = saved(federation, tmp_path / "all.tar", with_keys=False)
    assert b"PRIVATE KEY" not in file.read_bytes()
    manifest = restore(file, tmp_path / "again", say=quiet)
    assert not manifest.with_keys
    assert (tmp_path / "again" / "tls" / "ca.crt").exists()
    assert not list((tmp_path / "again").rglob("*.key"))


def test_a_backup_is_whole_or_absent(federation: Federation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("server.archive.Packer.close", full)
    with pytest.raises(OSError, match="No space left"):
        saved(federation, tmp_path / "all.tar")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["federation"]
    assert not list(federation.home.glob(".backup*"))


def test_what_a_killed_backup_left_goes_with_the_next(federation: Federation, tmp_path: Path) -> None:
    left = [federation.home / ".backup-ab12cd_x" / "covey.db", tmp_path / ".all.tar.zst.0011aabb"]
    strange = tmp_path / ".all.tar.zst.notes"
    left[0].parent.mkdir(mode=0o700)
    for file in (*left, strange):
        file.touch(mode=0o600)
    saved(federation, tmp_path / "all.tar")
    assert [file.exists() for file in (*left, strange)] == [False, False, True]


def test_a_backup_never_replaces_another(federation: Federation, tmp_path: Path) -> None:
    file = saved(federation, tmp_path / "all.tar")
    with pytest.raises(InputError, match="is there already; choose another name"):
        saved(federation, file)
    with pytest.raises(InputError, match="would lie in the federation that it is to save"):
        saved(federation, federation.home / "all.tar")


def test_a_home_that_is_not_empty_is_left_alone(federation: Federation, tmp_path: Path) -> None:
    file = saved(federation, tmp_path / "all.tar")
    before = contents(federation.home)
    with pytest.raises(
        InputError, match=r"federation is not empty \(it holds covey.db, federation.toml, keys and 3 more\)"
    ):
        restore(file, federation.home, say=quiet)
    assert contents(federation.home) == before


def test_a_home_in_which_a_coordinator_runs_is_refused_by_its_process(federation: Federation, tmp_path: Path) -> None:
    file = saved(federation, tmp_path / "all.tar")
    with (
        only_one(federation.lock, what="the coordinator"),
        pytest.raises(InputError, match=rf"a coordinator \(process {os.getpid()}\) runs in"),
    ):
        restore(file, federation.home, say=quiet)


Spoil = Callable[[Path, Path], None]


def cut_short(file: Path, _folder: Path) -> None:
    file.write_bytes(file.read_bytes()[:-20_000])


def flip_a_byte(file: Path, _folder: Path) -> None:
    data = bytearray(file.read_bytes())
    at = data.index(b"PRIVATE KEY") + 40
    data[at] ^= 1
    file.write_bytes(data)


def pack_anew(file: Path, change: Callable[[dict[str, bytes]], dict[str, bytes]], *, link: str = "") -> None:
    with tarfile.open(file) as tar:
        members = {m.name: found.read() for m in tar if (found := tar.extractfile(m))}
    with tarfile.open(file, "w") as tar:
        for name, body in change(members).items():
            info = tarfile.TarInfo(name)
            info.size = len(body)
            tar.addfile(info, io.BytesIO(body))
        if link:
            info = tarfile.TarInfo("tls/link")
            info.type, info.linkname = tarfile.SYMTYPE, link
            tar.addfile(info)


def relist(members: dict[str, bytes], **changes: object) -> dict[str, bytes]:
    listed = replace(wire.from_json(Manifest, members[LIST]), **changes)  # type: ignore[arg-type]
    return members | {LIST: wire.to_json(listed)}


def climb_out(file: Path, _folder: Path) -> None:
    pack_anew(file, lambda members: {"../out": b"x", **members})


def name_the_root(file: Path, folder: Path) -> None:
    pack_anew(file, lambda members: {f"{folder}/out": b"x", **members})


def link_out(file: Path, _folder: Path) -> None:
    pack_anew(file, lambda members: members, link="/etc/passwd")


def list_what_climbs_out(file: Path, _folder: Path) -> None:
    def change(members: dict[str, bytes]) -> dict[str, bytes]:
        document = json.loads(members[LIST])
        document["files"]["../out"] = "0" * 64
        return members | {LIST: json.dumps(document, sort_keys=True, separators=(",", ":")).encode()}

    pack_anew(file, change)


def leave_a_file_out(file: Path, _folder: Path) -> None:
    pack_anew(file, lambda members: {name: body for name, body in members.items() if name != "tls/ca.crt"})


def add_a_file(file: Path, _folder: Path) -> None:
    pack_anew(file, lambda members: {"keys/mine.key": b"x", **members})


def leave_the_list_out(file: Path, _folder: Path) -> None:
    pack_anew(file, lambda members: {name: body for name, body in members.items() if name != LIST})


def come_from_the_future(file: Path, _folder: Path) -> None:
    pack_anew(file, lambda members: relist(members, schema=99))


def overwritten(database: bytes) -> bytes:
    """A store some of whose pages hold something else."""
    data = bytearray(database)
    for page in range(2, 12):
        data[page * 4096 : page * 4096 + 64] = b"\xa5" * 64
    return bytes(data)


def hold_an_unsound_store(file: Path, _folder: Path) -> None:
    """One whose pages were wrong before they were listed: every hash holds."""

    def change(members: dict[str, bytes]) -> dict[str, bytes]:
        store = overwritten(members["covey.db"])
        listed = wire.from_json(Manifest, members[LIST]).files | {"covey.db": hashlib.sha256(store).hexdigest()}
        return relist(members, files=listed) | {"covey.db": store}

    pack_anew(file, change)


def be_no_backup(file: Path, _folder: Path) -> None:
    file.write_bytes(b"a picture of a partridge" * 100)


SPOILT: dict[str, tuple[Spoil, str]] = {
    "cut short": (cut_short, "is no whole backup"),
    "a byte of a key flipped": (flip_a_byte, "is not the file that was backed up"),
    "a name that climbs out": (climb_out, "is no whole backup|outside"),
    "an absolute name": (name_the_root, "is damaged|is no whole backup"),
    "a link": (link_out, "a backup holds files alone"),
    "a list that climbs out": (list_what_climbs_out, "cannot hold a file called"),
    "a file missing": (leave_a_file_out, "tls/ca.crt is missing, or nobody listed it"),
    "a file too many": (add_a_file, "keys/mine.key is missing, or nobody listed it"),
    "no list": (leave_the_list_out, "its list of files is missing"),
    "a newer schema": (come_from_the_future, r"made by a newer Covey \(schema 99\); upgrade Covey"),
    "an unsound store": (hold_an_unsound_store, "the store in this backup is not sound"),
    "no backup at all": (be_no_backup, "is no whole backup"),
}


@pytest.mark.parametrize("how", SPOILT)
def test_a_spoilt_backup_is_refused_and_leaves_nothing(federation: Federation, tmp_path: Path, how: str) -> None:
    spoil, said = SPOILT[how]
    file = saved(federation, tmp_path / "all.tar")
    spoil(file, tmp_path)
    with pytest.raises(InputError, match=said):
        restore(file, tmp_path / "deep" / "again", say=quiet)
    assert not list((tmp_path / "deep").iterdir())
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "deep" / "out").exists()


def test_a_packed_backup_with_a_wrong_byte_is_refused(federation: Federation, tmp_path: Path) -> None:
    file = saved(federation, tmp_path / "all.tar.zst")
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 0xFF
    file.write_bytes(data)
    with pytest.raises(InputError, match=r"all\.tar\.zst"):
        restore(file, tmp_path / "again", say=quiet)
    assert not (tmp_path / "again").exists()


def test_a_store_that_is_not_sound_is_told_when_it_is_to_be_saved(
    federation: Federation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def spoilt(source: Path, target: Path, **_: object) -> None:
        copy_whole(source, target)
        target.write_bytes(overwritten(target.read_bytes()))

    monkeypatch.setattr(backups, "copy_whole", spoilt)
    with pytest.raises((InputError, sqlite3.DatabaseError), match="malformed"):
        saved(federation, tmp_path / "all.tar")
    assert not (tmp_path / "all.tar").exists()


def test_no_noise_is_drawn_twice_after_a_restoration(
    federation: Federation, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A round that ran after the backup is known to somebody: run again under its key, it would show what the noise hid."""
    with closing(Store(federation.database)) as store:
        run = store.queue_run("machines", "train", Window())
        store.set_run_state(run, "running")
        key = store.campaign_key(run)
    file = saved(federation, tmp_path / "all.tar")
    assert key not in file.read_bytes()
    monkeypatch.setattr("sys.argv", ["covey", "restore", str(file), "--home", str(tmp_path / "again")])
    with pytest.raises(SystemExit) as left:
        covey_main.main()
    assert left.value.code == 0
    assert "runs under way ended" in capsys.readouterr().out
    with closing(Store(tmp_path / "again" / "covey.db")) as store:
        assert store.run(run).state == "stopped"
        assert store.queue_run("machines", "train", Window()) == run + NUMBER_STEP + 1
        assert store.campaign_key(run) != key
        assert "runs 1 end here" in store.audit_log(1, act="restore")[0].detail
    with closing(Store(federation.database)) as store:
        assert store.campaign_key(run) == key


def test_a_restoration_without_the_targets_key_says_what_is_left_to_do(
    federation: Federation, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    safe = (federation.keys / "targets.key").rename(tmp_path / "targets.key")
    file, home = saved(federation, tmp_path / "all.tar"), tmp_path / "again"

    def typed(*words: str) -> str:
        monkeypatch.setattr("sys.argv", ["covey", *words, "--home", str(home)])
        with pytest.raises(SystemExit) as left:
            covey_main.main()
        assert left.value.code == 0
        return capsys.readouterr().out

    said = typed("restore", str(file))
    assert f"targets.key was kept elsewhere: put it back into {home}/keys, then `covey renew --lift`" in said
    root = Repository(Federation(home)).root().version
    assert root == Repository(federation).root().version
    safe.rename(home / "keys" / "targets.key")
    assert "Every role is signed anew" in typed("renew", "--lift")
    assert Repository(Federation(home)).root().version > root
    with closing(Store(home / "covey.db")) as store:
        assert len(store.audit_log(9, act="lift")) == 1


def test_a_backup_says_which_keys_it_lacks(federation: Federation, tmp_path: Path) -> None:
    (federation.keys / "root3.key").unlink()
    assert back_up(federation, tmp_path / "all.tar", with_keys=True, say=quiet).keys_away == ("root3.key",)


def test_targets_are_renewed_without_root_keys(federation: Federation) -> None:
    for number in (1, 2, 3):
        (federation.keys / f"root{number}.key").unlink()
    before = Repository(federation).targets().version
    assert renew(federation) == ("root",)
    assert Repository(federation).targets().version == before + 1
    (federation.keys / "targets.key").unlink()
    assert renew(federation) == ("root", "targets")


def test_what_is_signed_can_be_read_by_others_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        federation = found(tmp_path / "federation", Settings(name="works"))
        with closing(Store(federation.database)) as store:
            publish(federation, store, small_task())
    finally:
        os.umask(before)
    public = [path for part in ("metadata", "targets") for path in (federation.repository / part).rglob("*")]
    assert {path.stat().st_mode & 0o777 for path in public if path.is_file()} == {0o644}
    assert {path.stat().st_mode & 0o777 for path in public if path.is_dir()} == {0o755}
    assert (federation.keys / "targets.key").stat().st_mode & 0o777 == 0o600


# -- what devices saw since -----------------------------------------------------------------------


@pytest.fixture
def works(tmp_path: Path) -> Works:
    works = build_works(tmp_path)
    works.publish(seed=1)
    assert works.check() == 1
    settings = 'name = "works"\nhost = "127.0.0.1"\nport = 8443\nadmin_port = 8444\n'
    works.federation.settings_file.write_text(settings)
    works.federation.tls.mkdir()
    return works


def bring_back(works: Works, file: Path) -> Works:
    """The federation as it was, in another directory: what a device reaches from now on."""
    home = file.parent / "again"
    restore(file, home, say=quiet)
    works.store.close()
    federation = Federation(home)
    return replace(works, federation=federation, store=Store(federation.database))


def test_a_device_that_saw_newer_signatures_refuses_the_backup_until_it_is_lifted(works: Works, tmp_path: Path) -> None:
    file = saved(works.federation, tmp_path / "all.tar")
    works.publish(seed=2)
    assert works.check() == 2
    back = bring_back(works, file)
    with pytest.raises(ReleaseError, match="the signed metadata does not hold together"):
        back.check()
    lift(back.federation, back.store)
    found = back.look()
    assert (found.reason, back.serving()) == ("", 1)
    assert list(complaints(back.federation)) == []


def test_numbers_that_the_lost_time_may_have_given_out_are_left_out(works: Works, tmp_path: Path) -> None:
    file = saved(works.federation, tmp_path / "all.tar")
    lost, version = works.publish(seed=2), works.add_version(seed=9)
    back = bring_back(works, file)
    lift(back.federation, back.store)
    assert back.publish(seed=3).number == 1 + NUMBER_STEP + 1 > lost.number
    assert back.add_version(seed=4) > version
    assert back.check() == 1 + NUMBER_STEP + 1
    assert [release.number for release in published_releases(back.federation, "machines")] == [1, NUMBER_STEP + 2]


@pytest.mark.parametrize("since", [("timestamp",), ("targets", "snapshot"), ("rollout",)], ids="-".join)
def test_keys_that_were_rotated_since_are_rotated_back_by_the_lift(
    works: Works, tmp_path: Path, since: tuple[str, ...]
) -> None:
    file = saved(works.federation, tmp_path / "all.tar")
    for what in since:
        rotate(works.federation, works.store, what)  # type: ignore[arg-type]
    renew(works.federation)
    works.publish(seed=2)
    assert works.check() == 2
    back = bring_back(works, file)
    lift(back.federation, back.store)
    back.publish(seed=3)
    assert back.check() == NUMBER_STEP + 2


def test_a_lift_without_root_keys_says_so_and_does_the_rest(works: Works, tmp_path: Path) -> None:
    file = saved(works.federation, tmp_path / "all.tar")
    works.publish(seed=2)
    assert works.check() == 2
    back = bring_back(works, file)
    for name in ("root1", "root2"):
        (back.federation.keys / f"{name}.key").unlink()
    assert lift(back.federation, back.store).roots_lifted is False
    back.look()
    assert back.serving() == 1


def test_a_backup_can_be_lifted_twice(works: Works, tmp_path: Path) -> None:
    back = bring_back(works, saved(works.federation, tmp_path / "all.tar"))
    first = lift(back.federation, back.store)
    second = lift(back.federation, back.store)
    assert second.timestamp > first.timestamp
    assert second.releases == first.releases + NUMBER_STEP
    assert back.check() is None
    assert Repository(back.federation).root().version == 17


def test_a_device_that_charged_more_than_the_backup_knows_goes_on(tmp_path: Path) -> None:
    """Privacy rule 11: the coordinator is the one that is behind, and the device's own ledger is the larger number."""
    device = Device(tmp_path)
    device.charge("a")
    with device.session() as sequence:
        sequence.reconcile()
    older = _copy(device, tmp_path / "older.db")
    for request in ("b", "c"):
        device.charge(request, ROUND)
        with device.session() as sequence:
            sequence.countersign()
    spent = device.spent()
    _bring_back(device, older)
    assert device.peer.latest().receipt is not None
    with device.session() as sequence:
        sequence.reconcile()
    found = standing(AgentHome(device.home.path))
    assert (found.number, found.declines) == (3, "")
    assert "the coordinator went back from charge 3 to 1" in found.note
    receipt = device.peer.latest().receipt
    assert receipt is not None
    assert receipt.number == 3
    assert device.spent() == spent


def _copy(device: Device, aside: Path) -> Path:
    with closing(sqlite3.connect(device.peer.folder / "covey.db")) as source, closing(sqlite3.connect(aside)) as target:
        source.backup(target)
    return aside


def _bring_back(device: Device, aside: Path) -> None:
    device.peer.store.close()
    database = device.peer.folder / "covey.db"
    for suffix in ("-wal", "-shm"):
        database.with_name(f"{database.name}{suffix}").unlink(missing_ok=True)
    shutil.copy(aside, database)
    device.peer.store = Store(database)
    device.peer.sequences = Sequences(device.peer.store, device.peer.folder)
