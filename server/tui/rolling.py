"""Where a task's newest release stands on its way to the fleet: stages, who serves what, and how it fares. No I/O."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal

from server.estimates import Estimate
from server.records import DeviceHealth, RolloutStep, SurveyResult
from server.rollouts import Situation, compares, enough, tally_of
from server.shadow import agreement_of
from server.stages import reached, share_of
from server.tui.releasestate import Phase, PutAside, phase_of, put_aside, steps_of
from server.tui.watcher import Snapshot
from shared.health import FAILING, Health
from shared.lifecycle import RolloutTerms
from shared.models import Release
from shared.rollout import WHOLE
from shared.tasks import Task, Window

StageState = Literal["done", "open", "ahead", "halted"]
NOT_TOLD = "not told"
HOUR = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One stage: the share of the fleet, since when it is open, how many devices it holds, and how many run the release."""

    percent: float
    state: StageState
    since: float | None
    devices: int
    running: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """One release: how many devices are meant to run it, how many do, what those that ran it last said; and its end."""

    release: Release
    meant: int
    running: int
    said: Mapping[str, int] = field(default_factory=dict[str, int])
    aside: PutAside | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fares:
    """One device: which release it is meant to run, which it does, and what it last said of that one."""

    device: str
    meant: int
    running: int
    health: Health | None
    at: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """One thing that the next stage waits for: whether it is met, or stands against the release."""

    state: Literal["met", "open", "against"]
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """For which share of the rows a release that is tried beside the other one answers the same, and which run counted it."""

    run_id: int
    share: Estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class Rolling:
    """The newest release of a task, with the documents of every release that brought it where it is, oldest first."""

    task: Task
    release: Release
    phase: Phase
    share_bp: int
    shadow_bp: int
    stages: tuple[Stage, ...]
    serving: tuple[Serving, ...]
    fleet: tuple[Fares, ...]
    steps: tuple[RolloutStep, ...]
    conditions: tuple[Condition, ...]
    agreement: Agreement | None = None

    @property
    def following(self) -> Stage | None:
        """The stage that would open next."""
        return next((stage for stage in self.stages if stage.state == "ahead"), None)

    @property
    def here(self) -> Stage | None:
        """The stage that is open."""
        return next((stage for stage in self.stages if stage.state == "open"), None)

    @property
    def reached(self) -> int:
        """How many devices run the release now."""
        return sum(each.running == self.release.number for each in self.fleet)


def rolling(task: Task, snapshot: Snapshot, now: float) -> Rolling | None:
    """How far the newest release of a task has come; None before the first."""
    releases = [release for release in snapshot.releases if release.task == task.name]
    if not releases:
        return None
    newest = releases[-1]
    documents = tuple(step for step in snapshot.rollouts if step.rollout.task == task.name)
    found = situation(task, newest, documents, snapshot, now)
    fleet = fares(found, {release.number for release in releases}, snapshot)
    document = found.document
    return Rolling(
        task=task,
        release=newest,
        phase=phase_of(newest, found.steps),
        share_bp=document.share_bp if document else 0 if newest.staged else newest.ceiling_bp,
        shadow_bp=document.shadow_bp if document else 0,
        stages=stages_of(found, fleet),
        serving=tuple(serving(release, fleet, snapshot) for release in reversed(releases)),
        fleet=fleet,
        steps=documents,
        conditions=conditions(found),
        agreement=agreement(task, newest, snapshot),
    )


def situation(
    task: Task, newest: Release, documents: Sequence[RolloutStep], snapshot: Snapshot, now: float
) -> Situation:
    """What the coordinator looks at when it decides, as far as a snapshot holds it."""
    steps = sorted(
        (step for step in documents if step.rollout.release == newest.number), key=lambda step: step.rollout.number
    )
    own = [survey for survey in snapshot.surveys if (survey.task, survey.release) == (task.name, newest.number)]
    canaries: list[SurveyResult] = [survey for survey in own if survey.role == "canary"]
    spoken: list[DeviceHealth] = [each for each in snapshot.health if each.health.task == task.name]
    return Situation(
        release=newest, terms=task.rollout or RolloutTerms(), steps=tuple(steps),
        fleet=tuple(device.name for device in snapshot.devices if device.state == "approved"),
        health=tuple(spoken), now=now,
        evidence=next((each for each in reversed(canaries) if steps and each.at >= steps[-1].at), None),
    )  # fmt: skip


def agreement(task: Task, release: Release, snapshot: Snapshot) -> Agreement | None:
    """What the newest survey that compared a release with the one before found; None before the first."""
    for survey in reversed(snapshot.surveys):
        share = agreement_of(survey, task) if (survey.task, survey.shadow) == (task.name, release.number) else None
        if share is not None:
            return Agreement(run_id=survey.run_id, share=share)
    return None


def fares(found: Situation, own: set[int], snapshot: Snapshot) -> tuple[Fares, ...]:
    """Each approved device, the most urgent first; `own` are the numbers of the task's releases."""
    told = {(each.device, each.health.release): each for each in found.health}
    latest = {each.device: each for each in sorted(found.health, key=lambda each: each.at)}
    newest, document = found.release, found.document
    share = document.share_bp if document else 0 if newest.staged else WHOLE
    inside = members(newest.task, newest.number, newest.ceiling_bp, found.fleet, share)
    rows: list[Fares] = []
    for device in snapshot.devices:
        if device.state != "approved":
            continue
        last = latest.get(device.name)
        running = device.release if device.release in own else last.health.release if last else 0
        said = told.get((device.name, running))
        rows.append(
            Fares(
                device=device.name, meant=newest.number if device.name in inside else newest.fallback, running=running,
                health=said.health if said else None, at=said.at if said else None,
            )
        )  # fmt: skip
    return tuple(sorted(rows, key=urgency))


