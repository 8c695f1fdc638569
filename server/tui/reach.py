"""How far an act reaches: which devices a release would meet first, drawn as the devices themselves draw."""

from collections.abc import Sequence
from dataclasses import dataclass

from server.records import Device
from server.stages import reached, share_of
from server.tui.watcher import Snapshot
from server.tui.words import plural
from shared.lifecycle import RolloutTerms
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


def terms_of(task: Task | None) -> RolloutTerms:
    """The stages of a rollout: the task's own, or those of one that is asked for without."""
    return (task.rollout if task else None) or RolloutTerms()


def reach_of(version: ModelVersion, snapshot: Snapshot, percent: float) -> Reach:
    """Whom the release that a version would become meets, at once and in the end; `percent` is 100 without stages."""
    fleet = [device for device in snapshot.devices if device.state == "approved"]
    return Reach(
        devices=len(fleet), first=len(first_of(next_release(version, snapshot), fleet, percent)), percent=percent
    )


def looking_on(version: ModelVersion, snapshot: Snapshot, percent: float) -> str:
    """Who runs the release beside the one that answers while the stage of `percent` lasts; empty where none answers."""
    if all(release.task != version.task for release in snapshot.releases):
        return ""
    task = next((task for task in snapshot.tasks if task.name == version.task), None)
    stages, following = (percent, after(task, percent)[0]), next_release(version, snapshot)
    fleet = [device for device in snapshot.devices if device.state == "approved"]
    inside, next_ones = (len(first_of(following, fleet, each)) for each in stages)
    many = next_ones - inside
    run = "runs" if many == 1 else "run"
    return f"Shadow: {plural(many, 'device')} of the next stage, {stages[1]:g} %, {run} it beside the one that answers."


def after(task: Task | None, percent: float) -> tuple[float, ...]:
    """The stages that follow one of `percent`."""
    return tuple(each for each in terms_of(task).stages if round(each * 100) > round(percent * 100))


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


def rests(task: Task | None, percent: float) -> str:
    """What opens the stages after one of `percent`."""
    stages = ", ".join(f"{each:g} %" for each in after(task, percent))
    return f"Then {stages}, as long as devices say that it serves; a failing one is halted by itself."
