"""Updates: each signed task, and its newest release, which is verified and tried before it may serve.

It runs in a child of the agent (`client/updating.py`): TUF, onnx and a hostile graph never live beside what answers.
"""

import hashlib
import logging
import os
import resource
import shutil
import signal
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from client import attempts
from client.config import AgentHome, TaskHome
from client.fetching import Travelled, by_hash, fetch
from client.installed import (
    SelfTest,
    accepted,
    current_release,
    file_of,
    install,
    prepare_pointer,
    serving,
    verified,
)
from client.selftest import try_release
from client.trust import HttpsFetcher, Trust
from client.tuning import is_tuned, tune
from client.updating import DEADLINE_SECONDS, Answer, Failure, TaskUpdate, UpdateReport
from shared import wire
from shared.errors import CoveyError, InputError, ReleaseError
from shared.failpoints import reached
from shared.files import sync, write_whole
from shared.lock import only_one
from shared.models import Release
from shared.tasks import Task

if TYPE_CHECKING:
    from tuf.ngclient import FetcherInterface

log = logging.getLogger(__name__)

MEMORY_BYTES = 2 * 1024**3
NICENESS = 10


def fetch_task(
    home: AgentHome,
    *,
    base_url: str,
    root: bytes,
    ca: bytes,
    name: str | None = None,
    fetcher: "FetcherInterface | None" = None,
) -> Task:
    """Pin `root` and fetch the signed task called `name`, or the only one; it is kept as `home.task(name).signed`.

    `root` is the first root's JSON and `ca` the authority's PEM, both checked against the invitation's hashes.
    """
    home.root_file.parent.mkdir(parents=True, exist_ok=True)
    write_whole(home.root_file, root)
    return Trust(home, base_url=base_url, fetcher=fetcher or HttpsFetcher(ca)).task(name)


def fetch_signed(home: AgentHome, name: str, *, fetcher: "FetcherInterface | None" = None) -> Task:
    """Fetch one more signed task of the federation that this device has joined; it is kept as `fetch_task` keeps it."""
    with only_one(home.update_lock, what="an update"):
        return _trust(home, home.settings().coordinator, fetcher).task(name)


class Updates:
    """Keeps a device on the newest release of each of its tasks that is signed for it and serves well here."""

    def __init__(self, home: AgentHome, *, fetcher: "FetcherInterface | None" = None) -> None:
        """`fetcher` stands in for the coordinator in tests."""
        self._home = home
        self._fetcher = fetcher

    def check(self) -> UpdateReport:
        """Install what is newer than each task's accepted release; a task that fails does not hold up another.

        Raise `Unreachable` if the coordinator does not answer, and `ReleaseError` if its metadata cannot be trusted.
        Whatever happens, what served goes on serving.
        """
        settings = self._home.settings()
        places = [place for place in self._home.tasks() if settings.tasks[place.name].enabled]
        with only_one(self._home.update_lock, what="an update"):
            trust = _trust(self._home, settings.coordinator, self._fetcher)
            reached("update.refreshed")
            found = tuple(self._look(trust, place, settings.name) for place in places)
            return UpdateReport(tasks=found, sent=trust.sent)

    def _look(self, trust: Trust, place: TaskHome, device: str) -> TaskUpdate:
        try:
            if trust.keep_task(place.name) and place.signed_task().distributed:
                trust.keep_roster()
            newest = next((one for one in trust.releases(place.name) if is_offered(one, device)), None)
            if newest is not None and newest.number > current_release(place):
                return self._try(trust, place, newest)
            _tune_again(place)
        except (CoveyError, OSError) as error:
            log.warning("task %s stays as it is: %s", place.name, error)
            return TaskUpdate(task=place.name, release=current_release(place), reason=str(error))
        return TaskUpdate(task=place.name, release=current_release(place))

    def _try(self, trust: Trust, place: TaskHome, newest: Release) -> TaskUpdate:
        """Accept a release if it is worth a try now, and tune it; a refused one waits before it is fetched again."""
        reason = attempts.waiting(place, newest.number) or attempts.too_fast(place)
        if not reason:
            try:
                travelled = self._accept(trust, place, newest)
            except ReleaseError as error:
                reason = str(error)
                attempts.refuse(place, newest.number, reason)
            except (CoveyError, OSError):
                attempts.done(place, newest.number)
                raise
            else:
                _tune(place, newest.number)
                return _accepted(place, newest, travelled)
        return TaskUpdate(task=place.name, release=current_release(place), refused=newest.number, reason=reason)

    def _accept(self, trust: Trust, place: TaskHome, release: Release) -> Travelled:
        """Download, verify and try a release, and let it serve.

        Another thread waits for the disk meanwhile: the try is on record before the model is opened, and what was
        fetched is durable once it is tried.
        """
        directory = self._home.staging / str(release.number)
        directory.mkdir()
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="disk") as disk:
            noted = disk.submit(attempts.begin, place, release.number)
            travelled = fetch(trust, release, directory, _held(place))
            noted.result()
            reached("update.downloaded")
            kept = disk.submit(_keep, place, directory, release)
            task = wire.from_json(Task, file_of(directory, "task").read_bytes(), what="the release's task")
            tried = try_release(task, release, file_of(directory, "fp32").read_bytes())
            reached("update.tested")
            kept.result()
        _complete(directory, tried)
        install(place, directory, release.number)
        attempts.swapped(place, release.number)
        return travelled


