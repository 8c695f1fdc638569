"""The charged survey of a rollout: both sides of its share count the same window, each under the release that it runs."""

import math
import time
from collections.abc import Mapping
from dataclasses import replace

from flwr.serverapp import Grid

from server.counting import ask_each, require_enough
from server.drift import check, merge
from server.evidence import compare
from server.exchange import Replies
from server.records import Run, SurveyRequest, SurveyResult
from server.situation import fleet_of, steps_of
from server.stages import reached
from server.store import Store
from shared import messages
from shared.drift import DriftReport, SurveyPlan
from shared.errors import InputError, WireError
from shared.models import Release
from shared.tasks import Task

ANSWERING = 0.5
"""The share of the devices of each side that must answer."""


def run_canary(grid: Grid, store: Store, run: Run, request: SurveyRequest, plan: SurveyPlan) -> SurveyResult:
    """Ask everybody; raises `InputError` when too few of one side answered, or the rollout went on meanwhile."""
    task, release = store.task(request.task), rolling(store, request)
    plans = plans_of(store, release, plan)
    replies = ask_each(
        grid, store, run, {name: messages.pack("survey", each) for name, each in plans.items()}, "query.drift",
        quorum=request.quorum, deadline_seconds=request.deadline_seconds,
    )  # fmt: skip
    reports = _read(replies, task, plans)
    require_enough(replies, len(reports), quorum=request.quorum, what="the canary's survey")
    return conclude(store, task, plan, release, plans, reports)


def plans_of(store: Store, release: Release, plan: SurveyPlan) -> dict[str, SurveyPlan]:
    """What each approved device is asked: devices in the share about the release, the others about the one before."""
    fleet = fleet_of(store)
    share = steps_of(store, release)[-1].rollout.share_bp
    inside = frozenset(reached(release, share, fleet))
    return {name: replace(plan, release=release.number if name in inside else release.fallback) for name in fleet}


def conclude(
    store: Store, task: Task, plan: SurveyPlan, release: Release, plans: Mapping[str, SurveyPlan],
    reports: Mapping[str, DriftReport],
) -> SurveyResult:  # fmt: skip
    """Merge both sides, compare them and keep the result; raise `InputError` where too few of one side answered."""
    sides = {number: _side(number, plans, reports) for number in (release.number, release.fallback)}
    canary, control = sides.values()
    before = replace(plan, release=release.fallback)
    result = SurveyResult(
        run_id=plan.run_id, task=task.name, release=release.number, role="canary", window=plan.window,
        devices=len(reports), histograms=merge(canary, task, plan), control=merge(control, task, before),
        evidence=compare(task, canary, control), at=time.time(),
    )  # fmt: skip
    store.add_survey(result)
    return result


def _side(number: int, plans: Mapping[str, SurveyPlan], reports: Mapping[str, DriftReport]) -> list[DriftReport]:
    asked = [name for name, plan in plans.items() if plan.release == number]
    answered = [reports[name] for name in sorted(asked) if name in reports]
    if len(answered) < max(1, math.ceil(ANSWERING * len(asked))):
        raise InputError(f"{len(answered)} of the {len(asked)} devices on release {number} gave counts, half must")
    return answered


def rolling(store: Store, request: SurveyRequest) -> Release:
    """The release that the survey is about, if it is still on its way and there is one to compare it with."""
    newest = store.releases(request.task)[-1]
    if newest.number != request.release or not newest.fallback:
        raise InputError(f"release {request.release} is not on its way to the fleet any more, so nothing is compared")
    return newest


def _read(replies: Replies, task: Task, plans: Mapping[str, SurveyPlan]) -> dict[str, DriftReport]:
    """The reports that answer what their senders were asked; a bad one costs its sender only."""
    reports: dict[str, DriftReport] = {}
    for name, content in replies.contents.items():
        try:
            report = messages.unpack(content, "drift", DriftReport)
            check(report, task, plans[name])
            reports[name] = report
        except WireError as error:
            replies.failures[name] = str(error)[:200]
    return reports
