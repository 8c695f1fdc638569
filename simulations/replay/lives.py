"""A policy lives through the calendar: what serves, what is surveyed and paid for, and what `server.retraining` makes of it."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import date, timedelta

from server.losses import Loss
from server.records import Decision, Run, SurveyResult
from server.retraining import affords, decide, window
from shared import accounting
from shared.drift import Histogram
from shared.errors import InputError
from shared.lifecycle import Retraining
from shared.privacy import Cost
from shared.tasks import Task, Window
from simulations.replay import purse as purses
from simulations.replay.answers import Answers, days, exact_loss, one_day
from simulations.replay.detecting import has_risen
from simulations.replay.months import later, seconds, whole
from simulations.replay.policies import Lived, Outcome, Owners, Policy, Say, task_of, terms_of
from simulations.replay.purse import Purse
from simulations.replay.watch import Seen, compare, counted, counted_outcomes, result, survey_plan
from simulations.replay.world import Served, Weights, World


@dataclass(slots=True, kw_only=True)
class Life:
    """What serves since when, and what surveys compare with; no reference where nobody watches scores, or could pay."""

    world: World
    which: Policy
    task: Task
    terms: Retraining | None
    purse: Purse
    weights: Weights
    since: date
    before: Served
    reference: tuple[Histogram, ...] | None = None
    answers: Answers | None = None
    spells: list[tuple[Weights, date]] = field(default_factory=list[tuple[Weights, date]])
    surveys: list[SurveyResult] = field(default_factory=list[SurveyResult])
    exact: list[Loss] = field(default_factory=list[Loss])
    runs: list[Run] = field(default_factory=list[Run])
    decisions: list[Decision] = field(default_factory=list[Decision])

    @property
    def release(self) -> int:
        """The number of the version that serves, as a release."""
        return len(self.spells)


def live(world: World, which: Policy, first: Weights, *, owners: Owners, say: Say = lambda _: None) -> Outcome:
    """Live through the calendar's months from the version `first`."""
    task, start = task_of(which, world.task, owners), world.calendar.first
    with purses.opened(task, epsilon=owners.epsilon, row_lifetime_days=owners.row_lifetime_days) as purse:
        known = world.calendar.known(start)
        if not purse.pay(start, "training", world.plan(known).cost):
            raise InputError(
                f"epsilon {owners.epsilon:g} does not cover the first campaign; grant more, or plan one that costs less"
            )
        life = Life(
            world=world, which=which, task=task, terms=terms_of(which, world.calendar, owners), purse=purse,
            weights=first, since=start, before=world.serve(first, known),
        )  # fmt: skip
        release(life, first, start, known)
        months = list[Lived]()
        for month in world.calendar.months:
            say(f"{which}: {month:%B}")
            months.append(_month(life, month))
        return _outcome(life, months)


def release(life: Life, weights: Weights, day: date, learned: Window) -> None:
    """Put a version in force; who watches scores counts what it answers to the rows that taught it."""
    life.weights, life.since = weights, day
    life.spells.append((weights, day))
    life.exact.clear()
    if life.which == "on loss":
        life.answers = life.world.answers(weights)
        return
    life.before, plan = life.world.serve(weights, learned), survey_plan(life.task, learned, "reference")
    watches = life.which != "monthly" and life.purse.pay(day, "reference survey", Cost(record=plan.events))
    life.reference = counted(life.task, plan, life.before.scores) if watches else None


def _month(life: Life, month: date) -> Lived:
    daily = life.terms if life.which == "on loss" else None
    turns = list(_each_day(life, daily, month)) if daily else [_month_is_over(life, month)]
    return Lived(
        month=month, auc=life.world.auc(list(_spells(life, month))), seen=next((turn.seen for turn in turns if turn.seen), None),
        learned=any(turn.learned for turn in turns), refused=any(turn.refused for turn in turns),
        alarms=sum(turn.alarm for turn in turns), false=sum(turn.false for turn in turns),
        blind=sum(turn.blind for turn in turns),
    )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What came of one look."""

    seen: Seen | None = None
    alarm: bool = False
    false: bool = False
    blind: bool = False
    learned: bool = False
    refused: bool = False


def _month_is_over(life: Life, month: date) -> Turn:
    """Look at a month on the next one's first day, and learn again then if the policy says so."""
    now, seen = later(month, 1), _survey_scores(life, month)
    alarm = seen is not None and seen.alarm
    turn = Turn(
        seen=seen, alarm=alarm, blind=life.which != "monthly" and seen is None,
        false=alarm and seen is not None and seen.exact <= life.task.drift.alarm_psi,
    )  # fmt: skip
    if month == life.world.calendar.last:
        return turn
    if life.which == "monthly":
        learned = _learn(life, life.world.calendar.known(now), now)
        return replace(turn, learned=learned, refused=not learned)
    return turn if life.terms is None or seen is None else _act(life, life.terms, turn, now)


