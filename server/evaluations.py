"""One federated evaluation: ask every device for noisy cells under a version's weights, and merge them (rule 13)."""

import time
from collections.abc import Sequence

from flwr.serverapp import Grid

from server.counting import ask_all, read_reports, require_enough
from server.drift import add_up, check_histogram
from server.records import EvaluationRequest, EvaluationResult, Run
from server.rounds import read_weights
from server.store import Store
from shared import messages
from shared.errors import InputError, WireError
from shared.evaluation import EvaluationPlan, EvaluationReport, bins_of
from shared.tasks import Task


def run_evaluation(grid: Grid, store: Store, run: Run, request: EvaluationRequest) -> EvaluationResult:
    """Evaluate on the fleet, and keep the result; raises `InputError` when fewer devices than the quorum answered."""
    task = store.task(request.task, revision=store.version(request.version).revision)
    plan = plan_evaluation(run.id, task, request)
    replies = ask_all(
        grid, store, run, messages.pack("evaluation", plan, array=read_weights(store, request.version)), "query.evaluate",
        quorum=request.quorum, deadline_seconds=request.deadline_seconds,
    )  # fmt: skip
    reports = read_reports(replies, "cells", EvaluationReport, lambda report: check(report, task, plan))
    require_enough(replies, len(reports), quorum=request.quorum, what="the evaluation")
    result = merge(reports, task, plan, at=time.time())
    store.add_evaluation(result)
    return result


def plan_evaluation(run_id: int, task: Task, request: EvaluationRequest) -> EvaluationPlan:
    """Write the evaluation's plan from the task's own terms; raise `InputError` where it has none."""
    if task.evaluation is None:
        raise InputError(f"task {task.name!r} has no [evaluation] table, so devices would refuse")
    return EvaluationPlan(
        run_id=run_id,
        task=task.name,
        revision=task.revision,
        version=request.version,
        window=request.window,
        score_bins=task.evaluation.score_bins,
        noise_multiplier=request.noise_multiplier,
    )


def check(report: EvaluationReport, task: Task, plan: EvaluationPlan) -> None:
    """Raise `WireError` unless the report answers the plan; a bad report costs its sender only."""
    if (report.run_id, report.version) != (plan.run_id, plan.version):
        raise WireError(f"report answers run {report.run_id} on version {report.version}, not this evaluation")
    bins = bins_of(task, plan)
    if report.cells.name != bins.name:
        raise WireError(f"report holds {report.cells.name[:40]!r}, not the cells that were asked for")
    check_histogram(report.cells, bins)


def merge(reports: Sequence[EvaluationReport], task: Task, plan: EvaluationPlan, *, at: float) -> EvaluationResult:
    """Sum reports; raises `WireError` if one does not answer the plan."""
    for report in reports:
        check(report, task, plan)
    return EvaluationResult(
        run_id=plan.run_id,
        task=plan.task,
        revision=plan.revision,
        version=plan.version,
        window=plan.window,
        devices=len(reports),
        score_bins=plan.score_bins,
        cells=add_up([report.cells for report in reports]),
        at=at,
    )
