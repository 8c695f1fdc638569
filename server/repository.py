"""The files of a TUF repository: how its roles are read, signed, and written so that no client sees half of it.

One writer holds the lock. Targets and snapshots are new files; the timestamp, written last, is what
clients follow, so a crash before it costs nothing but the attempt (TUF specification 1.0, section 6.2).
"""

# pyright: reportPrivateImportUsage=false
# TUF documents these names here, though its modules do not mark them as exported.

import fcntl
import os
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from securesystemslib.signer import CryptoSigner, SSlibKey
from tuf.api.metadata import Metadata, MetaFile, Root, Signed, Snapshot, TargetFile, Targets, Timestamp
from tuf.api.serialization import DeserializationError

from server.config import Federation
from server.role_keys import ROLE_KEYS, ROOT_KEYS, make_keys, read_key
from shared.errors import InputError, ReleaseError
from shared.files import write_whole

S = TypeVar("S", bound=Signed)

ROOT_THRESHOLD = 2
LIFETIME = {
    "root": timedelta(days=365),
    "targets": timedelta(days=90),
    "snapshot": timedelta(days=7),
    "timestamp": timedelta(days=1),
}


@dataclass(frozen=True, slots=True)
class Repository:
    """The signed repository of a federation."""

    federation: Federation

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
        self.metadata.mkdir(parents=True, exist_ok=True)
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
        file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(file, body)
        targets.targets[path] = target

    def commit(self, targets: Targets) -> None:
        """Sign the targets, a snapshot of them, and the timestamp that makes both count."""
        snapshot = Snapshot(version=1)
        if self.exists():
            targets.version = self.targets().version + 1
            snapshot.version = self.snapshot().version + 1
        data = self._write(targets, f"{targets.version}.targets.json")
        snapshot.meta["targets.json"] = MetaFile.from_data(targets.version, data, ["sha256"])
        self._commit_snapshot(snapshot)

    def renew_snapshot(self) -> None:
        """Sign snapshot and timestamp anew, nothing else changed."""
        snapshot = self.snapshot()
        snapshot.version += 1
        self._commit_snapshot(snapshot)

    def renew_timestamp(self) -> None:
        """Sign the timestamp anew, nothing else changed."""
        timestamp = self.timestamp()
        timestamp.version += 1
        self._write(timestamp, "timestamp.json")

    def renew_root(self) -> None:
        """Sign the root anew as its next version, nothing else changed."""
        root = self.root()
        root.version += 1
        self._write(root, f"{root.version}.root.json", signers=ROOT_KEYS[:ROOT_THRESHOLD])

    def _commit_snapshot(self, snapshot: Snapshot) -> None:
        data = self._write(snapshot, f"{snapshot.version}.snapshot.json")
        timestamp = Timestamp(version=self.timestamp().version + 1 if self.exists() else 1)
        timestamp.snapshot_meta = MetaFile.from_data(snapshot.version, data, ["sha256"])
        self._write(timestamp, "timestamp.json")

    def _write(self, signed: Signed, name: str, *, signers: tuple[str, ...] = ()) -> bytes:
        """Sign a role with a full lifetime ahead, and put its file in place; returns the file's bytes."""
        signed.expires = datetime.now(UTC).replace(microsecond=0) + LIFETIME[signed.type]
        metadata = Metadata[Any](signed)
        for signer in signers or (signed.type,):
            metadata.sign(self._signer(signer), append=True)
        data = metadata.to_bytes()
        write_whole(self.metadata / name, data)
        return data

    def _signer(self, name: str) -> CryptoSigner:
        key = read_key(self.federation.keys, name)
        return CryptoSigner(key, SSlibKey.from_crypto(key.public_key()))
