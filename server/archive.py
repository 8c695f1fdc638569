"""The form of a backup: a tar, or one packed by Zstandard, whose last member lists every other with its SHA-256.

Because the list comes last, a file that was cut short has none, and is no backup.
"""

import hashlib
import io
import os
import secrets
import tarfile
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, cast

import zstandard

from server.leftovers import occupied
from shared import wire
from shared.errors import InputError, WireError
from shared.files import sync

LIST = "manifest.json"
_CHUNK = 1 << 20
_MOST_LIST_BYTES = 64 * 2**20

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a backup holds: of which federation, made when (Unix time), by which schema, and each file's SHA-256 by path.

    `with_keys` says whether the private keys are among them.
    """

    format: int
    federation: str
    made_at: float
    schema: int
    with_keys: bool
    files: dict[str, str]

    def __post_init__(self) -> None:
        """Refuse names that lead anywhere but into the federation's directory."""
        for name in self.files:
            path = PurePosixPath(name)
            if path.is_absolute() or not path.parts or ".." in path.parts or path.as_posix() != name:
                raise ValueError(f"a backup cannot hold a file called {name!r}")


class Packer:
    """Writes one backup, member by member, and remembers their hashes."""

    def __init__(self, tar: tarfile.TarFile) -> None:
        self._tar = tar
        self.files: dict[str, str] = {}

    def add(self, name: str, file: Path) -> int:
        """Pack a file under a name; returns its bytes."""
        with file.open("rb") as source:
            member = _member(name, os.fstat(source.fileno()).st_size, mode=file.stat().st_mode & 0o700)
            hashing = _Hashing(source, most=member.size)
            self._tar.addfile(member, cast("IO[bytes]", hashing))
        self.files[name] = hashing.digest.hexdigest()
        return member.size

    def close(self, manifest: Manifest) -> None:
        """Pack the list, which makes a backup of it."""
        body = wire.to_json(manifest)
        self._tar.addfile(_member(LIST, len(body), mode=0o600), io.BytesIO(body))


@contextmanager
def packing(target: Path) -> Generator[Packer]:
    """Write a backup to `target`, which appears when it is whole, readable by its owner alone."""
    draft = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file, occupied(draft):
            with _packed(file, target) as stream, tarfile.open(fileobj=stream, mode="w|") as tar:
                yield Packer(tar)
            file.flush()
            os.fsync(file.fileno())
            draft.replace(target)
        sync(target.parent)
    except OSError as error:
        # A write names no file.
        error.filename = error.filename or str(target)
        raise
    finally:
        draft.unlink(missing_ok=True)


def unpack(source: Path, folder: Path) -> Manifest:
    """Unpack a backup into an empty `folder` and hold every file against its hash.

    Raise `InputError` where it is no backup, is cut short or damaged, or names anything but files inside the folder.
    """
    try:
        with source.open("rb") as file, _unpacked(file, source) as stream:
            body = _unpack_members(stream, folder)
    except (tarfile.TarError, zstandard.ZstdError, EOFError) as error:
        raise InputError(f"{source} is no whole backup ({error}); take another one") from None
    if body is None:
        raise InputError(f"{source} is no whole backup: its list of files is missing; take another one")
    try:
        manifest = wire.from_json(Manifest, body, what=LIST)
    except WireError as error:
        raise InputError(f"{source} cannot be used: {error}") from None
    _compare(manifest, folder, source)
    return manifest


def _unpack_members(stream: IO[bytes], folder: Path) -> bytes | None:
    """Write the files; returns the list's bytes. Python's own `data` filter keeps names and links inside the folder."""
    body = None
    with tarfile.open(fileobj=stream, mode="r|") as tar:
        for member in tar:
            if not member.isreg():
                raise InputError(f"a backup holds files alone, and {member.name!r} is none; take another one")
            if member.name == LIST and member.size <= _MOST_LIST_BYTES:
                found = tar.extractfile(member)
                body = found.read() if found else None
            else:
                tar.extract(member, folder, filter="data")
    return body


def _compare(manifest: Manifest, folder: Path, source: Path) -> None:
    found = {file.relative_to(folder).as_posix(): file for file in files_in(folder)}
    if strange := sorted(found.keys() ^ manifest.files.keys()):
        raise InputError(f"{source} is damaged: {strange[0]} is missing, or nobody listed it; take another one")
    for name, file in found.items():
        with file.open("rb") as opened:
            digest = hashlib.file_digest(opened, "sha256").hexdigest()
        if digest != manifest.files[name]:
            raise InputError(f"{source} is damaged: {name} is not the file that was backed up; take another one")


def files_in(folder: Path) -> Iterator[Path]:
    """Every plain file below a folder, by name; links are not followed."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink():
            yield path


class _Hashing:
    """A file that is hashed as it is read, up to `most` bytes."""

    def __init__(self, source: IO[bytes], *, most: int) -> None:
        self._source, self._left = source, most
        self.digest = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        """The next bytes."""
        data = self._source.read(self._left if size < 0 else min(size, self._left))
        self._left -= len(data)
        self.digest.update(data)
        return data


def _member(name: str, size: int, *, mode: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size, member.mode, member.mtime = size, mode, int(time.time())
    return member


@contextmanager
def _packed(file: IO[bytes], target: Path) -> Generator[IO[bytes]]:
    if target.suffix != ".zst":
        yield file
        return
    with zstandard.ZstdCompressor(level=6, write_checksum=True).stream_writer(file, closefd=False) as stream:
        yield cast("IO[bytes]", stream)


@contextmanager
def _unpacked(file: IO[bytes], source: Path) -> Generator[IO[bytes]]:
    if source.suffix != ".zst":
        yield file
        return
    with zstandard.ZstdDecompressor().stream_reader(file, read_size=_CHUNK) as stream:
        yield cast("IO[bytes]", stream)