def is_offered(release: Release, device: str) -> bool:
    """Whether this device is in the share of the fleet that may run a release; each release draws anew."""
    draw = hashlib.sha256(f"{release.task}/{release.number}/{device}".encode()).digest()
    return int.from_bytes(draw[:8], "big") % 10_000 < release.ceiling_bp


def main(path: str, *, fetcher: "FetcherInterface | None" = None) -> None:
    """Look once, as the agent's child: write one line, an `Answer` in JSON, and nothing else, to standard output."""
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints must not be mistaken for the answer
    _limit()
    try:
        answer = Answer(report=Updates(AgentHome(Path(path)), fetcher=fetcher).check())
    except CoveyError as error:
        answer = Answer(failure=Failure(error=type(error).__name__, text=str(error)))
    except OSError as error:
        text = f"{error.filename or path} cannot be used ({error.strerror}); make room or set its permissions right"
        answer = Answer(failure=Failure(error=InputError.__name__, text=text))
    out.write(wire.to_json(answer))
    out.close()


def _limit() -> None:
    """Give way to everything else, and end rather than exhaust this machine."""
    signal.alarm(int(DEADLINE_SECONDS) + 60)  # should the agent be gone, nobody else ends a hung child
    os.nice(NICENESS)
    for kind, most in ((resource.RLIMIT_DATA, MEMORY_BYTES), (resource.RLIMIT_CORE, 0)):
        with suppress(OSError, ValueError):
            resource.setrlimit(kind, (most, most))


def _accepted(place: TaskHome, release: Release, travelled: Travelled) -> TaskUpdate:
    saved = max(travelled.whole - travelled.fetched, 0)
    return TaskUpdate(task=place.name, release=release.number, installed=True, fetched=travelled.fetched, saved=saved)


def _keep(place: TaskHome, directory: Path, release: Release) -> None:
    """Make durable what does not depend on the try: what was signed, and where the pointer will go."""
    (directory / "release.json").write_bytes(wire.to_json(release))
    for file in directory.iterdir():
        sync(file)
    prepare_pointer(place, release.number)


def _complete(directory: Path, tried: SelfTest) -> None:
    """Add what was found, so that all of the directory is durable before it gets its name."""
    (directory / "selftest.json").write_bytes(wire.to_json(tried))
    sync(directory / "selftest.json")
    sync(directory)


def _held(place: TaskHome) -> dict[str, bytes]:
    """The accepted release's files by hash, if it is whole."""
    try:
        return by_hash(verified(place.releases / str(current_release(place)))[1])
    except ReleaseError:
        return {}


def _tune_again(place: TaskHome) -> None:
    """Make anew what is damaged, or was made by another runtime or on another processor."""
    here = {found.release.number for found in (accepted(place), serving(place)) if found is not None}
    for number in sorted(here):
        if not is_tuned(place.releases / str(number)) and not attempts.waiting(place, number):
            _tune(place, number)


def _tune(place: TaskHome, number: int) -> None:
    """Look for a faster way to answer; without one, the verified original goes on answering."""
    attempts.begin(place, number)
    try:
        tried = tune(place.releases / str(number))
    except (ReleaseError, OSError) as error:
        log.warning("release %d answers untuned: %s", number, error)
        attempts.refuse(place, number, f"it could not be tuned: {error}")
    else:
        attempts.done(place, number)
        log.info("release %d answers in %s on %s", number, tried.precision, tried.provider)
    reached("update.tuned")


def _trust(home: AgentHome, coordinator: str, fetcher: "FetcherInterface | None") -> Trust:
    shutil.rmtree(home.staging, ignore_errors=True)
    home.staging.mkdir(parents=True)
    return Trust(home, base_url=f"https://{coordinator}", fetcher=fetcher or HttpsFetcher(_authority(home)))


def _authority(home: AgentHome) -> bytes:
    try:
        return home.authority.read_bytes()
    except OSError:
        raise InputError(f"certificate {home.authority} is missing; leave and join again") from None
