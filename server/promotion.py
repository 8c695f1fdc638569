"""From a candidate version to a signed release, and back to older weights where that was a mistake."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from server import lineage, rollout_acts, rollout_duty
from server.config import Federation
from server.gating import gate
from server.records import CampaignRequest, GateVerdict
from server.releases import publish_release, published_releases, signed_files
from server.rollouts import in_force
from server.situation import is_under_way
from server.store import Store
from shared import wire
from shared.errors import InputError, ReleaseError
from shared.lifecycle import LEAST_PERCENT, MOST_PERCENT, RolloutTerms
from shared.models import ModelVersion, Release, Stage
from shared.quantization import RECIPE
from shared.reference import make_reference
from shared.runtime import open_model
from shared.tasks import Task, Window

PUT_ASIDE: tuple[Stage, ...] = ("halted", "withdrawn")
"""Versions that are neither promoted nor gone back to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How a release reaches the fleet: `everyone` at once, or `percent` first (by default the task's first stage).

    With `shadow`, whoever is next looks on first.
    """

    everyone: bool = False
    percent: float | None = None
    shadow: bool = False

    def __post_init__(self) -> None:
        """Refuse a canary of nobody or of all, and one of a release that has none."""
        if self.everyone and (self.percent is not None or self.shadow):
            raise InputError("a release for everyone has no canary: leave --percent and --shadow out, or --all")
        if self.percent is not None and not LEAST_PERCENT <= self.percent <= MOST_PERCENT:
            raise InputError(
                f"--percent must lie between {LEAST_PERCENT} and {MOST_PERCENT}, got {self.percent:g}; "
                "--all reaches everyone"
            )


def promote(
    federation: Federation, store: Store, task: Task, version: int, *, probe: Path | None = None, command: str = "",
    way: Way | None = None,
) -> Release:  # fmt: skip
    """Export, test, sign and record `version`; `probe` names public rows that are asked beside the fleet.

    A failing gate raises `ReleaseError` with its figure, and nothing is signed. The version's lineage keeps `command`.
    It reaches the fleet in stages where the task declares a rollout, else at once, unless `way` says otherwise.
    """
    recover(federation, store, task)
    candidate, way = store.version(version), way or Way(everyone=task.rollout is None)
    _require_fit(task, candidate)
    _require_arrived(store, task)
    gated = gate(federation, store, version, probe=probe)
    fp32, verdicts = gated.fp32, gated.verdicts
    _require_passed(version, verdicts)
    draft = replace(
        draft_of(store, candidate), recipe=RECIPE, reference=make_reference(task, open_model(fp32), seed=version)
    )
    return publish(federation, store, task, draft, fp32, verdicts, way=way, command=command)


def publish(
    federation: Federation, store: Store, task: Task, draft: Release, fp32: bytes, verdicts: Sequence[GateVerdict], *,
    way: Way, command: str = "", now: float | None = None,
) -> Release:  # fmt: skip
    """Sign and record a file that was tested, and open its canary unless it is for everyone at once."""
    before = None if way.everyone else _sound(store, task.name)
    staged = replace(draft, staged=not way.everyone, fallback=before.number if before else 0)
    release = publish_release(federation, staged, {"fp32.onnx": fp32, "task.json": wire.to_json(task)})
    store.add_release(release, verdicts)
    lineage.record_promotion(store, release.version, command=command)
    what = f"{task.name}: version {release.version} is release {release.number}"
    store.audit("operator", "promote", what, command=command)
    if release.staged:
        percent = way.percent or (task.rollout or RolloutTerms()).stages[0]
        rollout_duty.begin(
            federation, store, task, release, percent=percent, shadow=way.shadow, now=now, command=command
        )
    return release


def withdraw(federation: Federation, store: Store, task: Task, release: int, *, command: str = "") -> Release:
    """Mark a release's version withdrawn; return the release that is in force from now on.

    One that is on its way is halted. If the version is in force, the newest older one that was not withdrawn is signed
    again, byte for byte, as a newer release for everyone. Raise `ReleaseError` if there is none.
    """
    recover(federation, store, task)
    history = store.releases(task.name)
    mistake = next((one for one in history if one.number == release), None)
    if mistake is None:
        raise InputError(f"task {task.name!r} has no release {release}; `covey models` lists them")
    serves = in_force(history, store.rollouts(task.name))
    if serves is not None and store.version(mistake.version).stage == "withdrawn":
        raise InputError(f"release {release} was withdrawn already; release {serves.number} is in force")
    if history[-1].version == mistake.version and is_under_way(store, task):
        if serves is None:
            raise ReleaseError(f"release {release} has no earlier one to give way to; `covey rollout halt` stops it")
        rollout_acts.halt(federation, store, task, why="it was withdrawn", command=command)
    elif serves is None or serves.version == mistake.version:
        serves = _sign_again(federation, store, _before(store, mistake))
    store.set_stage(mistake.version, "withdrawn")
    store.audit(
        "operator", "withdraw", f"{task.name}: release {release} gives way to release {serves.number}", command=command
    )
    return serves


def recover(federation: Federation, store: Store, task: Task) -> None:
    """Record what was signed but, because of a crash right after, not written down."""
    known = {release.number for release in store.releases(task.name)}
    for release in published_releases(federation, task.name):
        if release.number not in known:
            store.add_release(release, ())
            store.audit("coordinator", "recover", f"{task.name}: release {release.number} was signed before a crash")
    with rollout_duty.steering(federation):
        rollout_duty.catch_up(federation, store, task)


def _require_fit(task: Task, candidate: ModelVersion) -> None:
    if candidate.task != task.name:
        raise InputError(f"version {candidate.number} belongs to task {candidate.task!r}, not to {task.name!r}")
    if candidate.revision != task.revision:
        raise InputError(
            f"version {candidate.number} was trained for revision {candidate.revision} of {task.name!r}, which is at"
            f" revision {task.revision} now; promote a version of this revision"
        )
    if candidate.stage in PUT_ASIDE:
        raise InputError(f"version {candidate.number} was {candidate.stage}; promote another one")


def _require_arrived(store: Store, task: Task) -> None:
    """One release at a time is on its way, so that a device outside a share always has a whole one to run."""
    if is_under_way(store, task):
        newest = store.releases(task.name)[-1].number
        raise InputError(
            f"release {newest} of {task.name!r} is still on its way: let it arrive, or end it with `covey rollout halt`"
        )


def _require_passed(version: int, verdicts: tuple[GateVerdict, ...]) -> None:
    failures = [f"{v.name}: expected {v.expected}, found {v.found}" for v in verdicts if not v.passed]
    if failures:
        raise ReleaseError(f"version {version} is not released; {'; '.join(failures)}")


def draft_of(store: Store, candidate: ModelVersion) -> Release:
    """What a release of a version says before it is signed."""
    return Release(
        number=0,
        task=candidate.task,
        revision=candidate.revision,
        version=candidate.number,
        trained_on=_window(store, candidate),
    )


def _window(store: Store, candidate: ModelVersion) -> Window:
    """The rows that the version's run asked for; a task's first, untrained version saw none."""
    if not candidate.run_id:
        return Window()
    return wire.from_json(CampaignRequest, store.run(candidate.run_id).request.encode()).window


def _before(store: Store, mistake: Release) -> Release:
    """The newest release of another version that was meant for all and not put aside."""
    before = _sound(store, mistake.task, but=mistake.version)
    if before is None:
        raise ReleaseError(
            f"release {mistake.number} has no earlier one to give way to; promote another version instead"
        )
    return before


def _sound(store: Store, task: str, *, but: int = 0) -> Release | None:
    """The newest release that is meant for every device and whose version, not `but`, was not put aside."""
    sound = [
        one for one in store.releases(task) if one.version != but and store.version(one.version).stage not in PUT_ASIDE
    ]
    return in_force(sound, store.rollouts(task))


def _sign_again(federation: Federation, store: Store, earlier: Release) -> Release:
    whole = replace(earlier, staged=False, fallback=0)
    release = publish_release(federation, whole, signed_files(federation, earlier))
    store.add_release(release, [wire.decode(GateVerdict, row) for row in json.loads(store.gates(earlier.number))])
    return release
