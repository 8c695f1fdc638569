"""The files of a TUF repository: how its roles are read, signed, and written so that no client sees half of it.

One writer holds the lock. Targets and snapshots are new files; the timestamp, written last, is what
clients follow, so a crash before it costs nothing but the attempt (TUF specification 1.0, section 6.2).
The targets delegate `rollout/*` to the online role `rollout`, and no more.
"""

# pyright: reportPrivateImportUsage=false
# TUF documents these names here, though its modules do not mark them as exported.

import fcntl
import os
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from securesystemslib.signer import CryptoSigner, SSlibKey
from tuf.api.metadata import (
    DelegatedRole,
    Delegations,
    Key,
    Metadata,
    MetaFile,
    Root,
    Signed,
    Snapshot,
    TargetFile,
    Targets,
    Timestamp,
)
from tuf.api.serialization import DeserializationError

from server.config import Federation
from server.role_keys import ROLE_KEYS, ROLLOUT_KEY, ROOT_KEYS, make_keys, read_key, signing
from shared.errors import InputError, ReleaseError
from shared.files import write_whole
from shared.rollout import PATH as ROLLOUT

S = TypeVar("S", bound=Signed)

ROOT_THRESHOLD = 2
LISTED = ("targets.json", f"{ROLLOUT}.json")
"""All that a snapshot of ours lists."""

LIFETIME = {
    "root": timedelta(days=365),
    "targets": timedelta(days=90),
    ROLLOUT: timedelta(days=7),
    "snapshot": timedelta(days=7),
    "timestamp": timedelta(days=1),
}


def rollout_path(task: str) -> str:
    """The only target of a task that the rollout role may sign."""
    return f"{ROLLOUT}/{task}.json"


def published_tasks(targets: Targets) -> list[str]:
    """The tasks that the targets sign, by name."""
    tasks = (PurePosixPath(path) for path in targets.targets if path.startswith("tasks/"))
    return sorted(path.stem for path in tasks)


