"""The one place where the terminal reads: a thread that looks whether the store moved, and only then reads it."""

import json
import sqlite3
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from textual.message import Message

from server.config import Federation
from server.records import (
    AuditEntry,
    Decision,
    Device,
    DeviceHealth,
    EvaluationResult,
    GateVerdict,
    Gating,
    Lineage,
    Progress,
    RolloutStep,
    Run,
    SurveyResult,
)
from server.spending import Charges, Spending, price
from server.store import Store
from server.tui.derived import Derived
from server.tui.figures import ENDED, Participation
from server.tui.news import Changed, Unreadable
from shared import wire
from shared.errors import CoveyError, InputError
from shared.lock import holder
from shared.models import ModelVersion, Release
from shared.rounds import RoundResult
from shared.tasks import Task

LOOK_SECONDS = 0.3
REST = 3
"""A look is followed by a rest that is so many times as long, so that a large fleet leaves time to draw."""
SWITCH_SECONDS = 0.001
"""How long the reading thread keeps the interpreter while a key waits to be drawn; Python's own 5 ms can be felt."""
AUDIT_SHOWN = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """All that the views show, at one moment of the store. Lists run from the oldest to the newest."""

    federation: str = ""
    newest: float | None = None
    serving: bool = False
    tasks: tuple[Task, ...] = ()
    devices: tuple[Device, ...] = ()
    runs: tuple[Run, ...] = ()
    progress: dict[int, Progress]
    rounds: dict[int, tuple[RoundResult, ...]]
    versions: tuple[ModelVersion, ...] = ()
    releases: tuple[Release, ...] = ()
    gates: dict[int, tuple[GateVerdict, ...]]
    surveys: tuple[SurveyResult, ...] = ()
    participation: dict[str, Participation]
    charges: dict[str, tuple[Charges, ...]]
    spent: dict[str, tuple[Spending, ...]] = field(default_factory=dict[str, tuple[Spending, ...]])
    dearest: dict[str, float] = field(default_factory=dict[str, float])
    lineages: dict[int, Lineage] = field(default_factory=dict[int, Lineage])
    gatings: tuple[Gating, ...] = ()
    evaluations: tuple[EvaluationResult, ...] = ()
    rollouts: tuple[RolloutStep, ...] = ()
    health: tuple[DeviceHealth, ...] = ()
    decisions: tuple[Decision, ...] = ()
    audit: tuple[AuditEntry, ...] = ()

    def spending(self, task: Task) -> tuple[Spending, ...]:
        """What a task's plans cost each approved device at most."""
        return self.spent.get(task.name) or tuple(price(each, task) for each in self.charges.get(task.name, ()))

    def task(self, name: str | None) -> Task | None:
        """The task called `name`, or else the first."""
        return next((task for task in self.tasks if task.name == name), self.tasks[0] if self.tasks else None)


