"""Updates: each signed task, and the release of it that is meant for this device, verified and tried before it may serve.

It runs in a child of the agent (`client/updating.py`): TUF, onnx and a hostile graph never live beside what answers.
"""

import logging
import os
import resource
import shutil
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from client import attempts, health
from client.beside import held_files, keep_beside
from client.checkup import ask_anew
from client.choosing import Choice, choose
from client.config import AgentHome, TaskHome
from client.fetching import Travelled, fetch
from client.installed import (
    SelfTest,
    accepted,
    current_release,
    file_of,
    go_back,
    install,
    serving,
)
from client.pointer import prepare_pointer
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
    """Keeps a device on the release of each of its tasks that is signed for it and serves well here."""

    def __init__(self, home: AgentHome, *, fetcher: "FetcherInterface | None" = None) -> None:
        """`fetcher` stands in for the coordinator in tests."""
        self._home = home
        self._fetcher = fetcher

    def check(self) -> UpdateReport:
        """Move each task to the release that is meant for this device; a task that fails does not hold up another.

        That is its newest one, or the one that the newest names for devices outside its share, even if that leads back.

        Raise `Unreachable` if the coordinator does not answer, and `ReleaseError` if its metadata cannot be trusted.
        Whatever happens, what served goes on serving.
        """
        settings = self._home.settings()
        places = [place for place in self._home.tasks() if settings.tasks[place.name].enabled]
        with only_one(self._home.update_lock, what="an update"):
            trust = _trust(self._home, settings.coordinator, self._fetcher)
            reached("update.refreshed")
            found = tuple(self._look(trust, place, settings.name, tell=settings.health) for place in places)
            return UpdateReport(tasks=found, sent=trust.sent)

    def tune_what_answers(self) -> None:
        """Tune what answers where that is another release than the accepted one: the owner's rows may have chosen it.

        Nothing that is told may hang on it (privacy rule 14), so it comes once the report is out.
        """
        settings = self._home.settings()
        with only_one(self._home.update_lock, what="an update"):
            for place in self._home.tasks():
                found = serving(place) if settings.tasks[place.name].enabled else None
                if found is not None and found.release.number != current_release(place):
                    _tune_if_due(place, found.release.number)

    def _look(self, trust: Trust, place: TaskHome, device: str, *, tell: bool) -> TaskUpdate:
        began = time.time()
        try:
            if trust.keep_task(place.name) and place.signed_task().distributed:
                trust.keep_roster()
            choice = choose(trust.releases(place.name), trust.rollout(place.name), device)
            _note(place, choice if tell else Choice())
            done = self._follow(trust, place, choice.run)
        except (CoveyError, OSError) as error:
            log.warning("task %s stays as it is: %s", place.name, error)
            return TaskUpdate(task=place.name, release=current_release(place), reason=str(error))
        return _afterwards(trust, place, choice, done, began=began)

    def _follow(self, trust: Trust, place: TaskHome, wanted: Release | None) -> TaskUpdate:
        if wanted is None or wanted.number == current_release(place):
            _tune_again(place)
            return TaskUpdate(task=place.name, release=current_release(place))
        reason = attempts.too_fast(place)
        if not reason and go_back(place, wanted):
            attempts.swapped(place, wanted.number)
            return _accepted(place, wanted, Travelled(fetched=0, whole=0))
        return self._try(trust, place, wanted, reason)

    def _try(self, trust: Trust, place: TaskHome, wanted: Release, reason: str) -> TaskUpdate:
        """Accept a release if it is worth a try now, and tune it; a refused one waits before it is fetched again."""
        reason = reason or attempts.waiting(place, wanted.number)
        if not reason:
            try:
                travelled = self._accept(trust, place, wanted)
            except ReleaseError as error:
                reason = str(error)
                attempts.refuse(place, wanted.number, reason)
                health.find_failing(place, wanted.number, error)
            except (CoveyError, OSError):
                attempts.done(place, wanted.number)
                raise
            else:
                _tune(place, wanted.number)
                return _accepted(place, wanted, travelled)
        current = current_release(place)
        refused = wanted.number if wanted.number > current else 0
        return TaskUpdate(task=place.name, release=current, refused=refused, reason=reason)

    def _accept(self, trust: Trust, place: TaskHome, release: Release) -> Travelled:
        """Download, verify and try a release, and let it serve.

        Another thread waits for the disk meanwhile: the try is on record before the model is opened, and what was
        fetched is durable once it is tried.
        """
        directory = self._home.staging / str(release.number)
        directory.mkdir()
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="disk") as disk:
            noted = disk.submit(attempts.begin, place, release.number)
            travelled = fetch(trust, release, directory, held_files(place))
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


def main(path: str, *, fetcher: "FetcherInterface | None" = None) -> None:
    """Look once, as the agent's child: write one line, an `Answer` in JSON, and nothing else, to standard output."""
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints must not be mistaken for the answer
    _limit()
    updates = Updates(AgentHome(Path(path)), fetcher=fetcher)
    try:
        answer = Answer(report=updates.check())
    except CoveyError as error:
        answer = Answer(failure=Failure(error=type(error).__name__, text=str(error)))
    except OSError as error:
        text = f"{error.filename or path} cannot be used ({error.strerror}); make room or set its permissions right"
        answer = Answer(failure=Failure(error=InputError.__name__, text=text))
    out.write(wire.to_json(answer))
    out.close()
    if answer.report is not None:
        with suppress(CoveyError, OSError):  # what answers goes on answering as it is
            updates.tune_what_answers()


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


def _note(place: TaskHome, choice: Choice) -> None:
    """Note what this device was told to run and to try, so that how these fare is spoken of, and of no others."""
    run, beside = (release.number if release else 0 for release in (choice.run, choice.beside))
    health.told_to(place, run=run, beside=beside)


def _afterwards(trust: Trust, place: TaskHome, choice: Choice, done: TaskUpdate, *, began: float) -> TaskUpdate:
    """What comes after the release that answers, and cannot undo it: the one beside it, and how both fare."""
    try:
        keep_beside(trust, place, choice.beside)
    except (CoveyError, OSError) as error:
        log.warning("no release is tried beside %d: %s", done.release, error)
        if choice.beside and isinstance(error, ReleaseError):
            health.find_failing(place, choice.beside.number, error)
    try:
        ask_anew(place)
    except (CoveyError, OSError) as error:
        log.warning("how release %d fares is not known: %s", done.release, error)
    return replace(done, asked_anew=health.found_since(place, began))


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


def _tune_again(place: TaskHome) -> None:
    """Make anew what is damaged, or was made by another runtime or on another processor."""
    if (found := accepted(place)) is not None:
        _tune_if_due(place, found.release.number)


def _tune_if_due(place: TaskHome, number: int) -> None:
    if not is_tuned(place.releases / str(number)) and not attempts.waiting(place, number):
        _tune(place, number)


def _tune(place: TaskHome, number: int) -> None:
    """Look for a faster way to answer; without one, the verified original goes on answering."""
    attempts.begin(place, number)
    reached("update.tuning")
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
