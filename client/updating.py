"""One look at the releases, in a child process of its own: the agent's process stays small, whatever a release holds.

A child that crashes, hangs or is killed for its memory is a refused release; `client/attempts.py` keeps it from
being tried again at once.
"""

import logging
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Event

from client import attempts, health
from client.config import AgentHome, TaskHome
from shared import errors, wire
from shared.errors import CoveyError, ReleaseError, WireError

log = logging.getLogger(__name__)

DEADLINE_SECONDS = 300.0
_LOOK_SECONDS = 0.1
_OUR_CODE = str(Path(__file__).parent.parent)
"""The child runs the very code of its parent, whatever lies in the directory that it is started from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskUpdate:
    """What one look did for a task: `release` is the accepted one after it, `refused` a newer one that is not, or 0.

    `reason` says why a release was refused or could not be looked for; it is for this device's log only. `fetched` and
    `saved` are bytes that travelled and that did not have to, because parts of the release were here already. `installed`
    says that another release was accepted, and `asked_anew` that how releases fare was found out, and is to be told.
    """

    task: str
    release: int
    installed: bool = False
    refused: int = 0
    reason: str = ""
    fetched: int = 0
    saved: int = 0
    asked_anew: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateReport:
    """What one look did, task by task, and the bytes of its requests."""

    tasks: tuple[TaskUpdate, ...]
    sent: int = 0

    @property
    def installed(self) -> bool:
        """Whether any task has another release than before."""
        return any(one.installed for one in self.tasks)


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """How a child ended that could not look at all: the name of an error in `shared/errors.py`, and its text."""

    error: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The one line that a child writes."""

    report: UpdateReport | None = None
    failure: Failure | None = None


def run_update(
    home: AgentHome, *, stopping: Event, deadline: float = DEADLINE_SECONDS, command: Sequence[str] = ()
) -> UpdateReport:
    """Bring every task of `agent.toml` up to date; raise what the child raised, such as `Unreachable`.

    Ends the child after `deadline` seconds, or once `stopping` is set. `command` stands in for the child in tests.
    """
    child = subprocess.Popen(  # noqa: S603 - our own interpreter and module
        command or _command(home),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        start_new_session=True,
        env={**os.environ, "MALLOC_ARENA_MAX": "1"},
    )
    try:
        why = _wait(child, stopping, deadline)
    finally:
        said = _end(child)
    if stopping.is_set() and why:
        _forget(home)
        raise CoveyError("the agent stops; the update goes on at its next start")
    why = why or (f"it ended with code {child.returncode}" if child.returncode else "")
    if report := _understood(said):
        _blame_afterwards(home, why)
    else:
        report = _crashed(home, why or "it said nothing")
    for one in report.tasks:
        if one.installed:
            log.info("release %d of %s: %d bytes travelled, %d saved", one.release, one.task, one.fetched, one.saved)
    return report


def _command(home: AgentHome) -> list[str]:
    place = str(home.path.resolve())
    start = f"import sys; sys.path.insert(0, {_OUR_CODE!r}); from client.updates import main; main({place!r})"
    return [sys.executable, "-P", "-c", start]


def _wait(child: "subprocess.Popen[bytes]", stopping: Event, deadline: float) -> str:
    """Wait for the child's end; say why it must be ended instead, if so."""
    until = time.monotonic() + deadline
    while child.poll() is None:
        if stopping.wait(_LOOK_SECONDS):
            return "the agent stops"
        if time.monotonic() > until:
            return f"it did not end within {deadline:g} s"
    return ""


def _end(child: "subprocess.Popen[bytes]") -> bytes:
    """End the child where it has not ended, and return what it wrote, which is little enough for a pipe to hold."""
    if child.poll() is None:
        child.kill()
    return child.communicate()[0]


def _understood(said: bytes) -> UpdateReport | None:
    """The child's report, or None if it wrote none; raise the error that it wrote instead."""
    try:
        answer = wire.from_json(Answer, said, what="the update's report")
    except WireError:
        return None
    if answer.failure is not None:
        raise _error(answer.failure)
    return answer.report


def _error(failure: Failure) -> CoveyError:
    kind = getattr(errors, failure.error, CoveyError)
    return kind(failure.text) if isinstance(kind, type) and issubclass(kind, CoveyError) else CoveyError(failure.text)


def _crashed(home: AgentHome, why: str) -> UpdateReport:
    """Blame the releases that were being tried; raise `ReleaseError` if there were none."""
    found = tuple(_blamed(place, number, why) for place in home.tasks() if (number := _under_way(place)))
    if not found:
        raise ReleaseError(f"the look at the releases was cut short: {why}")
    return UpdateReport(tasks=found)


def _blame_afterwards(home: AgentHome, why: str) -> None:
    """The child came to its end after its report, tuning what rows had chosen: that is remembered here, and told nobody."""
    for place in home.tasks():
        if why and (number := attempts.unfinished(place)):
            log.warning("release %d of %s answers untuned: %s", number, place.name, why)
            attempts.refuse(place, number, f"it could not be tuned: {why}")


def _forget(home: AgentHome) -> None:
    """A try that the agent's own stop has ended says nothing about a release."""
    for place in home.tasks():
        attempts.done(place, attempts.unfinished(place))
        health.not_its_fault(place)


def _under_way(place: TaskHome) -> int:
    """The release that was being tried, tuned or asked, 0 for none."""
    return attempts.unfinished(place) or health.cut_short(place)


def _blamed(place: TaskHome, number: int, why: str) -> TaskUpdate:
    """The try of `number` took the child down: while it was tried if it is newer, while tuned or asked if it serves.

    Only of what this device was told to run or to try is anything told anew (privacy rule 14).
    """
    from client.installed import current_release

    reason, current = f"the update to release {number} was cut short: {why}", current_release(place)
    log.warning("%s", reason)
    if attempts.unfinished(place):
        attempts.refuse(place, number, reason)
    health.find(place, number, "crashed")
    refused, known = number if number > current else 0, health.read(place)
    anew = number in {known.run, known.beside}
    return TaskUpdate(task=place.name, release=current, refused=refused, reason=reason, asked_anew=anew)
