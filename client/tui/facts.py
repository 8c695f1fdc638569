"""All that the owner's views show, at one moment: read from the agent's own files, whether or not it runs."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from client.audit import AuditLine, Verdict
from client.config import TaskHome
from client.policy import Limit, limits
from client.queue import LabelQueue
from client.served import Served
from client.settings import AgentSettings
from client.store import AgentStore
from shared import accounting
from shared.privacy import SampledGaussian
from shared.tasks import Task


@dataclass(frozen=True, slots=True, kw_only=True)
class Meter:
    """A limit and what counts against it so far; `days` is None where nothing is ever forgotten."""

    what: str
    spent: float
    granted: float
    days: float | None = None

    @property
    def share(self) -> float:
        """How much of it is used, from 0 on."""
        return self.spent / self.granted


@dataclass(frozen=True, slots=True, kw_only=True)
class Spend:
    """One charge: when, for what, how far its reply got, and what all charges up to it cost together."""

    id: int
    at: float
    task: str
    purpose: str
    state: str
    epsilon: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Declined:
    """A request that this device declined, and why; only the category ever travels."""

    at: float
    task: str
    category: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskFacts:
    """One task on this device, and what of it could not be read. `task` is None until it was verified.

    `rounds_left` is how many rounds the budget still covers, at most one campaign's.
    """

    place: TaskHome
    task: Task | None = None
    enabled: bool = True
    agreed: bool = False
    data: str = ""
    release: int = 0
    rounds_left: int = 0
    explanation: str = ""
    queue: LabelQueue | None = None
    recent: tuple[Served, ...] = ()
    trouble: str = ""

    @property
    def name(self) -> str:
        """The task's name."""
        return self.place.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """Everything; lists run from the newest to the oldest. `running` is the agent's process, 0 when none runs.

    `left` is the audit log, and `verdict` whether its chain holds.
    """

    name: str
    federation: str
    coordinator: str
    paused: bool = False
    running: int = 0
    link: str = ""
    delta: float = 1e-5
    meters: tuple[Meter, ...] = ()
    tasks: tuple[TaskFacts, ...] = ()
    spends: tuple[Spend, ...] = ()
    declined: tuple[Declined, ...] = ()
    left: tuple[AuditLine, ...] = ()
    verdict: Verdict | None = None

    def of(self, name: str | None) -> TaskFacts | None:
        """The task called `name`, or else the first."""
        return next((one for one in self.tasks if one.name == name), self.tasks[0] if self.tasks else None)


def read_meters(store: AgentStore, settings: AgentSettings, tasks: Sequence[Task], now: float) -> tuple[Meter, ...]:
    """Every limit once, the device's before the tasks'."""
    found = {limit.what: limit for task in tasks for limit in limits(settings, task)}
    ranked = sorted(
        found.values(), key=lambda limit: (limit.task is not None, limit.task or "", limit.days is not None)
    )
    if not ranked:
        ranked = [Limit(what="this device's budget", budget=settings.budget)]
    return tuple(_meter(store, limit, now) for limit in ranked)


def _meter(store: AgentStore, limit: Limit, now: float) -> Meter:
    spent = accounting.epsilon(_history(store, limit, now), delta=limit.budget.delta)
    return Meter(what=limit.what, spent=spent, granted=limit.budget.epsilon, days=limit.days)


def _history(store: AgentStore, limit: Limit, now: float) -> list[SampledGaussian]:
    since = None if limit.days is None else now - limit.days * 86_400
    return store.events(task=limit.task, since=since)


def rounds_left(store: AgentStore, settings: AgentSettings, task: Task, now: float) -> int:
    """How many more rounds of the task's campaign every limit still covers, at most one campaign's."""
    training = task.training
    event = SampledGaussian(
        noise_multiplier=training.noise_multiplier, sample_rate=training.sample_rate, steps=training.steps
    )
    one = accounting.renyi([event])
    bounds = [(accounting.renyi(_history(store, limit, now)), limit.budget) for limit in limits(settings, task)]
    for more in range(1, training.rounds + 1):
        if any(accounting.epsilon_of(before + more * one, delta=each.delta) > each.epsilon for before, each in bounds):
            return more - 1
    return training.rounds


def read_spends(store: AgentStore, *, delta: float) -> tuple[Spend, ...]:
    """Every charge, newest first."""
    return tuple(reversed(list(_spends(store, delta=delta))))


def _spends(store: AgentStore, *, delta: float) -> Iterator[Spend]:
    divergence = np.zeros(len(accounting.ORDERS))
    for charge in store.charges():
        divergence = divergence + accounting.renyi(store.events_of(charge.id))
        yield Spend(
            id=charge.id, at=charge.charged_at, task=charge.task, purpose=charge.purpose, state=charge.state,
            epsilon=accounting.epsilon_of(divergence, delta=delta),
        )  # fmt: skip


def read_declined(store: AgentStore) -> tuple[Declined, ...]:
    """Every refusal, newest first."""
    return tuple(Declined(**row) for row in reversed(store.refusals()))
