"""How far an act reaches: which devices a release would meet first, drawn as the devices themselves draw."""

from collections.abc import Sequence
from dataclasses import dataclass

from server.records import Device
from server.stages import reached, share_of
from server.tui.watcher import Snapshot
from server.tui.words import plural
from shared.models import ModelVersion, Release
from shared.tasks import Task, Window


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """How many devices may get a release, and how many of them are its first stage (`percent` of the fleet).

    `percent` is 100 where there are no stages.
    """

    devices: int
    first: int
    percent: float

    @property
    def staged(self) -> bool:
        """Whether the release begins with a part of the fleet."""
        return self.percent < 100

    def __str__(self) -> str:
        """Such as `29 devices, canary 10 %: 3`."""
        fleet = plural(self.devices, "device")
        return f"{fleet}, canary {self.percent:g} %: {self.first}" if self.staged else f"{fleet}, all at once"


def reach_of(version: ModelVersion, snapshot: Snapshot) -> Reach:
    """Whom the release that a version would become meets, at once and in the end."""
    task = next((task for task in snapshot.tasks if task.name == version.task), None)
    fleet = [device for device in snapshot.devices if device.state == "approved"]
    percent = task.rollout.stages[0] if task and task.rollout else 100.0
    return Reach(
        devices=len(fleet), first=len(first_of(next_release(version, snapshot), fleet, percent)), percent=percent
    )


def next_release(version: ModelVersion, snapshot: Snapshot) -> Release:
    """The release that a version would become, as far as draws depend on it: its task and its number."""
    number = max((release.number for release in snapshot.releases), default=0) + 1
    return Release(
        number=number, task=version.task, revision=version.revision, version=version.number, trained_on=Window()
    )


def first_of(release: Release, fleet: Sequence[Device], percent: float) -> list[str]:
    """The devices that a stage of `percent` reaches, by the very share that it will be signed with."""
    names = [device.name for device in fleet]
    return list(reached(release, share_of(release, names, percent), names))


def rests(task: Task | None) -> str:
    """What opens the stages after the first."""
    if task is None or task.rollout is None:
        return ""
    stages = ", ".join(f"{percent:g} %" for percent in task.rollout.stages[1:])
    return f"Then {stages}, as long as devices say that it serves; a failing one is halted by itself."