@dataclass(frozen=True, slots=True)
class Repository:
    """The signed repository of a federation."""

    federation: Federation
    step: int = 1
    """By how much versions rise when a role is signed anew; more than one after a restored backup."""

    @property
    def metadata(self) -> Path:
        """Where the roles' files lie."""
        return self.federation.repository / "metadata"

    def exists(self) -> bool:
        """Whether a first publication was completed."""
        return (self.metadata / "timestamp.json").exists()

    @contextmanager
    def locked(self) -> Generator[None]:
        """One writer at a time, across processes; the lock goes with the process that holds it."""
        _make_public(self.federation.repository, "metadata")
        descriptor = os.open(self.federation.repository / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    # -- reading, from the timestamp on, as a client does -------------------------------------

    def timestamp(self) -> Timestamp:
        """The role that clients follow."""
        return self._read("timestamp.json", Timestamp)

    def snapshot(self) -> Snapshot:
        """The snapshot in force."""
        return self._read(f"{self.timestamp().snapshot_meta.version}.snapshot.json", Snapshot)

    def targets(self) -> Targets:
        """The targets in force."""
        return self._read(f"{self.snapshot().meta['targets.json'].version}.targets.json", Targets)

    def rollout(self) -> Targets | None:
        """What the rollout role signs now; None where the targets delegate nothing to it yet."""
        meta = self.snapshot().meta.get(f"{ROLLOUT}.json")
        return self._read(f"{meta.version}.{ROLLOUT}.json", Targets) if meta else None

    def own_rollout(self) -> Targets | None:
        """What the rollout role may go on saying: a document of each published task.

        Whatever else it holds, such as roles of its own, a thief of its key put there: it ends with the next signature.
        """
        if (signed := self.rollout()) is None:
            return None
        own = {rollout_path(task) for task in published_tasks(self.targets())}
        return Targets(targets={path: target for path, target in signed.targets.items() if path in own})

    def root(self) -> Root:
        """The newest root."""
        versions = (int(file.name.partition(".")[0]) for file in self.metadata.glob("*.root.json"))
        return self._read(f"{max(versions, default=1)}.root.json", Root)

    def _read(self, name: str, kind: type[S]) -> S:
        file = self.metadata / name
        try:
            signed = Metadata[Any].from_bytes(file.read_bytes()).signed
        except FileNotFoundError:
            raise InputError(f"{file} is missing; make a federation with `covey init`, or restore a backup") from None
        except DeserializationError as error:
            raise ReleaseError(f"{file} is damaged ({error}); restore the repository from a backup") from None
        if not isinstance(signed, kind):
            raise ReleaseError(f"{file} is another role's; restore the repository from a backup")
        return signed

    # -- writing, with the lock held ------------------------------------------------------------

    def begin(self) -> None:
        """Make the keys, the first root, and empty targets."""
        make_keys(self.federation.keys)
        root = Root(consistent_snapshot=True)
        for name in ROOT_KEYS:
            root.add_key(self._signer(name).public_key, "root")
        for role in ROLE_KEYS:
            root.add_key(self._signer(role).public_key, role)
        root.roles["root"].threshold = ROOT_THRESHOLD
        self._write(root, "1.root.json", signers=ROOT_KEYS[:ROOT_THRESHOLD])
        self.commit(Targets(version=1))

    def add(self, targets: Targets, path: str, body: bytes, custom: dict[str, Any]) -> None:
        """Write a target under its hash, where consistent snapshots look for it, and list it."""
        target = TargetFile.from_data(path, body, ["sha256"])
        target.unrecognized_fields["custom"] = custom
        folder, _, name = path.rpartition("/")
        file = self.federation.repository / "targets" / folder / f"{target.hashes['sha256']}.{name}"
        _make_public(self.federation.repository, f"targets/{folder}")
        write_whole(file, body, exactly=True)
        targets.targets[path] = target

    def commit(self, targets: Targets, *, rollout: Targets | None = None, new_snapshot_key: bool = False) -> None:
        """Sign the targets, a snapshot of them, and the timestamp that makes both count.

        The rollout role is signed too where its key is new: in a repository that had none, or after a rotation. It then
        says `rollout`, by default what it may go on saying.

        A snapshot forgets roles of other names under a `new_snapshot_key` alone: a device that saw such a role takes no
        snapshot without it, until the key by which it saw the role counts no more (TUF specification 1.0, section 5.3).
        """
        snapshot = Snapshot(version=1)
        if self.exists():
            targets.version = self.targets().version + self.step
            snapshot = self._next_snapshot()
        if new_snapshot_key:
            snapshot.meta = {name: meta for name, meta in snapshot.meta.items() if name in LISTED}
        if self._delegate(targets):
            said = rollout or (self.own_rollout() if self.exists() else None)
            self._sign_rollout(said or Targets(version=1), snapshot)
        data = self._write(targets, f"{targets.version}.targets.json")
        snapshot.meta["targets.json"] = MetaFile.from_data(targets.version, data, ["sha256"])
        self._commit_snapshot(snapshot)

    def commit_rollout(self, rollout: Targets) -> None:
        """Sign what the rollout role says, and snapshot and timestamp: no key but the three online ones."""
        snapshot = self._next_snapshot()
        self._sign_rollout(rollout, snapshot)
        self._commit_snapshot(snapshot)

    def renew_snapshot(self) -> None:
        """Sign snapshot and timestamp anew, nothing else changed."""
        self._commit_snapshot(self._next_snapshot())

    def renew_timestamp(self) -> None:
        """Sign the timestamp anew, nothing else changed."""
        timestamp = self.timestamp()
        timestamp.version += self.step
        self._write(timestamp, "timestamp.json")

    def renew_root(self, root: Root | None = None) -> None:
        """Sign the root, or what is to take its place, as its next version."""
        root, signers = root or self.root(), self.root_signers()
        root.version += 1
        self._write(root, f"{root.version}.root.json", signers=signers)

    def root_signers(self) -> tuple[str, ...]:
        """The root keys that are here; raise `InputError` where they are too few to sign a root."""
        here, root = signing(self.federation.keys, *ROOT_KEYS), self.root().roles["root"]
        count = len({self.public_key(name).keyid for name in here} & set(root.keyids))
        if count < root.threshold:
            raise InputError(
                f"{self.federation.keys} holds {count} of the keys {', '.join(ROOT_KEYS)}, and {root.threshold} must sign; "
                "put them back for as long as this takes"
            )
        return here

    def has_root_keys(self) -> bool:
        """Whether enough root keys are here to sign a root."""
        try:
            self.root_signers()
        except InputError:
            return False
        return True

    def holds(self, name: str) -> bool:
        """Whether a private key is here."""
        return (self.federation.keys / f"{name}.key").exists()

    def public_key(self, name: str) -> Key:
        """The public half of a key that is here."""
        return self._signer(name).public_key

    def _delegate(self, targets: Targets) -> bool:
        """Name the rollout key in the targets; whether the role is to be signed anew because of that.

        The delegation ends the search, so that nothing else can answer for these paths. A key is made once only: one
        that was lost is asked for, not replaced.
        """
        known = targets.delegations
        if known is None:
            make_keys(self.federation.keys, ROLLOUT_KEY)
        key = self.public_key(signing(self.federation.keys, ROLLOUT_KEY)[-1])
        if known is not None and key.keyid in known.keys:
            return False
        role = DelegatedRole(ROLLOUT, [key.keyid], 1, terminating=True, paths=[f"{ROLLOUT}/*"])
        targets.delegations = Delegations({key.keyid: key}, {ROLLOUT: role})
        return True

    def _sign_rollout(self, rollout: Targets, snapshot: Snapshot) -> None:
        """Sign the role's next version, and list it in a snapshot that is yet to be signed."""
        name = f"{ROLLOUT}.json"
        rollout.version = snapshot.meta[name].version + self.step if name in snapshot.meta else 1
        data = self._write(rollout, f"{rollout.version}.{name}", role=ROLLOUT, signers=(ROLLOUT_KEY,))
        snapshot.meta[name] = MetaFile.from_data(rollout.version, data, ["sha256"])

    def _next_snapshot(self) -> Snapshot:
        snapshot = self.snapshot()
        snapshot.version += self.step
        return snapshot

    def _commit_snapshot(self, snapshot: Snapshot) -> None:
        data = self._write(snapshot, f"{snapshot.version}.snapshot.json")
        timestamp = Timestamp(version=self.timestamp().version + self.step if self.exists() else 1)
        timestamp.snapshot_meta = MetaFile.from_data(snapshot.version, data, ["sha256"])
        self._write(timestamp, "timestamp.json")

    def _write(self, signed: Signed, name: str, *, role: str = "", signers: tuple[str, ...] = ()) -> bytes:
        """Sign a role with a full lifetime ahead, and put its file in place; returns the file's bytes."""
        signed.expires = datetime.now(UTC).replace(microsecond=0) + LIFETIME[role or signed.type]
        metadata = Metadata[Any](signed)
        for signer in signing(self.federation.keys, *(signers or (signed.type,))):
            metadata.sign(self._signer(signer), append=True)
        data = metadata.to_bytes()
        write_whole(self.metadata / name, data, exactly=True)
        return data

    def _signer(self, name: str) -> CryptoSigner:
        key = read_key(self.federation.keys, name)
        return CryptoSigner(key, SSlibKey.from_crypto(key.public_key()))


def _make_public(repository: Path, folder: str) -> None:
    """Make a folder below the repository that whoever may enter the federation's directory can read, whatever the umask.

    What is there is left as it is.
    """
    repository.mkdir(parents=True, exist_ok=True)
    path = repository
    for name in PurePosixPath(folder).parts:
        path /= name
        if not path.is_dir():
            path.mkdir()
            path.chmod(0o755)
