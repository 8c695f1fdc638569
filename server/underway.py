"""Where a task's newest release stands, put together for people: its stages, who serves what, what it waits for."""

import time
from collections import Counter
from dataclasses import dataclass
from typing import Literal

from server.records import RolloutStep
from server.rollouts import Act, Ruling, Situation, decide
from server.situation import fleet_of, look
from server.stages import reached, share_of
from server.store import Store
from shared.errors import InputError
from shared.health import FAILING
from shared.models import Release
from shared.rollout import WHOLE, RolloutState, chosen
from shared.tasks import Task

AHEAD: dict[Act, str] = {
    "wait": "waits", "open": "opens the next stage", "complete": "completes", "halt": "halts", "ask": "asks",
}  # fmt: skip
"""A ruling in words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """One release: how many approved devices are meant to run it, how many say they do, and how those fare."""

    release: int
    version: int
    meant: int
    running: int
    said: dict[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class StageShown:
    """One stage: its percent, how many devices it holds or would hold, and when it was opened (Unix time), if it was."""

    percent: float
    devices: int
    opened_at: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class UnderWay:
    """Everything about a task's rollout; `state` is `unstaged` for a release that went to everyone at once."""

    task: str
    release: int
    version: int
    state: Literal["waiting", "unstaged"] | RolloutState
    share_bp: int
    shadow_bp: int
    devices: int
    stages: tuple[StageShown, ...]
    serving: tuple[Serving, ...]
    steps: tuple[RolloutStep, ...]
    next: Ruling | None

    @property
    def reach(self) -> int:
        """How many devices are meant to run the release."""
        return sum(each.meant for each in self.serving if each.release == self.release)

    @property
    def ahead(self) -> str:
        """What the coordinator does next and why, if it does anything."""
        return f"{AHEAD[self.next.act]}: {self.next.why}" if self.next else ""


def under_way(store: Store, task: Task, *, now: float | None = None) -> UnderWay:
    """How far the newest release has come; raise `InputError` before the first."""
    releases = store.releases(task.name)
    if not releases:
        raise InputError(f"task {task.name!r} has no release yet; `covey promote` makes one")
    newest, found = releases[-1], look(store, task, now=time.time() if now is None else now)
    document = found.document if found else None
    return UnderWay(
        task=task.name, release=newest.number, version=newest.version,
        state=document.state if document else "waiting" if newest.staged else "unstaged",
        share_bp=document.share_bp if document else 0 if newest.staged else newest.ceiling_bp,
        shadow_bp=document.shadow_bp if document else 0,
        devices=len(fleet_of(store)),
        stages=_stages(found) if found else (),
        serving=_serving(store, task, releases, found),
        steps=found.steps if found else (),
        next=decide(found) if found else None,
    )  # fmt: skip


def where(found: UnderWay) -> str:
    """How far a release has come and what is next, in a line."""
    ahead = f"; {found.ahead}" if found.ahead else ""
    return f"release {found.release} is {found.state}, {found.reach} of {found.devices} devices{ahead}"


def _stages(found: Situation) -> tuple[StageShown, ...]:
    """The stages that were opened, and the declared ones that were not."""
    opened = {step.rollout.stage_bp: step.at for step in reversed(found.steps)}
    ahead = {
        round(percent * WHOLE / 100)
        for percent in found.terms.stages
        if round(percent * WHOLE / 100) > max(opened, default=0)
    }
    return tuple(
        StageShown(percent=bp * 100 / WHOLE, devices=_held(found, bp), opened_at=opened.get(bp))
        for bp in sorted({*opened, *ahead})
    )


def _held(found: Situation, stage_bp: int) -> int:
    """How many devices a stage holds, or would hold if it were opened now."""
    shares = [step.rollout.share_bp for step in found.steps if step.rollout.stage_bp == stage_bp]
    share = max(shares) if shares else share_of(found.release, found.fleet, stage_bp * 100 / WHOLE)
    return len(reached(found.release, share, found.fleet))


def _serving(store: Store, task: Task, releases: list[Release], found: Situation | None) -> tuple[Serving, ...]:
    """The releases that anybody is meant to run, or says to run, newest first.

    A device speaks for the release that it runs now, and against the one that it is meant to run and cannot; of a halted
    release counts what each said last.
    """
    newest, document = releases[-1], found.document if found else None
    fleet, numbers = fleet_of(store), {release.number: release for release in releases}
    meant = Counter(chosen(newest, document, name) for name in fleet)
    told = [each for each in store.health(task.name) if each.device in fleet]
    latest = {each.device: each for each in sorted(told, key=lambda each: each.at)}
    runs = {name: latest[name].health.release for name in fleet if name in latest}
    runs |= {d.name: d.release for d in store.devices() if d.name in fleet and d.release in numbers}
    running = Counter(runs.values())
    said = {
        (each.device, each.health.release): each.health.verdict
        for each in told
        if runs.get(each.device) == each.health.release
        or (each.health.verdict in FAILING and chosen(newest, document, each.device) == each.health.release)
        or (document is not None and document.state == "halted" and each.health.release == newest.number)
    }
    return tuple(
        Serving(
            release=number, version=numbers[number].version, meant=meant[number], running=running[number],
            said=dict(Counter(verdict for (_, release), verdict in said.items() if release == number)),
        )
        for number in sorted(numbers, reverse=True)
        if meant[number] or running[number] or number == newest.number
    )  # fmt: skip
