"""When to learn again: never, each month, or when a survey raises an alarm; and what each choice costs and is worth."""

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from datetime import date
from typing import Literal

from client import policy
from client.ledger import Ledger
from client.settings import AgentSettings, TaskGrant
from client.store import AgentStore
from shared import accounting
from shared.drift import Histogram
from shared.errors import BudgetExhausted, InputError
from shared.privacy import Cost, PrivacyBudget, SampledGaussian
from shared.tasks import Task, Window
from simulations.replay.months import later, seconds, whole
from simulations.replay.watch import Seen, compare, counted, survey_plan
from simulations.replay.world import Served, Weights, World

Policy = Literal["never", "monthly", "on alarm"]
POLICIES: tuple[Policy, ...] = ("never", "monthly", "on alarm")
"""From what costs a device least."""

WATCHES: tuple[Policy, ...] = ("never", "on alarm")
"""Who surveys; who learns each month anyway need not pay for it."""

Say = Callable[[str], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lived:
    """One month under a policy: the AUC of what served, what its survey saw, and what was decided at its end.

    `learned` and `refused` say whether a campaign ran on the next month's first day, or owners' budgets forbade it.
    """

    month: date
    auc: float
    seen: Seen | None
    learned: bool = False
    refused: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A policy's months, and epsilon of a device's whole ledger, of its campaigns alone and of its surveys alone."""

    policy: Policy
    months: tuple[Lived, ...]
    epsilon: float
    training: float
    surveys: float

    @property
    def auc(self) -> float:
        """The mean over the months."""
        return sum(each.auc for each in self.months) / len(self.months)

    @property
    def campaigns(self) -> int:
        """How many ran after the first."""
        return sum(each.learned for each in self.months)


@dataclass(slots=True, kw_only=True)
class Purse:
    """A device's ledger: all devices take part in all that is asked, so one speaks for each."""

    task: Task
    settings: AgentSettings
    ledger: Ledger
    now: list[float]
    campaigns: list[SampledGaussian] = field(default_factory=list[SampledGaussian])
    surveys: list[SampledGaussian] = field(default_factory=list[SampledGaussian])

    def pay(self, day: date, purpose: str, cost: Cost) -> bool:
        """Charge; False if the owner's budget or the task's ceiling forbids it."""
        self.now[0] = seconds(day)
        try:
            self.ledger.charge(
                f"{purpose} {day}", task=self.task.name, purpose=purpose, cost=cost,
                limits=policy.limits(self.settings, self.task),
            )  # fmt: skip
        except BudgetExhausted:
            return False
        (self.campaigns if purpose == "training" else self.surveys).extend(cost.record)
        return True


@dataclass(slots=True, kw_only=True)
class _Fleet:
    """What serves, and what surveys compare with; no reference where nobody watches, or nobody could pay for one."""

    weights: Weights
    before: Served
    reference: tuple[Histogram, ...] | None


def live(world: World, which: Policy, first: Weights, *, epsilon: float, say: Say = lambda _: None) -> Outcome:
    """Live through the calendar's months from the version `first`; each owner grants `epsilon`."""
    with closing(AgentStore(":memory:")) as store:
        purse = _purse(world.task, store, epsilon)
        start = world.calendar.first
        if not purse.pay(start, "training", world.plan(world.calendar.known(start)).cost):
            raise InputError(
                f"epsilon {epsilon:g} does not cover the first campaign; grant more, or plan one that costs less"
            )
        fleet, months = _release(world, which, purse, first, start), list[Lived]()
        for month in world.calendar.months:
            say(f"{which}: {month:%B}")
            lived, fleet = _month(world, which, purse, fleet, month)
            months.append(lived)
        delta = world.task.privacy.delta
        return Outcome(
            policy=which, months=tuple(months), epsilon=purse.ledger.spent(delta).epsilon,
            training=accounting.epsilon(purse.campaigns, delta=delta),
            surveys=accounting.epsilon(purse.surveys, delta=delta),
        )  # fmt: skip


def _purse(task: Task, store: AgentStore, epsilon: float) -> Purse:
    budget = PrivacyBudget(epsilon=epsilon, delta=task.privacy.delta)
    settings = AgentSettings(
        name="replay", coordinator="", federation="", budget=budget, tasks={task.name: TaskGrant(data="")}
    )
    now = [0.0]
    return Purse(task=task, settings=settings, ledger=Ledger(store, clock=lambda: now[0]), now=now)


def _month(world: World, which: Policy, purse: Purse, fleet: _Fleet, month: date) -> tuple[Lived, _Fleet]:
    """Serve a month, look at it on the next one's first day, and learn again then if the policy says so."""
    now, after = world.serve(fleet.weights, whole(month)), later(month, 1)
    seen = _survey(world, purse, fleet, now, month)
    wants = which == "monthly" or (which == "on alarm" and seen is not None and seen.alarm)
    if not wants or month == world.calendar.last:
        return Lived(month=month, auc=now.auc, seen=seen), fleet
    if not purse.pay(after, "training", world.plan(world.calendar.known(after)).cost):
        return Lived(month=month, auc=now.auc, seen=seen, refused=True), fleet
    weights = world.learn(fleet.weights, after)
    return Lived(month=month, auc=now.auc, seen=seen, learned=True), _release(world, which, purse, weights, after)


def _release(world: World, which: Policy, purse: Purse, weights: Weights, day: date) -> _Fleet:
    """Put a version in force, and count what it answers to the rows that taught it, if the policy watches."""
    window: Window = world.calendar.known(day)
    before, plan = world.serve(weights, window), survey_plan(world.task, window, "reference")
    watches = which in WATCHES and purse.pay(day, "reference survey", Cost(record=plan.events))
    return _Fleet(
        weights=weights, before=before, reference=counted(world.task, plan, before.scores) if watches else None
    )


def _survey(world: World, purse: Purse, fleet: _Fleet, now: Served, month: date) -> Seen | None:
    """What the fleet says of a month that is over; None where nobody asks, or owners' budgets forbid it."""
    plan = survey_plan(world.task, whole(month), "current")
    if fleet.reference is None or not purse.pay(later(month, 1), "drift survey", Cost(record=plan.events)):
        return None
    return compare(world.task, plan, fleet.reference, fleet.before, now)