def urgency(each: Fares) -> tuple[bool, bool, bool, str]:
    """Sorts those that fail to the top, then those on their way, then the silent."""
    failing = each.health is not None and each.health.verdict in FAILING
    return not failing, each.running == each.meant, each.health is not None, each.device


@lru_cache(maxsize=64)
def members(task: str, number: int, ceiling_bp: int, fleet: tuple[str, ...], share_bp: int) -> frozenset[str]:
    """The devices of a fleet that a share of a release reaches: a hash for each, so worked out once."""
    return frozenset(reached(_like(task, number, ceiling_bp), share_bp, fleet))


@lru_cache(maxsize=64)
def stage_share(task: str, number: int, ceiling_bp: int, fleet: tuple[str, ...], percent: float) -> int:
    """The share that a stage would take if it were opened now."""
    return share_of(_like(task, number, ceiling_bp), fleet, percent)


def _like(task: str, number: int, ceiling_bp: int) -> Release:
    """A release, as far as draws depend on it."""
    return Release(number=number, task=task, revision=1, version=1, trained_on=Window(), ceiling_bp=ceiling_bp)


def stages_of(found: Situation, fleet: Sequence[Fares]) -> tuple[Stage, ...]:
    """The stages that were opened and the declared ones that were not; a single one where the release is not staged."""
    newest = found.release
    running = {each.device for each in fleet if each.running == newest.number}
    if not newest.staged:
        return (Stage(percent=100.0, state="done", since=None, devices=len(fleet), running=len(running)),)
    opened = {step.rollout.stage_bp: step for step in reversed(found.steps) if step.rollout.stage_bp}
    most = max(opened, default=0)
    declared = {round(percent * WHOLE / 100) for percent in found.terms.stages}
    rows: list[Stage] = []
    for stage_bp in sorted({*opened, *(each for each in declared if each > most)}):
        step = opened.get(stage_bp)
        place = (newest.task, newest.number, newest.ceiling_bp, found.fleet)
        inside = members(*place, step.rollout.share_bp if step else stage_share(*place, stage_bp * 100 / WHOLE))
        rows.append(
            Stage(
                percent=stage_bp * 100 / WHOLE, state=_state(stage_bp, most, found),
                since=step.at if step else None, devices=len(inside), running=len(inside & running),
            )
        )  # fmt: skip
    return tuple(rows)


def _state(stage_bp: int, most: int, found: Situation) -> StageState:
    state = found.document.state if found.document else "rolling"
    if stage_bp > most:
        return "ahead"
    if stage_bp < most or state == "complete":
        return "done"
    return "halted" if state == "halted" else "open"


def serving(release: Release, fleet: Sequence[Fares], snapshot: Snapshot) -> Serving:
    """Who runs a release now, and what is said of it by those, and by devices that are meant to run it and cannot.

    Of a halted release it is what all devices said last: they went back because of it.
    """
    version = next((each for each in snapshot.versions if each.number == release.version), None)
    phase = phase_of(release, steps_of(release, snapshot.rollouts))
    runs, meant = (
        {each.device for each in fleet if getattr(each, what) == release.number} for what in ("running", "meant")
    )
    approved = {each.device for each in fleet}
    told = {
        each.device: each.health.verdict
        for each in snapshot.health
        if each.device in approved
        and (each.health.task, each.health.release) == (release.task, release.number)
        and (each.device in runs or (each.device in meant and each.health.verdict in FAILING) or phase == "halted")
    }
    silent = sum(each.running == release.number and each.device not in told for each in fleet)
    said = Counter[str](told.values()) + Counter({NOT_TOLD: silent})
    return Serving(
        release=release,
        meant=len(meant),
        running=len(runs),
        said=dict(said),
        aside=put_aside(version.stage if version else None, phase),
    )


def conditions(found: Situation) -> tuple[Condition, ...]:
    """What the next stage waits for, what is met, and what stands against the release; nothing once it came to an end."""
    document, terms = found.document, found.terms
    if document is None or document.state in {"halted", "complete"}:
        return ()
    tally = tally_of(found)
    needed, lasts = enough(tally.devices, terms.min_reporting), terms.periods * terms.period_hours
    failing = len(tally.failing)
    most, age = f"at most {100 * terms.max_failing:g} % may", (found.now - found.since) / HOUR
    evidence = found.evidence.evidence if found.evidence else ()
    return (
        Condition(
            state="met" if tally.serving >= needed else "open",
            words=f"{tally.serving} of {tally.devices} say that it serves, {needed} must",
        ),
        Condition(
            state="against" if failing > terms.max_failing * tally.told else "met",
            words=f"{failing or 'none'} of them {'fail' if failing > 1 else 'fails'}, {most}",
        ),
        Condition(
            state="met" if age >= lasts else "open", words=f"open for {max(0.0, age):.1f} h of at least {lasts:g} h"
        ),
        *(Condition(state="against" if each.alarm else "open" if each.untold else "met", words=each.says) for each in evidence),
        *([Condition(state="open", words="charged counts of outcomes on both sides")] if compares(found) and not evidence else []),
    )  # fmt: skip
