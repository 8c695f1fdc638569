"""One process a directory: a lock file that names its holder and that no crash leaves behind."""

import fcntl
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from shared.errors import InputError


@contextmanager
def only_one(path: Path, *, what: str) -> Generator[None]:
    """Hold the lock at `path` while the block runs, or raise `InputError` naming the process that holds it."""
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise InputError(
            f"{path} cannot be opened ({error.strerror}), so {what} cannot run; mend or remove it"
        ) from None
    try:
        _take(handle, path, what)
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        # Not unlinked: a waiting process could then lock a file that no longer has a name.
        os.close(handle)


def holder(path: Path) -> int | None:
    """The process that holds the lock at `path`, or None."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _named(handle)
    else:
        return None
    finally:
        os.close(handle)


def is_held_here(path: Path) -> bool:
    """Whether this very process holds the lock at `path`."""
    return holder(path) == os.getpid()


def _take(handle: int, path: Path, what: str) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        who = _named(handle)
        raise InputError(f"{what} in {path.parent} is running already (process {who}); stop that one first") from None


def _named(handle: int) -> int:
    text = os.pread(handle, 32, 0).decode(errors="replace").strip()
    return int(text) if text.isdigit() else 0
