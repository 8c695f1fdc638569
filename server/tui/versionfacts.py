"""What there is to know of a version, as named facts: for its details, and for two versions side by side."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

from server.estimates import Estimate
from server.pedigree import spend_of
from server.tui.versionstate import (
    STANDINGS,
    VERDICTS,
    Quality,
    count,
    evaluation_of,
    releases_of,
    standing,
    verdicts_of,
)
from server.tui.watcher import Snapshot
from server.tui.words import plain, plural, stamp
from shared.models import ModelVersion
from shared.rounds import RoundPlan, RoundResult
from shared.tasks import Task

NONE = "-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One figure: its name, how it reads, and the estimate that it is of, if it is one."""

    name: str
    value: str
    estimate: Estimate | None = None


Facts = dict[str, tuple[Fact, ...]]
"""Facts by what they are about, in the order in which they are read."""


def facts(version: ModelVersion, snapshot: Snapshot, quality: Quality | None) -> Facts:
    """All facts of a version, without those of its single gates."""
    return {
        "Evaluation": tuple(_evaluation(version, snapshot, quality)),
        "Privacy": tuple(_privacy(version, snapshot)),
        "From": tuple(_origin(version, snapshot)),
        "Settings": tuple(_settings(version, snapshot)),
        "Fleet": tuple(_fleet(version, snapshot)),
    }


def ancestry(version: ModelVersion, snapshot: Snapshot) -> Iterator[ModelVersion]:
    """A version, its parent, and so on; a parent that is lost ends it."""
    known = {each.number: each for each in snapshot.versions}
    at: ModelVersion | None = version
    while at is not None:
        yield at
        at = known.get(at.parent) if at.parent < at.number else None


def spend(version: ModelVersion, snapshot: Snapshot, task: Task) -> float:
    """The most that the rounds behind a version can have cost one device, for single rows."""
    reached: dict[int, int] = {}
    for each in ancestry(version, snapshot):
        reached.setdefault(each.run_id, each.round_number)
    return spend_of(task, list(_rounds(reached, snapshot))).epsilon


def _rounds(reached: dict[int, int], snapshot: Snapshot) -> Iterator[RoundResult]:
    results = chain.from_iterable(snapshot.rounds.get(run, ()) for run in sorted(reached))
    return (result for result in results if result.plan.number <= reached[result.plan.run_id])


def plan_of(version: ModelVersion, snapshot: Snapshot) -> RoundPlan | None:
    """The plan of the round that made a version."""
    results = snapshot.rounds.get(version.run_id, ())
    return next((result.plan for result in results if result.plan.number == version.round_number), None)


def _origin(version: ModelVersion, snapshot: Snapshot) -> Iterator[Fact]:
    plan, lineage = plan_of(version, snapshot), snapshot.lineages.get(version.number)
    yield Fact(name="task", value=f"{version.task}, revision {version.revision}")
    yield Fact(name="parent", value=f"v{version.parent}" if version.parent else NONE)
    made = f"run {version.run_id}, round {version.round_number}" if version.run_id else "untrained"
    yield Fact(name="made by", value=made)
    yield Fact(name="made", value=stamp(version.created_at))
    yield Fact(name="rows", value=str(plan.window) if plan else NONE)
    yield Fact(name="code", value=lineage.code[:12] if lineage and lineage.code else NONE)
    yield Fact(name="contract", value=lineage.contract[:12] if lineage and lineage.contract else NONE)
    yield Fact(name="weights", value=version.weights_sha256[:12])


def _settings(version: ModelVersion, snapshot: Snapshot) -> Iterator[Fact]:
    plan = plan_of(version, snapshot)
    for name, value in (
        ("mode", plan and plan.mode),
        ("noise", plan and f"{plan.noise_multiplier:g}"),
        ("sample rate", plan and f"{plan.sample_rate:g}"),
        ("steps", plan and str(plan.steps)),
        ("clip", plan and f"{plan.max_grad_norm:g}"),
        ("learning rate", plan and f"{plan.learning_rate:g}"),
    ):
        yield Fact(name=name, value=value or NONE)


def _privacy(version: ModelVersion, snapshot: Snapshot) -> Iterator[Fact]:
    task = _task(version, snapshot)
    if task is None:
        return
    delta = task.privacy.delta
    yield Fact(name="ε at most", value=f"{spend(version, snapshot, task):.2f}")
    yield Fact(name="ceiling", value=f"{plain(task.privacy.epsilon)} at δ {delta:g}")


def _evaluation(version: ModelVersion, snapshot: Snapshot, quality: Quality | None) -> Iterator[Fact]:
    found = evaluation_of(version, snapshot)
    if found is None or quality is None:
        yield Fact(name="AUC", value=NONE)
        return
    for name, estimate in (
        ("AUC", quality.auc), ("PR-AUC", quality.pr_auc), ("calibration", quality.calibration_error)
    ):  # fmt: skip
        yield Fact(name=name, value=between(estimate), estimate=estimate)
    yield Fact(name="counted", value=f"{found.window}, {plural(found.devices, 'device')}")


def _fleet(version: ModelVersion, snapshot: Snapshot) -> Iterator[Fact]:
    own, lineage = releases_of(version, snapshot), snapshot.lineages.get(version.number)
    numbers = {release.number for release in own}
    running = sum(device.release in numbers and device.state == "approved" for device in snapshot.devices)
    yield Fact(name="stands as", value=STANDINGS[standing(version, snapshot)].word)
    yield Fact(name="releases", value=", ".join(f"r{release.number}" for release in own) or NONE)
    yield Fact(name="runs on", value=plural(running, "device"))
    verdicts = count(verdicts_of(version, snapshot))
    yield Fact(
        name="gates", value=", ".join(f"{found} {VERDICTS[state].word}" for state, found in verdicts.items()) or NONE
    )
    yield Fact(name="promoted by", value=(lineage.promoted_by if lineage else "") or NONE)
    yield Fact(name="command", value=(lineage.command if lineage else "") or NONE)


def between(estimate: Estimate) -> str:
    """A figure with its bounds; bounds that are all or nothing say that nothing is known."""
    if not estimate.tells:
        return "cannot tell"
    return f"{estimate.value:.3f} ({estimate.low:.3f} to {estimate.high:.3f})"


def _task(version: ModelVersion, snapshot: Snapshot) -> Task | None:
    return next((task for task in snapshot.tasks if task.name == version.task), None)
