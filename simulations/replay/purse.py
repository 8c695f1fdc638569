"""What a device of a replay pays, by the ledger that ships: all devices take part in all that is asked, so one speaks for each."""

from collections.abc import Generator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import date

from client import policy
from client.ledger import Ledger
from client.settings import AgentSettings, TaskGrant
from client.store import AgentStore
from server.retraining import Funds
from shared import accounting
from shared.errors import BudgetExhausted
from shared.privacy import Cost, PrivacyBudget, SampledGaussian
from shared.tasks import Task
from simulations.replay.months import seconds
from simulations.year import read_lines, row_epsilon


@dataclass(slots=True, kw_only=True)
class Purse:
    """A device's ledger, and what was paid of it for campaigns and for surveys."""

    task: Task
    settings: AgentSettings
    store: AgentStore
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

    def funds(self, campaign: Cost) -> Funds:
        """What the coordinator's account says was spent, and would be after one more campaign."""
        paid, delta = [*self.campaigns, *self.surveys], self.task.privacy.delta
        after = accounting.epsilon([*paid, *campaign.record], delta=delta)
        return Funds(spent=accounting.epsilon(paid, delta=delta), after=after)

    @property
    def spent(self) -> float:
        """Epsilon of the whole ledger."""
        return self.ledger.spent(self.task.privacy.delta).epsilon

    @property
    def dearest_row(self) -> float:
        """Epsilon of the row that paid most; of all that was paid where no row retires."""
        if self.settings.row_lifetime_days is None:
            return self.spent
        return row_epsilon(read_lines(self.store), delta=self.task.privacy.delta)


@contextmanager
def opened(task: Task, *, epsilon: float, row_lifetime_days: float | None = None) -> Generator[Purse]:
    """A new ledger whose owner grants `epsilon`, for a row if rows retire."""
    budget = PrivacyBudget(epsilon=epsilon, delta=task.privacy.delta)
    settings = AgentSettings(
        name="replay", coordinator="", federation="", budget=budget, tasks={task.name: TaskGrant(data="")},
        row_lifetime_days=row_lifetime_days,
    )  # fmt: skip
    now = [0.0]
    with closing(AgentStore(":memory:")) as store:
        ledger = Ledger(store, clock=lambda: now[0])
        yield Purse(task=task, settings=settings, store=store, ledger=ledger, now=now)
