"""When to learn again: never, each month, or when a detector alarms on the score or on the daily loss; and what came of it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from typing import Literal

from shared.lifecycle import Retraining
from shared.tasks import Task
from simulations.replay.months import Calendar
from simulations.replay.watch import Seen

Policy = Literal["never", "monthly", "on alarm", "on loss"]
POLICIES: tuple[Policy, ...] = ("never", "monthly", "on alarm", "on loss")
"""From what needs no policy to what watches every day."""

DAYS_A_MONTH = 30
BLIND = 100.0
"""Noise of the scores for who watches the loss alone: they are counted with every survey, and cost nothing to speak of so."""

Say = Callable[[str], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Owners:
    """What each owner grants: epsilon, for a row where rows retire after some days; and the noise of each daily outcome count."""

    epsilon: float
    row_lifetime_days: float | None = None
    outcome_noise: float = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Lived:
    """One month under a policy: the AUC of what served, what its survey saw, and what was decided in it or at its end.

    `learned` and `refused` say whether a campaign ran, or the budget forbade one. Of the `alarms`, `false` ones came
    where the exact figure, which only a replay knows, had not moved; `blind` counts surveys that budgets forbade.
    """

    month: date
    auc: float
    seen: Seen | None
    learned: bool = False
    refused: bool = False
    alarms: int = 0
    false: int = 0
    blind: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A policy's months, and epsilon of a device's whole ledger, of its campaigns alone, its surveys alone, and its dearest row."""

    policy: Policy
    months: tuple[Lived, ...]
    epsilon: float
    training: float
    surveys: float
    row: float
    campaigns: int

    @property
    def auc(self) -> float:
        """The mean over the months."""
        return sum(each.auc for each in self.months) / len(self.months)

    @property
    def alarms(self) -> int:
        """How many months' surveys alarmed; of daily ones, how often an alarm began."""
        return sum(each.alarms for each in self.months)

    @property
    def false(self) -> int:
        """How many of the alarms came where nothing had moved."""
        return sum(each.false for each in self.months)


def terms_of(which: Policy, calendar: Calendar, owners: Owners) -> Retraining | None:
    """The policy as a task would sign it; None where none decides.

    Where rows retire, the sum over all time says little, and the owners' own ledgers decide what fits.
    """
    if which not in ("on alarm", "on loss"):
        return None
    most = owners.epsilon if owners.row_lifetime_days is None else 1000.0
    return Retraining(
        alarms=("psi",) if which == "on alarm" else ("cusum",), window_days=DAYS_A_MONTH * calendar.learn_months,
        max_epsilon=most, ask_first=False, label_days=calendar.delay_days,
    )  # fmt: skip


def task_of(which: Policy, task: Task, owners: Owners) -> Task:
    """The task as it would be signed for a policy: who watches the loss has outcomes counted."""
    if which != "on loss":
        return task
    drift = replace(task.drift, score_noise_multiplier=BLIND, outcome_noise_multiplier=owners.outcome_noise)
    return replace(task, drift=drift)
