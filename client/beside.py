"""A release that this device tries beside the one that answers: fetched, verified and tried, and never let near a record of an app.

It lies in a folder of its own, where neither `accepted` nor `serving` looks. A survey may ask how often both agree.
"""

import shutil
from contextlib import suppress
from pathlib import Path

from client import attempts
from client.config import TaskHome
from client.fetching import by_hash, fetch
from client.installed import SelfTest, current_release, file_of, is_whole, verified
from client.selftest import try_release
from client.trust import Trust
from shared import wire
from shared.errors import CoveyError, ReleaseError
from shared.failpoints import reached
from shared.files import sync
from shared.models import Release
from shared.tasks import Task


def directory_of(place: TaskHome, release: int) -> Path:
    """Where a release lies that is here to be compared: beside the one that answers, or among those that may."""
    beside = place.beside / str(release)
    return beside if beside.exists() else place.releases / str(release)


def held_files(place: TaskHome) -> dict[str, bytes]:
    """The verified files of the accepted release and of what is tried beside it, by their SHA-256: they need not travel."""
    held: dict[str, bytes] = {}
    for directory in (*place.beside.glob("*"), place.releases / str(current_release(place))):
        with suppress(ReleaseError):
            held |= by_hash(verified(directory)[1])
    return held


def keep_beside(trust: Trust, place: TaskHome, release: Release | None) -> None:
    """Hold exactly `release` beside, and try it once; raise `ReleaseError` if it does not pass.

    One that failed waits as any other release would.
    """
    _discard(place, keep=release)
    if (
        release is None
        or is_whole(place.beside / str(release.number), release)
        or attempts.waiting(place, release.number)
    ):
        return
    attempts.begin(place, release.number)
    try:
        _try(trust, place, release)
    except ReleaseError as error:
        attempts.refuse(place, release.number, str(error))
        raise
    except (CoveyError, OSError):
        attempts.done(place, release.number)
        raise
    attempts.done(place, release.number)


def _try(trust: Trust, place: TaskHome, release: Release) -> None:
    staged = place.home.staging / f"beside-{release.number}"
    staged.mkdir()
    fetch(trust, release, staged, held_files(place))
    reached("beside.downloaded")
    task = wire.from_json(Task, file_of(staged, "task").read_bytes(), what="the release's task")
    tried = try_release(task, release, file_of(staged, "fp32").read_bytes())
    _put_beside(place, staged, release, tried)


def _put_beside(place: TaskHome, staged: Path, release: Release, tried: SelfTest) -> None:
    """As an installed release's directory: whole, durable, and named last."""
    for name, document in (("release", release), ("selftest", tried)):
        (staged / f"{name}.json").write_bytes(wire.to_json(document))
    for file in (*staged.iterdir(), staged):
        sync(file)
    place.beside.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(place.beside / str(release.number), ignore_errors=True)
    staged.rename(place.beside / str(release.number))
    sync(place.beside)


def _discard(place: TaskHome, *, keep: Release | None) -> None:
    name = str(keep.number) if keep else ""
    for directory in place.beside.glob("*"):
        if directory.name != name:
            shutil.rmtree(directory, ignore_errors=True)
