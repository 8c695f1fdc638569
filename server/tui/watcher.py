"""The one place where the terminal reads: a thread that looks whether the store moved, and only then reads it."""

import json
import sqlite3
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

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
from server.spending import Charges, Spending, charges, price
from server.store import Store
from server.tui.figures import ENDED, Participation, participation
from shared import wire
from shared.errors import CoveyError
from shared.lock import holder
from shared.models import ModelVersion, Release
from shared.rounds import RoundResult
from shared.tasks import Task

LOOK_SECONDS = 0.3
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
    lineages: dict[int, Lineage] = field(default_factory=dict[int, Lineage])
    gatings: tuple[Gating, ...] = ()
    evaluations: tuple[EvaluationResult, ...] = ()
    rollouts: tuple[RolloutStep, ...] = ()
    health: tuple[DeviceHealth, ...] = ()
    decisions: tuple[Decision, ...] = ()
    audit: tuple[AuditEntry, ...] = ()

    def spending(self, task: Task) -> tuple[Spending, ...]:
        """What a task's plans cost each approved device at most."""
        return tuple(price(each, task) for each in self.charges.get(task.name, ()))

    def task(self, name: str | None) -> Task | None:
        """The task called `name`, or else the first."""
        return next((task for task in self.tasks if task.name == name), self.tasks[0] if self.tasks else None)


@dataclass
class Changed(Message):
    """The store moved; this is what it says now."""

    snapshot: Snapshot


@dataclass
class Unreadable(Message):
    """The store could not be read; what is on screen grows old."""

    reason: str


class Reader:
    """Reads snapshots; the rounds of a run that has ended are read once."""

    def __init__(self, federation: Federation) -> None:
        """Open the store; raise `InputError` if there is no federation or its store cannot be opened."""
        self._name, self._lock = federation.settings().name, federation.lock
        self._store = Store(federation.database)
        self._ended: dict[int, tuple[RoundResult, ...]] = {}

    def close(self) -> None:
        """Close the store."""
        self._store.close()

    def state(self) -> tuple[int, bool]:
        """Moves with every commit of somebody else, and when the coordinator comes or goes."""
        return self._store.changes(), self.serving()

    def serving(self) -> bool:
        """Whether a coordinator runs."""
        return holder(self._lock) is not None

    def read(self) -> Snapshot:
        """Everything, with the figures that views derive from it."""
        store = self._store
        tasks, devices, runs = tuple(store.tasks()), tuple(store.devices()), tuple(store.runs())
        rounds = {run.id: self._rounds(run) for run in runs}
        progress = {run.id: found for run in runs if (found := store.progress(run.id))}
        surveys, releases = tuple(store.surveys()), tuple(store.releases())
        results = [result for run in runs for result in rounds[run.id]]
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
            surveys=surveys,
            participation=participation(devices, results),
            charges={task.name: charges(task, devices, results, runs) for task in tasks},
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


def read_gates(text: str) -> tuple[GateVerdict, ...]:
    """The verdicts that the store keeps as a JSON list."""
    return tuple(wire.decode(GateVerdict, document) for document in json.loads(text))


def newest(devices: tuple[Device, ...], runs: tuple[Run, ...], progress: dict[int, Progress]) -> float | None:
    """The latest moment that the store speaks of."""
    seen = [device.last_seen for device in devices]
    ran = [moment for run in runs for moment in (run.created_at, run.started_at, run.finished_at)]
    moments = [*seen, *ran, *(each.at for each in progress.values())]
    return max((moment for moment in moments if moment is not None), default=None)


def watch(federation: Federation, tell: Callable[[Message], object], stop: threading.Event) -> None:
    """Look a few times a second until `stop`; tell of each snapshot, and of each new reason for having none."""
    reader: Reader | None = None
    seen, trouble = (-1, False), ""
    while not stop.is_set():
        try:
            reader = reader or Reader(federation)
            if (now := reader.state()) != seen:
                tell(Changed(reader.read()))
                seen, trouble = now, ""
        except (CoveyError, sqlite3.Error, OSError) as error:
            if str(error) != trouble:
                trouble = str(error)
                tell(Unreadable(trouble))
        stop.wait(LOOK_SECONDS)
    if reader:
        reader.close()
