"""One drift survey: ask every device for noisy counts, merge them, compare with the release's reference."""

import time

from flwr.serverapp import Grid

from server.canary import run_canary
from server.counting import ask_all, read_reports, require_enough
from server.drift import alarm, check, merge, shifts
from server.records import Run, SurveyRequest, SurveyResult
from server.spending import noise_of
from server.store import Store
from shared import messages
from shared.drift import DriftReport, SurveyPlan, rule_counts
from shared.errors import InputError
from shared.tasks import Task


def run_survey(grid: Grid, store: Store, run: Run, request: SurveyRequest) -> SurveyResult:
    """Survey the fleet; raises `InputError` when fewer devices than the quorum answered."""
    task = store.task(request.task)
    plan = plan_survey(run.id, task, request)
    if request.role == "canary":
        return run_canary(grid, store, run, request, plan)
    replies = ask_all(
        grid, store, run, messages.pack("survey", plan), "query.drift", quorum=request.quorum,
        deadline_seconds=request.deadline_seconds,
    )  # fmt: skip
    reports = read_reports(replies, "drift", DriftReport, lambda report: check(report, task, plan))
    require_enough(replies, len(reports), quorum=request.quorum, what="the survey")
    return _compare(store, task, plan, reports)


def plan_survey(run_id: int, task: Task, request: SurveyRequest) -> SurveyPlan:
    """Write the survey's plan from the task's drift settings; raise `InputError` if they changed since it was asked for."""
    if request.noise and request.noise != noise_of(request, task):
        raise InputError(f"task {task.name!r} was revised since this survey was asked for; ask for another one")
    return SurveyPlan(
        run_id=run_id,
        task=task.name,
        revision=task.revision,
        release=request.release,
        window=request.window,
        role="reference" if request.role == "reference" else "current",
        features=request.features,
        score_bins=task.drift.score_bins,
        feature_bins=task.drift.feature_bins,
        score_noise_multiplier=task.drift.score_noise_multiplier,
        feature_noise_multiplier=task.drift.feature_noise_multiplier,
        contract_noise_multiplier=task.contract.noise_multiplier if request.contract else None,
        outcome_noise_multiplier=task.drift.outcome_noise_multiplier if request.outcomes else None,
        shadow=request.shadow,
    )


def _compare(store: Store, task: Task, plan: SurveyPlan, reports: list[DriftReport]) -> SurveyResult:
    merged = merge(reports, task, plan)
    reference = next(
        (s for s in reversed(store.surveys(plan.task)) if s.role == "reference" and s.release == plan.release), None
    )
    moved = shifts(reference.histograms, merged, devices=len(reports)) if reference and plan.role == "current" else ()
    result = SurveyResult(
        run_id=plan.run_id,
        task=plan.task,
        release=plan.release,
        role=plan.role,
        window=plan.window,
        devices=len(reports),
        histograms=merged,
        shifts=moved,
        rules=rule_counts(task, merged),
        alarm=alarm(moved, task.drift),
        at=time.time(),
        shadow=plan.shadow,
    )
    store.add_survey(result)
    return result
