"""How much of each limit is used now, and when the oldest of it stops counting."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from client.explanation import campaign
from client.exposure import counted
from client.policy import Limit, limits
from client.settings import AgentSettings
from client.store import AgentStore
from shared import accounting
from shared.tasks import Task


@dataclass(frozen=True, slots=True, kw_only=True)
class Meter:
    """A limit and what counts against it so far: infinite for whole devices, once a release protected single rows only.

    `days` is its period's, `row_days` after how many a row retires and no longer counts; both None where nothing is ever
    forgotten. `renews` is when (Unix time) the oldest charge that counts stops doing so.
    """

    what: str
    spent: float
    granted: float
    days: float | None = None
    row_days: float | None = None
    renews: float | None = None

    @property
    def share(self) -> float:
        """How much of it is used, from 0 on."""
        return self.spent / self.granted


def read_meters(store: AgentStore, settings: AgentSettings, tasks: Sequence[Task], now: float) -> tuple[Meter, ...]:
    """Every limit once, the device's before the tasks'; where it counts differently for each task, the most of them."""
    found: dict[str, list[Limit]] = {}
    for limit in (each for task in tasks for each in limits(settings, task)):
        found.setdefault(limit.what, []).append(limit)
    ranked = sorted(found.values(), key=lambda same: _rank(same[0]))
    if not ranked:
        ranked = [[Limit(what="this device's budget", budget=settings.budget)]]
    return tuple(max((_meter(store, limit, now) for limit in same), key=lambda meter: meter.share) for same in ranked)


def _rank(limit: Limit) -> tuple[bool, str, bool]:
    return limit.task is not None, limit.task or "", limit.days is not None


def _meter(store: AgentStore, limit: Limit, now: float) -> Meter:
    counts = counted(store, limit, now=now)
    unprotected = limit.level == "device" and "everyone" in store.trusts()
    spent = math.inf if unprotected else accounting.epsilon_of(counts.divergence, delta=limit.budget.delta)
    lives = limit.lifetime.days if limit.lifetime and limit.lifetime.column else None
    return Meter(
        what=limit.what, spent=spent, granted=limit.budget.epsilon, days=limit.days, row_days=lives,
        renews=counts.renews,
    )  # fmt: skip


def rounds_left(store: AgentStore, settings: AgentSettings, task: Task, now: float) -> int:
    """How many more local rounds every limit still covers, at most one campaign's; none where whole devices are bounded."""
    held = limits(settings, task)
    if any(limit.level == "device" for limit in held):
        return 0
    one = accounting.renyi([campaign(task, rounds=1)])
    bounds = [(counted(store, limit, now=now).divergence, limit.budget) for limit in held]
    for more in range(1, task.training.rounds + 1):
        if any(accounting.epsilon_of(before + more * one, delta=each.delta) > each.epsilon for before, each in bounds):
            return more - 1
    return task.training.rounds
