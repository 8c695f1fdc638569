"""More that a repository, a network, or a thief of keys may try: data without end, no answer, thresholds, revoked keys.

`test_tuf_attacks.py` has the rest. Each attack leaves the device on the release that served before, and says why.
"""

import json
import re
import shutil
import socket
import ssl
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from forging import AUTHORITY, HOST, SERVER
from releasing import DirectoryFetcher, Works, build_works
from tuf.api.metadata import Metadata, MetaFile, Root, Signed, Timestamp

from client import trust
from client.config import AgentHome
from client.inference import Predictor
from client.updates import Updates
from client.updating import TaskUpdate
from server import repository as repository_module
from server.config import Federation
from server.releases import create_repository, publish_task
from server.repository import Repository
from server.store import Store
from shared.errors import CoveyError, ReleaseError, Unreachable


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A device that runs release 1; release 2 is signed."""
    folder = tmp_path_factory.mktemp("built")
    works = build_works(folder)
    works.publish(seed=1)
    assert works.check() == 1
    works.publish(seed=2)
    works.store.close()
    return folder


@pytest.fixture
def works(built: Path, tmp_path: Path) -> Iterator[Works]:
    shutil.copytree(built, tmp_path, dirs_exist_ok=True)
    federation = Federation(tmp_path / "federation")
    store = Store(federation.database)
    task = store.task("machines")
    yield Works(federation=federation, store=store, task=task, home=AgentHome(tmp_path / "agent"))
    store.close()


def file_at(works: Works, name: str) -> Path:
    return works.repository / "metadata" / name


def new_key(works: Works, name: str) -> None:
    """Put a key that nobody knows where the role's own is."""
    key = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    file = works.federation.keys / f"{name}.key"
    file.unlink(missing_ok=True)
    file.write_bytes(key)


def write(works: Works, signed: Signed, name: str, *signers: str, full: bool = True) -> bytes:
    """Sign a role with whichever keys, and put it where it belongs."""
    metadata = Metadata[Any](signed)
    for signer in signers:
        metadata.sign(Repository(works.federation)._signer(signer), append=True)
    data = metadata.to_bytes()
    if full:
        file_at(works, name).write_bytes(data)
    return data


def refused(works: Works) -> str:
    """What a look at the releases says that ends in nothing; the device is as it was."""
    before, answer = works.serving(), Predictor(works.home).predict({"load": 0.5}).scores
    with pytest.raises(CoveyError) as refusal:
        works.check()
    assert works.serving() == before
    assert Predictor(works.home).predict({"load": 0.5}).scores == answer
    return str(refusal.value)


# -- rollback -------------------------------------------------------------------------------


def an_older_timestamp(works: Works) -> None:
    timestamp = Repository(works.federation).timestamp()
    timestamp.version = 1
    write(works, timestamp, "timestamp.json", "timestamp")


def a_newer_timestamp_of_an_older_snapshot(works: Works) -> None:
    repository = Repository(works.federation)
    assert works.check() == 2
    timestamp = repository.timestamp()
    older = timestamp.snapshot_meta.version - 1
    data = file_at(works, f"{older}.snapshot.json").read_bytes()
    timestamp.snapshot_meta = MetaFile.from_data(older, data, ["sha256"])
    timestamp.version += 1
    write(works, timestamp, "timestamp.json", "timestamp")


def a_snapshot_that_forgets_the_targets(works: Works) -> None:
    repository = Repository(works.federation)
    snapshot = repository.snapshot()
    snapshot.version += 1
    del snapshot.meta["targets.json"]
    repository._commit_snapshot(snapshot)


def a_root_of_the_first_version_as_the_second(works: Works) -> None:
    shutil.copy(file_at(works, "1.root.json"), file_at(works, "2.root.json"))


def a_root_that_skips_a_version(works: Works) -> None:
    root = Repository(works.federation).root()
    root.version = 3
    write(works, root, "2.root.json", "root1", "root2")


# -- freeze ---------------------------------------------------------------------------------