def _each_day(life: Life, terms: Retraining, month: date) -> Iterator[Turn]:
    """Each day, count the outcomes of the newest day whose outcomes are known, and decide."""
    for now in days(month, later(month, 1)):
        about = now - timedelta(days=terms.label_days + 1)
        if about >= life.since:
            yield _day(life, terms, about, now)


def _day(life: Life, terms: Retraining, about: date, now: date) -> Turn:
    if not _count_outcomes(life, about, now):
        return Turn(blind=True)
    alarmed = bool(life.decisions and life.decisions[-1].alarms)
    told = tuple(life.exact)
    turn = _act(life, terms, Turn(), now)
    began = bool(life.decisions[-1].alarms) and not alarmed
    return replace(turn, alarm=began, false=began and not has_risen(told))


def _act(life: Life, terms: Retraining, turn: Turn, now: date) -> Turn:
    """Let the policy decide on what was surveyed, and do it."""
    window_ = window(terms, seconds(now))
    funds = life.purse.funds(life.world.plan(window_).cost)
    decision = decide(
        terms, life.task, release=life.release, surveys=life.surveys, runs=life.runs, decisions=life.decisions,
        funds=funds, now=seconds(now),
    )  # fmt: skip
    life.decisions.append(decision)
    if decision.act != "start":
        return replace(turn, refused=bool(decision.alarms) and not affords(terms, life.task, funds))
    learned = _learn(life, window_, now)
    return replace(turn, learned=learned, refused=not learned)


def _learn(life: Life, known: Window, now: date) -> bool:
    """One campaign and its release; False if the owner's budget forbids it."""
    if not life.purse.pay(now, "training", life.world.plan(known).cost):
        return False
    number = len(life.runs) + 1
    life.runs.append(
        Run(id=number, task=life.task.name, kind="train", state="finished", request="", created_at=seconds(now))
    )
    release(life, life.world.learn_from(life.weights, known), now, known)
    return True


def _survey_scores(life: Life, month: date) -> Seen | None:
    """What the fleet says of a month that is over; None where nobody asks, or owners' budgets forbid it."""
    plan, now = survey_plan(life.task, whole(month), "current", release=life.release), later(month, 1)
    if life.reference is None or not life.purse.pay(now, "drift survey", Cost(record=plan.events)):
        return None
    served = life.world.serve(life.weights, whole(month))
    seen = compare(life.task, plan, life.reference, life.before, served)
    life.surveys.append(result(plan, (), at=seconds(now), devices=len(served.scores), seen=seen))
    return seen


def _count_outcomes(life: Life, about: date, now: date) -> bool:
    """Ask for a day's outcomes; False if owners' budgets forbid it."""
    plan = survey_plan(life.task, one_day(about), "current", release=life.release, outcomes=True)
    if life.answers is None or not life.purse.pay(now, "drift survey", Cost(record=plan.events)):
        return False
    cells = life.answers.cells(about, bins=plan.score_bins)
    merged = counted_outcomes(life.task, plan, cells)
    life.surveys.append(result(plan, merged, at=seconds(now), devices=len(cells)))
    if exact := exact_loss(life.task, cells, about):
        life.exact.append(exact)
    return True


def _spells(life: Life, month: date) -> Iterator[tuple[Weights, Window]]:
    """Which weights answered from when to when in a month."""
    ends = [*(since for _, since in life.spells[1:]), date.max]
    for (weights, since), end in zip(life.spells, ends, strict=True):
        start, until = max(since, month), min(end, later(month, 1))
        if start < until:
            yield weights, Window(start=str(start), end=str(until))


def _outcome(life: Life, months: list[Lived]) -> Outcome:
    delta = life.task.privacy.delta
    return Outcome(
        policy=life.which, months=tuple(months), epsilon=life.purse.spent, row=life.purse.dearest_row,
        training=accounting.epsilon(life.purse.campaigns, delta=delta),
        surveys=accounting.epsilon(life.purse.surveys, delta=delta), campaigns=len(life.runs),
    )  # fmt: skip