class Reader:
    """Reads snapshots; what has not changed since the last one is neither decoded nor counted again."""

    def __init__(self, federation: Federation, *, read_only: bool = False) -> None:
        """Open the store; raise `InputError` if there is no federation or its store cannot be opened.

        Without `read_only` a store of an older Covey is brought up to date.
        """
        self._name, self._federation, self._read_only = federation.settings().name, federation, read_only
        self._log = federation.database.with_name(f"{federation.database.name}-wal")
        self._opened = 0
        self._open()
        self._ended: dict[int, tuple[RoundResult, ...]] = {}
        self._derived = Derived()

    def _open(self) -> None:
        self._file, self._logged = identity(self._federation.database), self._log.exists()
        self._store = Store(self._federation.database, read_only=self._read_only, create=False)
        self._store.remember()
        self._opened += 1

    def close(self) -> None:
        """Close the store."""
        self._store.close()

    def state(self) -> tuple[int, int, bool]:
        """Moves with every commit of somebody else, and when the coordinator comes or goes.

        Raise `InputError` if the file was taken away, or another is in its place.
        """
        if identity(self._federation.database) != self._file:
            raise InputError(f"{self._federation.database} was replaced; opening it again")
        if self._read_only and self._log.exists() != self._logged:
            self.close()  # what was read without a log may be a copy, to which nothing new comes
            self._open()
        return self._opened, self._store.changes(), self.serving()

    def serving(self) -> bool:
        """Whether a coordinator runs."""
        return holder(self._federation.lock) is not None

    def read(self) -> Snapshot:
        """Everything, with the figures that views derive from it."""
        store = self._store
        tasks, devices, runs = tuple(store.tasks()), tuple(store.devices()), tuple(store.runs())
        rounds = {run.id: self._rounds(run) for run in runs}
        progress = {run.id: found for run in runs if (found := store.progress(run.id))}
        releases = tuple(store.releases())
        figures = self._derived.figures(tasks, devices, runs, [each for run in runs for each in rounds[run.id]])
        return Snapshot(
            federation=self._name,
            serving=self.serving(),
            newest=newest(devices, runs, progress),
            tasks=tasks,
            devices=devices,
            runs=runs,
            progress=progress,
            rounds=rounds,
            versions=tuple(store.versions()),
            releases=releases,
            gates={release.number: read_gates(store.gates(release.number)) for release in releases},
            surveys=tuple(store.surveys()),
            participation=figures.participation,
            charges=figures.charges,
            spent=figures.spent,
            dearest=figures.dearest,
            lineages=store.lineages(),
            gatings=tuple(store.gatings()),
            evaluations=tuple(store.evaluations()),
            rollouts=tuple(store.rollouts()),
            health=tuple(store.health()),
            decisions=tuple(store.decisions()),
            audit=tuple(reversed(store.audit_log(AUDIT_SHOWN))),
        )

    def _rounds(self, run: Run) -> tuple[RoundResult, ...]:
        if run.id in self._ended:
            return self._ended[run.id]
        rounds = tuple(self._store.rounds(run.id))
        if run.state in ENDED:
            self._ended[run.id] = rounds
        return rounds


def identity(path: Path) -> tuple[int, int]:
    """Which file lies at a path; raise `InputError` if none does."""
    try:
        found = path.stat()
    except OSError as error:
        raise InputError(f"{path} cannot be found: {error.strerror}") from None
    return found.st_dev, found.st_ino


def read_gates(text: str) -> tuple[GateVerdict, ...]:
    """The verdicts that the store keeps as a JSON list."""
    return tuple(wire.decode(GateVerdict, document) for document in json.loads(text))


def newest(devices: tuple[Device, ...], runs: tuple[Run, ...], progress: dict[int, Progress]) -> float | None:
    """The latest moment that the store speaks of."""
    seen = [device.last_seen for device in devices]
    ran = [moment for run in runs for moment in (run.created_at, run.started_at, run.finished_at)]
    moments = [*seen, *ran, *(each.at for each in progress.values())]
    return max((moment for moment in moments if moment is not None), default=None)


def watch(
    federation: Federation, tell: Callable[[Message], object], stop: threading.Event, *, read_only: bool = False
) -> None:
    """Look a few times a second until `stop`; tell of each snapshot, and of each new reason for having none.

    A store that cannot be read, or is another one than before, is opened again by itself.
    """
    sys.setswitchinterval(SWITCH_SECONDS)
    reader: Reader | None = None
    seen, trouble = (0, 0, False), ""
    while not stop.is_set():
        began = time.monotonic()
        try:
            reader = reader or Reader(federation, read_only=read_only)
            if (now := reader.state()) != seen or trouble:
                tell(Changed(reader.read()))
                seen, trouble = now, ""
        except (CoveyError, sqlite3.Error, OSError, ValueError) as error:
            if str(error) != trouble:
                trouble = str(error)
                tell(Unreadable(trouble))
            reader = _closed(reader)
        stop.wait(max(LOOK_SECONDS, (time.monotonic() - began) * REST))
    _closed(reader)


def _closed(reader: Reader | None) -> None:
    """Let go of a store; what SQLite says of one that is broken changes nothing."""
    if reader is not None:
        with suppress(sqlite3.Error):
            reader.close()
