"""What a backup leaves behind when it is killed: a copy of the store, or half an archive. Found, and cleared away.

Whoever makes one holds a lock on it, which goes with the process: what nobody holds is left over.
"""

import fcntl
import os
import re
import shutil
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

COPY = ".backup-"
"""How the folder begins that a backup copies the store into."""

_OURS = re.compile(r"\.backup-[a-z0-9_]{8}|\..+\.tar(\.zst)?\.[0-9a-f]{8}")


@contextmanager
def occupied(path: Path) -> Generator[None]:
    """Let nobody take a file or folder for left over while the block runs."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield
    finally:
        os.close(descriptor)


def leftovers(folder: Path) -> Iterator[Path]:
    """What backups of ours that were killed left in a folder; nothing in one that cannot be read."""
    try:
        found = sorted(path for path in folder.iterdir() if _OURS.fullmatch(path.name))
    except OSError:
        return
    yield from (path for path in found if _is_left(path))


def clear(folder: Path) -> None:
    """Remove what was left over in a folder."""
    for path in leftovers(folder):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _is_left(path: Path) -> bool:
    """Ours, closed to others as all that a backup makes, and held by nobody."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        found = os.fstat(descriptor)
        if found.st_uid != os.getuid() or found.st_mode & 0o077:
            return False
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True
