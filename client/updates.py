"""Updates: the signed task, and the newest release, which is verified and tried before it may serve."""

import hashlib
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from client.config import AgentHome
from client.installed import current_release, file_of, install
from client.selftest import try_release
from client.trust import HttpsFetcher, Trust
from shared import wire
from shared.errors import InputError, ReleaseError
from shared.files import sync, write_whole
from shared.lock import only_one
from shared.models import Release
from shared.tasks import Task

if TYPE_CHECKING:
    from tuf.ngclient import FetcherInterface

ARTIFACTS = ("fp32", "int8", "task")


def fetch_task(
    home: AgentHome,
    *,
    base_url: str,
    root: bytes,
    ca: bytes,
    name: str | None = None,
    fetcher: "FetcherInterface | None" = None,
) -> Task:
    """Pin `root` and fetch the signed task called `name`, or the only one; it is kept as `home.task_file`.

    `root` is the first root's JSON and `ca` the authority's PEM, both checked against the invitation's hashes.
    """
    home.root_file.parent.mkdir(parents=True, exist_ok=True)
    write_whole(home.root_file, root)
    return Trust(home, base_url=base_url, fetcher=fetcher or HttpsFetcher(ca)).task(name)


class Updates:
    """Keeps a device on the newest release that is signed for it and serves well here."""

    def __init__(self, home: AgentHome, *, fetcher: "FetcherInterface | None" = None) -> None:
        """`fetcher` stands in for the coordinator in tests."""
        self._home = home
        self._fetcher = fetcher

    def check(self) -> int | None:
        """Install what is newer than the release that serves; return its number, or None if nothing is.

        Raise `Unreachable` if the coordinator does not answer, and `ReleaseError` if what it offers cannot be
        trusted or does not serve here. Whatever is raised, the release that served goes on serving.
        """
        settings = self._home.settings()
        with only_one(self._home.update_lock, what="an update"):
            trust = self._refresh(settings.coordinator)
            trust.task(settings.task)
            offers = (one for one in trust.releases(settings.task) if is_offered(one, settings.name))
            newest = next(offers, None)
            if newest is None or newest.number <= current_release(self._home):
                return None
            install(self._home, self._stage(trust, newest), newest.number)
        return newest.number

    def _refresh(self, coordinator: str) -> Trust:
        shutil.rmtree(self._home.staging, ignore_errors=True)
        self._home.staging.mkdir(parents=True)
        fetcher = self._fetcher or HttpsFetcher(_authority(self._home))
        return Trust(self._home, base_url=f"https://{coordinator}", fetcher=fetcher)

    def _stage(self, trust: Trust, release: Release) -> Path:
        """Download a release, verify and try it; return its directory, ready to be renamed into place."""
        directory = self._home.staging / str(release.number)
        directory.mkdir()
        download(trust, release, directory)
        task = wire.from_json(Task, file_of(directory, "task").read_bytes(), what="the release's task")
        fp32, int8 = (file_of(directory, name).read_bytes() for name in ("fp32", "int8"))
        tried = try_release(task, fp32=fp32, int8=int8)
        write_whole(directory / "selftest.json", wire.to_json(tried))
        write_whole(directory / "release.json", wire.to_json(release))
        sync(directory)
        return directory


def download(trust: Trust, release: Release, directory: Path) -> None:
    """Fetch every artifact of a release into `directory`, each as it was signed."""
    if set(release.artifacts) != set(ARTIFACTS):
        raise ReleaseError(f"release {release.number} has {sorted(release.artifacts)}, expected {list(ARTIFACTS)}")
    for name, artifact in release.artifacts.items():
        trust.download(artifact, file_of(directory, name))


def is_offered(release: Release, device: str) -> bool:
    """Whether this device is in the share of the fleet that may run a release; each release draws anew."""
    draw = hashlib.sha256(f"{release.task}/{release.number}/{device}".encode()).digest()
    return int.from_bytes(draw[:8], "big") % 10_000 < release.ceiling_bp


def _authority(home: AgentHome) -> bytes:
    try:
        return home.authority.read_bytes()
    except OSError:
        raise InputError(f"certificate {home.authority} is missing; leave and join again") from None
