"""What a version is to the fleet now, how its tests came out, and how good it is: read off a snapshot, without I/O."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from server import metrics
from server.estimates import Estimate
from server.records import EvaluationResult, GateVerdict
from server.tui.releasestate import Phase, phase_of, put_aside, steps_of
from server.tui.watcher import Snapshot
from server.tui.words import STAGE_MARKS, Mark
from shared.errors import InputError
from shared.models import ModelVersion, Release
from shared.tasks import Task

Standing = Literal["candidate", "canary", "current", "released", "halted", "withdrawn"]

STANDINGS: dict[Standing, Mark] = {
    "candidate": STAGE_MARKS["candidate"],
    "canary": STAGE_MARKS["canary"],
    "current": Mark("●", "current", "$text-success"),
    "released": Mark("○", "replaced", "$foreground 60%"),
    "halted": Mark("■", "halted", "$text-error"),
    "withdrawn": STAGE_MARKS["withdrawn"],
}
VERDICTS: dict[str, Mark] = {
    "passed": Mark("✓", "passed", "$text-success"),
    "failed": Mark("✕", "failed", "$text-error"),
    "undecided": Mark("?", "undecided", "$text-warning"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """What one evaluation says of a version, each figure between its bounds."""

    auc: Estimate
    pr_auc: Estimate
    calibration_error: Estimate


def releases_of(version: ModelVersion, snapshot: Snapshot) -> tuple[Release, ...]:
    """The releases that offer a version, oldest first."""
    return tuple(release for release in snapshot.releases if release.version == version.number)


def standing(version: ModelVersion, snapshot: Snapshot) -> Standing:
    """What a version is to the fleet: `current` is what devices outside a rollout run, or all once it is complete.

    One that was taken away stays halted or withdrawn, whatever was released since.
    """
    own = releases_of(version, snapshot)
    if aside := put_aside(version.stage, _phase(own[-1], snapshot) if own else None):
        return aside
    if not own:
        return "candidate"
    newest = [release for release in snapshot.releases if release.task == version.task][-1]
    phase = _phase(newest, snapshot)
    if own[-1].number == newest.number:
        return "current" if phase in {"complete", "whole"} else "canary"
    stands_in = phase not in {"complete", "whole"} and own[-1].number == newest.fallback
    return "current" if stands_in else "released"


def _phase(release: Release, snapshot: Snapshot) -> Phase:
    return phase_of(release, steps_of(release, snapshot.rollouts))


def verdicts_of(version: ModelVersion, snapshot: Snapshot) -> tuple[GateVerdict, ...]:
    """How a version's tests came out last; of one that an older Covey released, what let it pass."""
    found = [gating.verdicts for gating in snapshot.gatings if gating.version == version.number]
    own = releases_of(version, snapshot)
    return found[-1] if found else snapshot.gates.get(own[-1].number, ()) if own else ()


def evaluation_of(version: ModelVersion, snapshot: Snapshot) -> EvaluationResult | None:
    """The newest evaluation of a version."""
    return next((each for each in reversed(snapshot.evaluations) if each.version == version.number), None)


def count(verdicts: Sequence[GateVerdict]) -> dict[str, int]:
    """How many gates came out each way, the worst first."""
    states = [verdict.state for verdict in verdicts]
    return {state: states.count(state) for state in ("failed", "undecided", "passed") if state in states}


class Qualities:
    """Figures of evaluations, each worked out once: drawing their bounds takes milliseconds."""

    def __init__(self) -> None:
        """Nothing is known at first."""
        self._known: dict[int, Quality | None] = {}

    def of(self, evaluation: EvaluationResult | None, task: Task | None) -> Quality | None:
        """The figures of one evaluation; None where there is none, or it counted what the task no longer has."""
        if evaluation is None or task is None:
            return None
        if evaluation.run_id not in self._known:
            self._known[evaluation.run_id] = quality(evaluation, task)
        return self._known[evaluation.run_id]


def quality(evaluation: EvaluationResult, task: Task) -> Quality | None:
    """AUC, PR-AUC and calibration error, read off the noisy cells."""
    try:
        cells = metrics.read(evaluation.cells, task, evaluation.score_bins)
    except InputError:
        return None
    return Quality(
        auc=metrics.auc(cells), pr_auc=metrics.pr_auc(cells), calibration_error=metrics.calibration_error(cells)
    )
