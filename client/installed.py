"""Which release serves: one directory each, and a pointer that names the one in use.

A directory appears whole, by a rename, after its files were verified and tried; the pointer moves by a
rename too. If the files it names are damaged, another whole release serves instead.
"""

import hashlib
import logging
import shutil
from dataclasses import dataclass
from pathlib import Path

from client.config import AgentHome
from shared import wire
from shared.errors import ReleaseError, WireError
from shared.files import sync, write_whole
from shared.models import Precision, Release
from shared.tasks import Task

log = logging.getLogger(__name__)

POINTER = "current"
KEPT = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfTest:
    """How a release did on made-up records here: which file is faster, and each one's median time for a record."""

    precision: Precision
    fp32_us: float
    int8_us: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """A whole release on this device: what was signed, the task it answers, how it was tried, and the faster file."""

    release: Release
    task: Task
    tried: SelfTest
    model: bytes


def file_of(directory: Path, artifact: str) -> Path:
    """Where a release's directory keeps an artifact: `fp32`, `int8` or `task`."""
    return directory / (f"{artifact}.json" if artifact == "task" else f"{artifact}.onnx")


def serving(home: AgentHome) -> Installed | None:
    """The release that answers on this device, or None before the first: the pointer's, or else the newest whole one."""
    for number in _in_order(home):
        try:
            return read_release(home.releases / str(number))
        except ReleaseError as error:
            log.warning("release %d does not serve: %s", number, error)
    return None


def current_release(home: AgentHome) -> int:
    """The number of the release that answers on this device; 0 before the first."""
    installed = serving(home)
    return installed.release.number if installed else 0


def read_release(directory: Path) -> Installed:
    """Read a release's directory; raise `ReleaseError` unless every file is as it was signed."""
    try:
        release = wire.from_json(Release, (directory / "release.json").read_bytes(), what="release.json")
        files = {name: file_of(directory, name).read_bytes() for name in release.artifacts}
        for name, artifact in release.artifacts.items():
            if hashlib.sha256(files[name]).hexdigest() != artifact.sha256:
                raise ReleaseError(f"{file_of(directory, name)} is damaged; `covey-agent update` fetches it again")
        task = wire.from_json(Task, files["task"], what="task.json")
        tried = wire.from_json(SelfTest, (directory / "selftest.json").read_bytes(), what="selftest.json")
        return Installed(release=release, task=task, tried=tried, model=files[tried.precision])
    except (OSError, KeyError, WireError) as error:
        raise ReleaseError(f"{directory} is not a whole release ({error}); `covey-agent update` fetches it") from None


def install(home: AgentHome, staged: Path, number: int) -> None:
    """Move a verified, tried and durable directory into place, and let it serve."""
    home.releases.mkdir(exist_ok=True)
    _put_in_place(staged, home.releases / str(number))
    point_to(home, number)
    _discard_old(home)


def point_to(home: AgentHome, number: int) -> None:
    """Let release `number` serve from the next look on."""
    write_whole(home.releases / POINTER, f"{number}\n".encode("ascii"))


def _put_in_place(staged: Path, directory: Path) -> None:
    """A directory of that name was left by a crash, or is damaged: what is staged is verified, so it wins."""
    shutil.rmtree(directory, ignore_errors=True)
    staged.rename(directory)
    sync(directory.parent)


def _discard_old(home: AgentHome) -> None:
    """Keep the release that serves and the one before."""
    for number in _in_order(home)[KEPT:]:
        shutil.rmtree(home.releases / str(number), ignore_errors=True)


def _in_order(home: AgentHome) -> list[int]:
    """The releases here: the pointer's first, then the others, newest first."""
    if not home.releases.is_dir():
        return []
    numbers = sorted((int(d.name) for d in home.releases.iterdir() if d.name.isdigit()), reverse=True)
    try:
        chosen = int((home.releases / POINTER).read_text(encoding="ascii"))
    except (OSError, ValueError):
        return numbers
    return sorted(numbers, key=lambda number: number != chosen)
