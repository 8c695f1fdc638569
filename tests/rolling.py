"""A federation with twenty devices, whose rollouts are steered by hand and whose devices say how they fare."""

import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from counted import TASK
from releasing import some_weights

from server.config import Federation, Settings
from server.founding import found
from server.promotion import Way, promote
from server.releases import publish_task
from server.rollout_duty import steer
from server.rollouts import Ruling
from server.stages import reached
from server.store import Store
from shared.health import Health, Verdict
from shared.lifecycle import RolloutTerms
from shared.models import Release
from shared.rollout import Rollout
from shared.tasks import Task

DEVICES = 20
HOUR = 3600.0
TERMS = RolloutTerms(stages=(10.0, 50.0, 100.0), period_hours=1.0)


@dataclass
class Fleet:
    """The operator's side, and what devices say; `now` moves only when somebody lets time pass."""

    federation: Federation
    store: Store
    task: Task
    now: float

    def version(self, seed: int) -> int:
        weights = some_weights(self.task, seed=seed).tobytes()
        return self.store.add_initial_version(self.task.name, self.task.revision, weights).number

    def promote(self, seed: int, way: Way | None = None, *, command: str = "") -> Release:
        """The whole way, gates included."""
        return promote(self.federation, self.store, self.task, self.version(seed), way=way, command=command)

    @property
    def release(self) -> Release:
        """The newest one."""
        return self.store.releases(self.task.name)[-1]

    @property
    def document(self) -> Rollout:
        """The newest one that was written down; an operator acts by the real clock, the coordinator by this one."""
        return max((step.rollout for step in self.store.rollouts(self.task.name)), key=lambda rollout: rollout.number)

    @property
    def inside(self) -> tuple[str, ...]:
        """The devices that are to run the newest release."""
        names = [device.name for device in self.store.devices() if device.state == "approved"]
        return reached(self.release, self.document.share_bp, names)

    def say(self, names: Iterable[str], verdict: Verdict = "serves") -> None:
        """Let devices tell how the newest release fares."""
        health = Health(task=self.task.name, release=self.release.number, verdict=verdict)
        for name in names:
            self.store.put_health(name, [health], at=self.now)

    def pass_(self, *, hours: float = 1.1) -> Ruling | None:
        """Let time pass, and the coordinator look."""
        self.now += hours * HOUR
        return steer(self.federation, self.store, self.task, now=self.now)


def build_fleet(folder: Path, terms: RolloutTerms | None = TERMS) -> Fleet:
    """A founded federation whose task has these terms, with a first version and twenty approved devices."""
    task = replace(TASK, rollout=terms)
    federation = found(folder / "federation", Settings(name="works"))
    publish_task(federation, task)
    store = Store(federation.database)
    store.add_task(task)
    fleet = Fleet(federation=federation, store=store, task=task, now=time.time())
    fleet.version(0)
    for index in range(DEVICES):
        _approve(store, f"device-{index}")
    return fleet


def _approve(store: Store, name: str) -> None:
    store.add_invitation(name.encode().hex(), int(time.time()) + 600)
    store.enrol(name.encode().hex(), name, name.encode())
    store.set_device_state(name, "approved")
