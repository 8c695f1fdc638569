"""The one place where the owner's window reads: a thread that looks whether a file moved, and only then reads it."""

import sqlite3
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from textual.message import Message

from client.audit import AuditLine, AuditLog, Verdict
from client.config import AgentHome, TaskHome
from client.explanation import explain
from client.installed import current_release
from client.levels import totals
from client.meters import read_meters, rounds_left
from client.policy import fingerprint
from client.settings import AgentSettings
from client.store import AgentStore
from client.tui.facts import Snapshot, TaskFacts, read_declined, read_spends
from client.tui.shelf import Shelf, moved, stamp_of
from shared.errors import CoveyError
from shared.lock import holder
from shared.tasks import Task

LOOK_SECONDS = 0.4


@dataclass
class Changed(Message):
    """A file moved; this is how things stand now."""

    snapshot: Snapshot


@dataclass
class Unreadable(Message):
    """The agent's files could not be read; what is on screen grows old."""

    reason: str


class Record:
    """The audit log, read and verified again only when it has grown."""

    def __init__(self, home: AgentHome) -> None:
        """Open the log."""
        self._log = AuditLog(home)
        self._head: tuple[int, bytes] | None = None
        self._lines: tuple[AuditLine, ...] = ()
        self._verdict: Verdict | None = None

    def close(self) -> None:
        """Release the file."""
        self._log.close()

    def read(self) -> tuple[tuple[AuditLine, ...], Verdict | None]:
        """Every line, newest first, and whether the chain holds."""
        if (head := self._log.head()) != self._head:
            self._lines, self._verdict = tuple(reversed(self._log.lines())), self._log.verify()
            self._head = head
        return self._lines, self._verdict


class Reader:
    """Reads snapshots. Databases stay open in between, because closing one would move it."""

    def __init__(self, home: AgentHome, *, clock: Callable[[], float] = time.time) -> None:
        """Open the agent's store; raise `InputError` if there is no agent here."""
        self._home, self._clock = home, clock
        home.settings()
        self._store, self._audit = AgentStore(home.database), Record(home)
        self._shelves: dict[str, Shelf] = {}
        self._explained: dict[tuple[Any, ...], str] = {}

    def close(self) -> None:
        """Release every file."""
        self._store.close()
        self._audit.close()
        for shelf in self._shelves.values():
            shelf.close()

    def state(self) -> tuple[Any, ...]:
        """Moves when a file that is shown moves, and when the agent comes or goes."""
        home = self._home
        tasks = [
            (stamp_of(place.signed), stamp_of(place.releases / "current"), self._shelf(place).stamp)
            for place in home.tasks()
        ]
        files = stamp_of(home.settings_file), stamp_of(home.link_file), moved(home.database)
        return *files, *tasks, holder(home.lock)

    @property
    def due(self) -> bool:
        """Whether a label queue may be read again."""
        return any(shelf.due for shelf in self._shelves.values())

    def read(self) -> Snapshot:
        """Everything, with the figures that views derive from it."""
        settings, now = self._home.settings(), self._clock()
        tasks = tuple(self._task(place, settings, now) for place in self._home.tasks())
        running = holder(self._home.lock)
        signed = [facts.task for facts in tasks if facts.task]
        left, verdict = self._audit.read()
        return Snapshot(
            name=settings.name, federation=settings.federation, coordinator=settings.coordinator,
            paused=settings.paused, running=running or 0, link=_link(self._home) if running else "",
            delta=settings.budget.delta, tasks=tasks, meters=read_meters(self._store, settings, signed, now),
            levels=totals(self._store, delta=settings.budget.delta),
            spends=read_spends(self._store, delta=settings.budget.delta), declined=read_declined(self._store), left=left, verdict=verdict,
        )  # fmt: skip

    def _task(self, place: TaskHome, settings: AgentSettings, now: float) -> TaskFacts:
        grant = settings.tasks[place.name]
        facts = TaskFacts(place=place, enabled=grant.enabled, data=grant.data)
        try:
            task = place.signed_task()
            facts = replace(
                facts, task=task, agreed=self._store.agreed(place.name, fingerprint(task)),
                release=current_release(place), rounds_left=rounds_left(self._store, settings, task, now),
                explanation=self._explanation(task, settings, grant.data),
            )  # fmt: skip
            shelf = self._shelf(place)
            return replace(facts, recent=shelf.recent(), queue=shelf.queue(task, now))
        except CoveyError as error:
            return replace(facts, trouble=str(error))

    def _shelf(self, place: TaskHome) -> Shelf:
        return self._shelves.setdefault(place.name, Shelf(place))

    def _explanation(self, task: Task, settings: AgentSettings, data: str) -> str:
        """Pricing a campaign takes a moment, so it is done once for each task and budget."""
        about = (fingerprint(task), settings.budget, data)
        if about not in self._explained:
            self._explained[about] = explain(task, budget=settings.budget, data=data or "its predictions")
        return self._explained[about]


def _link(home: AgentHome) -> str:
    """How the running agent stands with the coordinator."""
    try:
        return home.link_file.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return "starting"


def watch(
    home: AgentHome, tell: Callable[[Message], object], stop: threading.Event, *, clock: Callable[[], float] = time.time
) -> None:
    """Look a few times a second until `stop`; tell of each snapshot, and of each new reason for having none."""
    reader: Reader | None = None
    seen: tuple[Any, ...] = ()
    trouble = ""
    while not stop.is_set():
        try:
            reader = reader or Reader(home, clock=clock)
            if (now := reader.state()) != seen or reader.due:
                tell(Changed(reader.read()))
                seen, trouble = now, ""
        except (CoveyError, sqlite3.Error, OSError) as error:
            if str(error) != trouble:
                trouble = str(error)
                tell(Unreadable(trouble))
        stop.wait(LOOK_SECONDS)
    if reader:
        reader.close()
