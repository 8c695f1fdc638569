"""Files that are whole or absent, whatever moment the machine stops at."""

import os
import secrets
from pathlib import Path


def write_whole(path: Path, data: bytes, *, mode: int = 0o644, exactly: bool = False) -> None:
    """Replace `path` by `data`: readers see the old bytes or the new ones, and a power cut loses neither.

    With `exactly` the umask takes nothing from `mode`: such a file is for everyone who may enter its directory.
    """
    draft = _draft(path)
    try:
        _write_new(draft, data, mode=mode)
        if exactly:
            draft.chmod(mode)
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    sync(path.parent)


def write_secret(path: Path, data: bytes) -> None:
    """Create `path`, readable by its owner only; raise `FileExistsError` rather than replace a key."""
    draft = _draft(path)
    try:
        _write_new(draft, data, mode=0o600)
        path.hardlink_to(draft)
    finally:
        draft.unlink(missing_ok=True)
    sync(path.parent)


def sync(path: Path) -> None:
    """Make a file's content durable, or the names in a directory after some were created, renamed or removed."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _draft(path: Path) -> Path:
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}")


def _write_new(path: Path, data: bytes, *, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        # A write names no file.
        error.filename = str(path)
        raise
