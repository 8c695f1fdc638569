"""CUSUM against ADWIN on daily losses: how soon each alarms after the loss rose, and how often where it did not.

Losses come from noisy cells through `server.losses`, and alarms from `server.detectors`, as they do in a coordinator. Here
on the frozen version's flights, whose losses rise and fall with the seasons; `made_up.py` has days that change at a known
time.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from statistics import median
from typing import get_args

import numpy as np

from server.detectors import CALM, LossDetector, watch
from server.losses import Loss, loss_of
from shared.tasks import Task
from simulations.replay.answers import Answers, Cells, days, exact_loss, one_day, told
from simulations.replay.months import Calendar, later
from simulations.replay.policies import Say
from simulations.replay.watch import counted_outcomes, survey_plan

DETECTORS: tuple[LossDetector, ...] = get_args(LossDetector)

WORSE = 0.1
"""By what part the exact loss of the last `FRESH` days must lie above the calm days' for an alarm to be right."""

FRESH = 14


@dataclass(frozen=True, slots=True, kw_only=True)
class Caught:
    """How a detector did on `series` of one kind: how many it found, how many days late, and alarms where nothing rose.

    `rise` is of the mean loss in nats, None where it rises and falls by itself; `late` the median of those found.
    """

    detector: LossDetector
    kind: str
    series: int
    found: int
    late: float | None
    false: int
    rise: float | None = None


def has_risen(exact: Sequence[Loss]) -> bool:
    """Whether exact losses, oldest first, lie evidently above those of the calm days."""
    if len(exact) <= CALM:
        return False
    calm, now = (np.mean([loss.value for loss in part]) for part in (exact[:CALM], exact[-FRESH:]))
    return bool(now > (1 + WORSE) * calm)


def on_replay(task: Task, answers: Answers, calendar: Calendar, *, draws: int, say: Say) -> Iterator[Caught]:
    """Count the frozen version's days again and again, with fresh noise."""
    dates = days(calendar.first, later(calendar.last, 1))
    cells = [answers.cells(day, bins=task.drift.score_bins) for day in dates]
    exact = [loss for loss in map(exact_loss, [task] * len(dates), cells, dates) if loss is not None]
    risen = [has_risen(exact[: place + 1]) for place in range(len(exact))]
    series = list[list[Loss]]()
    for draw in range(draws):
        say(f"daily outcomes, {draw + 1} of {draws}")
        series.append(list(_noisy(task, cells, dates)))
    for detector in DETECTORS:
        yield judged(detector, "the frozen version's flights", series, [day.window.start for day in exact], risen)


def judged(
    detector: LossDetector, kind: str, series: Sequence[Sequence[Loss]], dates: Sequence[str], risen: Sequence[bool], *,
    rise: float | None = None,
) -> Caught:  # fmt: skip
    """Hold a detector's alarms against the days on which the loss had risen, `risen`, one for each of `dates`."""
    place, first = {day: number for number, day in enumerate(dates)}, risen.index(True) if any(risen) else None
    late, false = list[int](), 0
    for losses in series:
        reading = watch(detector, losses)
        at = [place[loss.window.start] for loss in losses]
        false += sum(not risen[at[index]] for index in reading.raised)
        right = [day for day, alarm in zip(at, reading.alarming, strict=True) if alarm and risen[day]]
        late += [right[0] - first] if right and first is not None else []
    return Caught(
        detector=detector, kind=kind, series=len(series), found=len(late), late=median(late) if late else None,
        false=false, rise=rise,
    )  # fmt: skip


def _noisy(task: Task, cells: Sequence[Cells], dates: Sequence[date]) -> Iterator[Loss]:
    """A year of daily surveys, as a coordinator reads them; a day that tells no loss is left out."""
    for own, day in zip(cells, dates, strict=True):
        plan = survey_plan(task, one_day(day), "current", outcomes=True)
        found = loss_of(told(task, plan.window, counted_outcomes(task, plan, own)), task)
        if found is not None:
            yield found
