"""One drift survey: ask every device for noisy counts, merge them, compare with the release's reference."""

import time
from collections import Counter

from flwr.serverapp import Grid

from server.drift import alarm, check, merge, shifts
from server.exchange import Replies, exchange
from server.plain import invite
from server.records import Progress, Run, SurveyRequest, SurveyResult
from server.rounds import gather, stopped
from server.store import Store
from shared import messages
from shared.drift import DriftReport, SurveyPlan, rule_counts
from shared.errors import InputError, WireError
from shared.tasks import Task


def run_survey(grid: Grid, store: Store, run: Run, request: SurveyRequest) -> SurveyResult:
    """Survey the fleet; raises `InputError` when fewer devices than the quorum answered."""
    task = store.task(request.task)
    plan = plan_survey(run.id, task, request)
    cohort = gather(grid, store, request.quorum, len(store.devices()), wait=lambda: not stopped(store, run.id))
    replies = exchange(
        grid,
        invite(cohort, messages.pack("survey", plan), "query.drift", group=str(run.id)),
        goal=len(cohort),
        deadline_seconds=request.deadline_seconds,
        watch=lambda replies: _show(store, run.id, len(cohort), replies) and not stopped(store, run.id),
    )
    reports = _read(replies, task, plan)
    if len(reports) < max(1, request.quorum):
        refused = ", ".join(sorted({*replies.refusals.values(), *replies.failures.values()})) or "no answer"
        raise InputError(f"{len(reports)} devices answered the survey, {request.quorum} are needed ({refused})")
    return _compare(store, task, plan, reports)


def plan_survey(run_id: int, task: Task, request: SurveyRequest) -> SurveyPlan:
    """Write the survey's plan from the task's drift settings."""
    return SurveyPlan(
        run_id=run_id,
        task=task.name,
        revision=task.revision,
        release=request.release,
        window=request.window,
        role=request.role,
        features=request.features,
        score_bins=task.drift.score_bins,
        feature_bins=task.drift.feature_bins,
        score_noise_multiplier=task.drift.score_noise_multiplier,
        feature_noise_multiplier=task.drift.feature_noise_multiplier,
        contract_noise_multiplier=task.contract.noise_multiplier if request.contract else None,
        outcome_noise_multiplier=task.drift.outcome_noise_multiplier if request.outcomes else None,
    )


def _read(replies: Replies, task: Task, plan: SurveyPlan) -> list[DriftReport]:
    """Keep the reports that answer this survey; a bad one costs its sender only."""
    reports: list[DriftReport] = []
    for name, content in replies.contents.items():
        try:
            report = messages.unpack(content, "drift", DriftReport)
            check(report, task, plan)
            reports.append(report)
        except WireError as error:
            replies.failures[name] = str(error)[:200]
    return reports


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
    )
    store.add_survey(result)
    return result


def _show(store: Store, run_id: int, cohort: int, replies: Replies) -> bool:
    store.set_progress(
        Progress(
            run_id=run_id, round_number=1, rounds=1, phase="counting", cohort=cohort,
            returned=len(replies.contents), refused=len(replies.refusals),
            reasons=dict(Counter(replies.refusals.values())), at=time.time(),
        )
    )  # fmt: skip
    return True
