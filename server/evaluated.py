"""What one evaluation comes to: figures over all rows, and the groups at a threshold."""

from dataclasses import dataclass

from server.estimates import CONFIDENCE, Estimate
from server.fairness import Fairness, fairness
from server.metrics import auc, calibration_error, pr_auc, read, threshold_at
from server.records import EvaluationResult
from server.store import Store
from shared.errors import InputError
from shared.tasks import Window

EVEN = 0.5
"""The score from which on a row of two classes is more likely of the last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluated:
    """The figures of a version's evaluation, each between bounds that hold with `confidence`."""

    run_id: int
    version: int
    window: Window
    devices: int
    confidence: float
    auc: Estimate
    pr_auc: Estimate
    calibration_error: Estimate
    fairness: Fairness


def newest(store: Store, task: str, version: int | None) -> EvaluationResult:
    """The newest evaluation of a task or of one of its versions; raise `InputError` where there is none."""
    found = store.evaluations(task, version)
    if not found:
        what = f"version {version}" if version is not None else f"task {task!r}"
        raise InputError(f"{what} was never evaluated; `covey evaluate` asks the fleet")
    return found[-1]


def evaluated(store: Store, result: EvaluationResult, *, threshold: float | None) -> Evaluated:
    """Read a result as the revision has it that it was counted for.

    By default rows are alerted on from the task's alert rate on, or from a score of one half.
    """
    task = store.task(result.task, revision=result.revision)
    cells = read(result.cells, task, result.score_bins)
    rate, sure = task.gates.alert_rate, task.gates.confidence or CONFIDENCE
    usual = EVEN if rate is None else threshold_at(cells, rate)
    return Evaluated(
        run_id=result.run_id,
        version=result.version,
        window=result.window,
        devices=result.devices,
        confidence=sure,
        auc=auc(cells, sure),
        pr_auc=pr_auc(cells, sure),
        calibration_error=calibration_error(cells, sure),
        fairness=fairness(cells, usual if threshold is None else threshold, sure),
    )
