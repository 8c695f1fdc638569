"""Disks that are full or read-only: the kernel's own where this user may mount, else the nearest thing without."""

import ctypes
import os
import resource
import subprocess
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

MEGABYTES = 8
FILLER = "filler"
_CLONE_NEWNS, _CLONE_NEWUSER = 0x00020000, 0x10000000
_MS_RDONLY, _MS_REMOUNT, _MS_BIND, _MS_REC, _MS_PRIVATE = 1, 32, 4096, 16384, 1 << 18
_BLOCK = bytes(65536)


@contextmanager
def small_disk(place: Path) -> Generator[str]:
    """A disk of a few megabytes at `place`; yields how it fills up, in words for the table."""
    place.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", f"size={MEGABYTES}m", "tmpfs", str(place)]
    mounted = subprocess.run(words, capture_output=True, check=False).returncode == 0  # noqa: S603
    try:
        yield f"tmpfs of {MEGABYTES} MB" if mounted else "RLIMIT_FSIZE"
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", str(place)], check=False)  # noqa: S603, S607


def fill(disk: Path) -> None:
    """Leave no room on a disk; where it is no disk of its own, let this process write no file any more."""
    if not os.path.ismount(disk):
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
        return
    with suppress(OSError), (disk / FILLER).open("ab", buffering=0) as filler:
        while True:
            filler.write(_BLOCK)


def empty(disk: Path) -> None:
    """Make room again."""
    (disk / FILLER).unlink(missing_ok=True)


def make_read_only(folder: Path) -> None:
    """Let this process, and no other, see a folder as a read-only mount; without the right to, take away its own."""
    if not _remount(os.fsencode(folder)):
        for path in (folder, *folder.rglob("*")):
            path.chmod(0o555 if path.is_dir() else 0o444)


def is_kernels_own() -> bool:
    """Whether `make_read_only` mounts; root is not bound by modes, so nothing else would do for it."""
    return os.geteuid() == 0


def _remount(folder: bytes) -> bool:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNS) != 0 and libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNS) != 0:
        return False
    libc.mount(None, b"/", None, _MS_REC | _MS_PRIVATE, None)
    bound = libc.mount(folder, folder, None, _MS_BIND, None) == 0
    return bound and libc.mount(None, folder, None, _MS_BIND | _MS_REMOUNT | _MS_RDONLY, None) == 0
