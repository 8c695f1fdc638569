"""Surveys of a replay: each device's answer and the coordinator's reading of all of them, by the code that ships.

The score is counted, and outcomes where the loss is watched: nothing else raises an alarm. Noise comes from the
operating system as it does on a device, so no seed repeats it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from client.drift import count, report
from server.drift import alarm, merge, shifts
from server.records import SurveyRequest, SurveyResult
from server.surveys import plan_survey
from shared.drift import OUTCOMES, Histogram, Shift, SurveyPlan, SurveyRole, edges_of
from shared.tasks import Task, Window
from simulations.replay.answers import Cells
from simulations.replay.world import Scores, Served


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What a survey said of a month, and what only a replay knows: the PSI without any noise."""

    shift: Shift
    alarm: bool
    exact: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """How often surveys were asked about the same month, and how often they raised an alarm."""

    surveys: int
    alarms: int


def survey_plan(
    task: Task, window: Window, role: SurveyRole, *, run: int = 1, release: int = 1, outcomes: bool = False
) -> SurveyPlan:
    """A survey of the score, and of outcomes if asked, with the task's noise; its `events` are what a device pays."""
    request = SurveyRequest(
        task=task.name, release=release, window=window, role=role, features=False, quorum=1, deadline_seconds=120.0,
        outcomes=outcomes,
    )  # fmt: skip
    return plan_survey(run, task, request)


def counted_outcomes(task: Task, plan: SurveyPlan, cells: Cells) -> tuple[Histogram, ...]:
    """Every device's noisy outcomes, merged; `cells` are the exact ones, `(devices, 2, bins)`.

    The scores stay uncounted, with their noise alone: who watches the loss does not look at them.
    """
    none = np.zeros((0, len(task.label.classes)), np.float32)
    reports = [report(plan, task, columns={}, scores=none, cells={OUTCOMES: own.ravel()}) for own in cells]
    return merge(reports, task, plan)


def result(
    plan: SurveyPlan, histograms: tuple[Histogram, ...], *, at: float, devices: int, seen: "Seen | None" = None
) -> SurveyResult:
    """What the coordinator keeps of a survey."""
    return SurveyResult(
        run_id=plan.run_id, task=plan.task, release=plan.release, role=plan.role, window=plan.window, devices=devices,
        histograms=histograms, shifts=(seen.shift,) if seen else (), alarm=seen is not None and seen.alarm, at=at,
    )  # fmt: skip


def counted(task: Task, plan: SurveyPlan, scores: Sequence[Scores]) -> tuple[Histogram, ...]:
    """Every device's noisy answer, merged; `scores` are each one's, `(rows, classes)`."""
    return merge([report(plan, task, columns={}, scores=each) for each in scores], task, plan)


def compare(task: Task, plan: SurveyPlan, reference: Sequence[Histogram], before: Served, now: Served) -> Seen:
    """Survey a month against the reference that was counted on `before`."""
    found = shifts(reference, counted(task, plan, now.scores), devices=len(now.scores))
    return Seen(shift=found[0], alarm=alarm(found, task.drift), exact=exact_psi(task, plan, before, now))


def exact_psi(task: Task, plan: SurveyPlan, before: Served, now: Served) -> float:
    """The PSI of the scores of two windows by the coordinator's measure, had nobody added noise."""
    old, new = _exact(task, plan, before), _exact(task, plan, now)
    return shifts([old], [new], devices=len(now.scores))[0].psi


def repeated(task: Task, plan: SurveyPlan, before: Served, now: Served, *, draws: int) -> Rates:
    """Ask about the same two windows again and again, with fresh noise on both sides."""
    seen = [compare(task, plan, counted(task, plan, before.scores), before, now).alarm for _ in range(draws)]
    return Rates(surveys=draws, alarms=sum(seen))


def _exact(task: Task, plan: SurveyPlan, served: Served) -> Histogram:
    scores = np.concatenate(list(served.scores))
    counts = count(plan, task, columns={}, scores=scores[:, -1])[0]
    bins = edges_of(task, plan)[0]
    return Histogram(name=bins.name, edges=bins.edges, counts=tuple(map(float, counts)), noise=0.0)