def expired(works: Works, role: str, renew: Callable[[Repository], None]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(repository_module.LIFETIME, role, timedelta(hours=-1))
        renew(Repository(works.federation))


def an_expired_snapshot(works: Works) -> None:
    expired(works, "snapshot", Repository.renew_snapshot)


def an_expired_root(works: Works) -> None:
    expired(works, "root", Repository.renew_root)


# -- mix and match --------------------------------------------------------------------------


def another_repository(works: Works) -> Path:
    """Signed as it should be, by another federation."""
    other = Federation(works.federation.home.parent / "other")
    other.home.mkdir()
    create_repository(other)
    publish_task(other, works.task)
    return other.repository / "metadata"


def another_federations_metadata(works: Works) -> None:
    for file in another_repository(works).glob("[!1]*.json"):
        shutil.copy(file, file_at(works, file.name))
    shutil.copy(another_repository_file(works, "timestamp.json"), file_at(works, "timestamp.json"))


def another_repository_file(works: Works, name: str) -> Path:
    return works.federation.home.parent / "other" / "tuf" / "metadata" / name


def another_federations_root(works: Works) -> None:
    other = Metadata[Root].from_bytes((another_repository(works) / "1.root.json").read_bytes()).signed
    other.version = 2
    file = works.federation.home.parent / "other" / "keys"
    for name in ("root1", "root2"):
        shutil.copy(file / f"{name}.key", works.federation.keys / f"{name}.key")
    write(works, other, "2.root.json", "root1", "root2")


def a_snapshot_of_the_right_version_with_other_content(works: Works) -> None:
    """The snapshot's key is stolen, the timestamp's is not: the timestamp says what the snapshot weighs."""
    snapshot = Repository(works.federation).snapshot()
    snapshot.meta["targets.json"].version += 1
    write(works, snapshot, f"{snapshot.version}.snapshot.json", "snapshot")


def targets_of_the_right_version_with_other_content(works: Works) -> None:
    targets = Repository(works.federation).targets()
    targets.targets = {path: one for path, one in targets.targets.items() if "/2/" not in path}
    write(works, targets, f"{targets.version}.targets.json", "targets")


def targets_as_a_snapshot(works: Works) -> None:
    repository = Repository(works.federation)
    timestamp, version = repository.timestamp(), repository.targets().version
    data = file_at(works, f"{version}.targets.json").read_bytes()
    number = timestamp.snapshot_meta.version + 1
    file_at(works, f"{number}.snapshot.json").write_bytes(data)
    timestamp.snapshot_meta = MetaFile.from_data(number, data, ["sha256"])
    timestamp.version += 1
    write(works, timestamp, "timestamp.json", "timestamp")


# -- wrong keys, and thresholds -------------------------------------------------------------


def a_snapshot_by_a_stranger(works: Works) -> None:
    new_key(works, "snapshot")
    Repository(works.federation).renew_snapshot()


def a_role_by_another_roles_key(works: Works) -> None:
    """Each key is for its role alone: the timestamp's, which is online, may not sign targets."""
    repository = Repository(works.federation)
    targets, snapshot = repository.targets(), repository.snapshot()
    targets.version += 1
    data = write(works, targets, f"{targets.version}.targets.json", "timestamp", "snapshot")
    snapshot.version += 1
    snapshot.meta["targets.json"] = MetaFile.from_data(targets.version, data, ["sha256"])
    repository._commit_snapshot(snapshot)


def no_signature_at_all(works: Works) -> None:
    timestamp = Repository(works.federation).timestamp()
    timestamp.version += 1
    write(works, timestamp, "timestamp.json")


def next_root(works: Works, *signers: str, change: Callable[[Root], None] = lambda _: None) -> None:
    root = Repository(works.federation).root()
    root.version += 1
    change(root)
    write(works, root, f"{root.version}.root.json", *signers)


def one_root_key_of_two(works: Works) -> None:
    next_root(works, "root2")


def one_root_key_that_signs_twice(works: Works) -> None:
    next_root(works, "root1")
    file = file_at(works, "2.root.json")
    document = json.loads(file.read_bytes())
    document["signatures"] *= 2
    file.write_bytes(json.dumps(document).encode())


def one_root_key_under_two_names(works: Works) -> None:
    """The same signature, once more under the name of a key that did not sign."""
    next_root(works, "root1")
    file = file_at(works, "2.root.json")
    document = json.loads(file.read_bytes())
    (made,) = document["signatures"]
    others = [keyid for keyid in document["signed"]["roles"]["root"]["keyids"] if keyid != made["keyid"]]
    document["signatures"] += [{"keyid": keyid, "sig": made["sig"]} for keyid in others]
    file.write_bytes(json.dumps(document).encode())


def strangers(works: Works, root: Root) -> None:
    for name in ("evil1", "evil2"):
        new_key(works, name)
        root.add_key(Repository(works.federation)._signer(name).public_key, "root")


def a_root_that_only_its_new_keys_sign(works: Works) -> None:
    next_root(works, "evil1", "evil2", change=lambda root: strangers(works, root))


def a_root_of_one_old_key_and_two_new_ones(works: Works) -> None:
    next_root(works, "root1", "evil1", "evil2", change=lambda root: strangers(works, root))


def a_root_that_its_new_keys_did_not_sign(works: Works) -> None:
    """Two of the old keys sign, but the new root asks for keys that never said yes."""

    def only_strangers(root: Root) -> None:
        for keyid in list(root.roles["root"].keyids):
            root.revoke_key(keyid, "root")
        strangers(works, root)

    next_root(works, "root1", "root2", change=only_strangers)


def a_threshold_of_none(works: Works) -> None:
    """One root key tries to let everybody sign."""
    next_root(works, "root1")
    file = file_at(works, "2.root.json")
    document = json.loads(file.read_bytes())
    document["signed"]["roles"]["root"]["threshold"] = 0
    file.write_bytes(json.dumps(document).encode())


# -- a key that a new root revoked ----------------------------------------------------------


def rotate(works: Works, role: str) -> Path:
    """Two root keys put another key in the role's place, all is signed anew; returns a copy of the stolen old key."""
    repository, stolen = Repository(works.federation), works.federation.keys / f"stolen-{role}.key"
    file = works.federation.keys / f"{role}.key"
    old = repository._signer(role).public_key.keyid
    shutil.copy(file, stolen)
    new_key(works, role)
    root = repository.root()
    root.revoke_key(old, role)
    root.add_key(repository._signer(role).public_key, role)
    root.version += 1
    signers = ("root2", "root3", *(["root1"] if role == "root1" else []))
    write(works, root, f"{root.version}.root.json", *signers)
    repository.commit(repository.targets())
    return stolen


def with_a_revoked_key(works: Works, role: str, act: Callable[[Repository], None]) -> None:
    stolen = rotate(works, role)
    works.check()
    shutil.copy(stolen, works.federation.keys / f"{role}.key")
    act(Repository(works.federation))


def a_timestamp_by_a_revoked_key(works: Works) -> None:
    with_a_revoked_key(works, "timestamp", Repository.renew_timestamp)


def a_snapshot_by_a_revoked_key(works: Works) -> None:
    with_a_revoked_key(works, "snapshot", Repository.renew_snapshot)


def targets_by_a_revoked_key(works: Works) -> None:
    with_a_revoked_key(works, "targets", lambda repository: repository.commit(repository.targets()))


def a_root_by_a_revoked_root_key(works: Works) -> None:
    """It was one of three, two of which sign; revoked, it is none."""

    def replace_first(root: Root) -> None:
        root.revoke_key(Repository(works.federation)._signer("root1").public_key.keyid, "root")
        new_key(works, "root4")
        root.add_key(Repository(works.federation)._signer("root4").public_key, "root")

    next_root(works, "root2", "root3", change=replace_first)
    works.check()
    next_root(works, "root1", "root2")


# -- documents that no repository writes ----------------------------------------------------


def timestamp_of(works: Works, change: Callable[[dict[str, Any]], None]) -> None:
    """Change what a timestamp says and sign that, as the thief of its key would."""
    timestamp = Repository(works.federation).timestamp()
    timestamp.version += 1
    document = json.loads(Metadata[Timestamp](timestamp).to_bytes())
    change(document["signed"])
    signer = Repository(works.federation)._signer("timestamp")
    from securesystemslib.formats import encode_canonical

    signature = signer.sign(encode_canonical(document["signed"]).encode())
    document["signatures"] = [{"keyid": signature.keyid, "sig": signature.signature}]
    file_at(works, "timestamp.json").write_bytes(json.dumps(document).encode())


def raw(body: bytes) -> Callable[[Works], None]:
    return lambda works: file_at(works, "timestamp.json").write_bytes(body) and None


def says(**fields: Any) -> Callable[[Works], None]:
    return lambda works: timestamp_of(works, lambda signed: signed.update(fields))


DOCUMENTS: dict[str, Callable[[Works], None]] = {
    "nothing": raw(b""),
    "brackets": raw(b"[" * 16_000),
    "a number": raw(b"1"),
    "null": raw(b"null"),
    "half a character": raw(b'{"signed": "\\ud800", "signatures": []}'),
    "no UTF-8": raw(b'{"signed": "\xff"}'),
    "NaN": raw(b'{"signed": NaN, "signatures": []}'),
    "an integer without end": raw(b'{"signed": ' + b"9" * 8000 + b', "signatures": []}'),
    "another role's type": says(_type="root"),
    "a type that is none": says(_type="anything"),
    "a version of another specification": says(spec_version="2.0.0"),
    "a version that is no number": says(version="9"),
    "a version below one": says(version=-1),
    "a version that is a float": lambda works: raw(
        re.sub(rb'"version": *([0-9]+)', rb'"version": \1.5', file_at(works, "timestamp.json").read_bytes())
    )(works),
    "an end that is no date": says(expires="tomorrow"),
    "an end before Christ": says(expires="-001-01-01T00:00:00Z"),
    "no snapshot": says(meta={}),
    "two of everything": says(meta={"snapshot.json": {"version": 1}, "other.json": {"version": 1}}),
}


def test_a_document_that_no_repository_writes_is_refused(works: Works) -> None:
    whole = file_at(works, "timestamp.json").read_bytes()
    for name, put in DOCUMENTS.items():
        put(works)
        assert file_at(works, "timestamp.json").read_bytes() != whole, name
        with pytest.raises(ReleaseError):
            works.check()
        file_at(works, "timestamp.json").write_bytes(whole)
    assert (works.serving(), works.check()) == (1, 2)


ATTACKS: dict[str, list[Callable[[Works], None]]] = {
    "rollback": [
        an_older_timestamp, a_newer_timestamp_of_an_older_snapshot, a_snapshot_that_forgets_the_targets,
        a_root_of_the_first_version_as_the_second, a_root_that_skips_a_version,
    ],
    "freeze": [an_expired_snapshot, an_expired_root],
    "mix and match": [
        another_federations_metadata, another_federations_root, a_snapshot_of_the_right_version_with_other_content,
        targets_of_the_right_version_with_other_content, targets_as_a_snapshot,
    ],
    "wrong keys": [a_snapshot_by_a_stranger, a_role_by_another_roles_key, no_signature_at_all],
    "threshold": [
        one_root_key_of_two, one_root_key_that_signs_twice, one_root_key_under_two_names,
        a_root_that_only_its_new_keys_sign, a_root_of_one_old_key_and_two_new_ones,
        a_root_that_its_new_keys_did_not_sign, a_threshold_of_none,
    ],
    "revoked": [
        a_timestamp_by_a_revoked_key, a_snapshot_by_a_revoked_key, targets_by_a_revoked_key,
        a_root_by_a_revoked_root_key,
    ],
}  # fmt: skip
SAYS = {
    "freeze": "expired",
    "wrong keys": "nobody whom this device trusts",
    "revoked": "nobody whom this device trusts",
}


@pytest.mark.parametrize(
    ("kind", "attack"),
    [(kind, attack) for kind, attacks in ATTACKS.items() for attack in attacks],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_an_attack_on_the_metadata_leaves_the_device_as_it_was(
    kind: str, attack: Callable[[Works], None], works: Works
) -> None:
    attack(works)
    assert SAYS.get(kind, "") in refused(works)


@pytest.mark.parametrize("role", ["timestamp", "snapshot", "targets"])
def test_a_key_that_was_rotated_is_followed(role: str, works: Works) -> None:
    """So that what is refused above is refused for the key."""
    rotate(works, role)
    works.publish(seed=3)
    assert works.check() == 3


def test_a_thief_who_ran_ahead_is_forgotten_with_the_key(works: Works) -> None:
    """Fast-forward: versions near their end, so that nothing of the owner's own would ever be newer again."""
    repository = Repository(works.federation)
    timestamp = repository.timestamp()
    timestamp.version = 2**31
    write(works, timestamp, "timestamp.json", "timestamp")
    assert works.check() == 2
    timestamp.version = 5
    write(works, timestamp, "timestamp.json", "timestamp")
    assert "does not hold together" in refused(works)
    rotate(works, "timestamp")
    works.publish(seed=3)
    assert works.check() == 3


# -- what a stolen targets key can sign: a release whose words do not fit --------------------


CUSTOM: dict[str, Callable[[dict[str, Any]], Any]] = {
    "nothing": lambda _: None,
    "a list": lambda custom: [custom],
    "no artifacts": lambda custom: custom | {"artifacts": {}},
    "a field more": lambda custom: custom | {"seed": 7},
    "a field less": lambda custom: {name: value for name, value in custom.items() if name != "version"},
    "a number that is a word": lambda custom: custom | {"number": "3"},
    "a path beside the repository": lambda custom: (
        custom | {"artifacts": {**custom["artifacts"], "fp32": {**custom["artifacts"]["fp32"], "path": "../../keys/root1.key"}}}
    ),
    "another task's path": lambda custom: (
        custom | {"artifacts": {**custom["artifacts"], "fp32": {**custom["artifacts"]["fp32"], "path": "tasks/machines.json"}}}
    ),
    "an artifact that nobody knows": lambda custom: (
        custom | {"artifacts": {**custom["artifacts"], "code": custom["artifacts"]["fp32"]}}
    ),
    "a recipe that nobody knows": lambda custom: custom | {"recipe": "qdq-2"},
    "a reference without answers": lambda custom: custom | {"reference": {"seed": 1, "scores": []}},
}  # fmt: skip


def test_a_release_whose_words_do_not_fit_is_refused_and_what_served_goes_on(works: Works) -> None:
    repository = Repository(works.federation)
    (file,) = (works.repository / "targets" / "releases" / "machines" / "2").glob("*.fp32.onnx")
    body, path = file.read_bytes(), "releases/machines/{}/fp32.onnx"
    custom = repository.targets().targets[path.format(2)].unrecognized_fields["custom"]
    for number, change in enumerate(CUSTOM.values(), start=3):
        targets = repository.targets()
        repository.add(targets, path.format(number), body, change({**custom, "number": number}))
        repository.commit(targets)
        assert refused(works)
    assert works.serving() == 1


# -- data without end -----------------------------------------------------------------------


class Endless(DirectoryFetcher):
    """Serves one file without end, and counts what was taken of it."""

    def __init__(self, repository: Path, name: str) -> None:
        super().__init__(repository)
        self._name, self.taken = name, 0

    def _fetch(self, url: str) -> Iterator[bytes]:
        if not url.endswith(self._name):
            yield from super()._fetch(url)
            return
        body = b"".join(super()._fetch(url)) if (self.repository / url.partition("/tuf/")[2]).is_file() else b"{"
        self.taken += len(body)
        yield body
        while True:
            self.taken += 4096
            yield b" " * 4096


def look(works: Works, fetcher: DirectoryFetcher) -> TaskUpdate:
    (found,) = Updates(works.home, fetcher=fetcher).check().tasks
    return found


@pytest.mark.parametrize(
    ("name", "most"),
    [("timestamp.json", 16_384), ("2.root.json", 512_000), (".snapshot.json", 0), (".targets.json", 0), (".onnx", 0),
     (".machines.json", 0), (".delta.bin", 0)],
)  # fmt: skip
def test_data_without_end_is_cut_at_its_length(name: str, most: int, works: Works) -> None:
    """The signed length where there is one, else a fixed one; a delta that has no end costs no more than itself."""
    fetcher = Endless(works.repository, name)
    if name == ".delta.bin":
        assert look(works, fetcher).release == 2
    elif most or name in {".snapshot.json", ".targets.json"}:
        with pytest.raises(ReleaseError, match="longer than what was signed"):
            look(works, fetcher)
    else:
        publish_task(works.federation, replace(works.task, revision=2))
        for delta in works.repository.rglob("*.delta.bin"):
            delta.unlink()
        assert "longer than what was signed" in look(works, fetcher).reason
    signed = [file.stat().st_size for file in works.repository.rglob(f"*{name}")]
    assert 0 < fetcher.taken <= max([most, *signed]) + 2 * 4096
    assert works.serving() == (2 if name == ".delta.bin" else 1)


# -- a server that takes its time -----------------------------------------------------------


class Slow:
    """A TLS server that answers each request with the head that it was given, and then a byte now and then, or none."""

    def __init__(self, folder: Path, head: bytes, drip: bytes) -> None:
        authority = AUTHORITY.signed_by(None)
        made = SERVER.signed_by(authority)
        file = folder / "slow.pem"
        pem = made.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        file.write_bytes(pem + made.pem)
        self.ca, self._head, self._drip, self._over = authority.pem, head, drip, Event()
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(file)
        self._listening = socket.create_server((HOST, 0))
        self.port = self._listening.getsockname()[1]
        Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while not self._over.is_set():
            try:
                one, _ = self._listening.accept()
                with self._context.wrap_socket(one, server_side=True) as spoken:
                    spoken.recv(65_536)
                    spoken.sendall(self._head)
                    while not self._over.wait(0.02):
                        spoken.sendall(self._drip)
            except OSError:
                continue

    def close(self) -> None:
        self._over.set()
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()


HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n"


@pytest.mark.parametrize(
    ("head", "drip", "says"),
    [(HEAD, b" ", "took longer than"), (HEAD, b"", "timed out"), (b"", b"", "timed out")],
    ids=["a byte now and then", "a head and nothing more", "nothing"],
)
def test_a_server_that_takes_its_time_is_given_up(
    head: bytes, drip: bytes, says: str, works: Works, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a whole file may take is bounded, and what each part of it; a look as a whole, by its child's deadline."""
    monkeypatch.setattr(trust, "TIMEOUT_SECONDS", 0.3)
    monkeypatch.setattr(trust, "PATIENCE_SECONDS", 0.5)
    slow = Slow(tmp_path, head, drip)
    text = works.home.settings_file.read_text(encoding="utf-8")
    works.home.settings_file.write_text(text.replace('"coordinator"', f'"{HOST}:{slow.port}"'), encoding="utf-8")
    works.home.authority.write_bytes(slow.ca)
    try:
        with pytest.raises(Unreachable, match=says):
            Updates(works.home).check()
    finally:
        slow.close()
    assert works.serving() == 1


@pytest.mark.proof
def test_a_root_cannot_be_rotated_without_end(works: Works) -> None:
    """A repository that always has one more root costs 256 small files a look and no more."""
    root = Repository(works.federation).root()
    for _ in range(300):
        root.version += 1
        write(works, root, f"{root.version}.root.json", "root1", "root2")
    fetcher = DirectoryFetcher(works.repository)
    look(works, fetcher)
    assert sum(path.endswith(".root.json") for path in fetcher.asked) == 256
