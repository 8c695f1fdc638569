"""All that the owner's views show, at one moment: read from the agent's own files, whether or not it runs."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from client.audit import AuditLine, Verdict
from client.config import TaskHome
from client.levels import Line, Total, lines
from client.lifetimes import Alive
from client.meters import Meter
from client.queue import LabelQueue
from client.served import Served
from client.store import AgentStore
from shared import accounting
from shared.tasks import Task


@dataclass(frozen=True, slots=True, kw_only=True)
class Spend:
    """One charge: when, for what, how far its reply got, and what all charges up to it cost together.

    `lines` are its events at each level, none for a round of a campaign that was paid before; `alive` is which rows it
    was for, None if any.
    """

    id: int
    at: float
    task: str
    purpose: str
    state: str
    epsilon: float
    lines: tuple[Line, ...] = ()
    alive: Alive | None = None


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

    `left` is the audit log, and `verdict` whether its chain holds. `levels` are what all charges come to, for ever.
    """

    name: str
    federation: str
    coordinator: str
    paused: bool = False
    running: int = 0
    link: str = ""
    delta: float = 1e-5
    meters: tuple[Meter, ...] = ()
    levels: tuple[Total, ...] = ()
    tasks: tuple[TaskFacts, ...] = ()
    spends: tuple[Spend, ...] = ()
    declined: tuple[Declined, ...] = ()
    left: tuple[AuditLine, ...] = ()
    verdict: Verdict | None = None

    def of(self, name: str | None) -> TaskFacts | None:
        """The task called `name`, or else the first."""
        return next((one for one in self.tasks if one.name == name), self.tasks[0] if self.tasks else None)


def read_spends(store: AgentStore, *, delta: float) -> tuple[Spend, ...]:
    """Every charge, newest first."""
    return tuple(reversed(list(_spends(store, delta=delta))))


def _spends(store: AgentStore, *, delta: float) -> Iterator[Spend]:
    divergence, paid = np.zeros(len(accounting.ORDERS)), lines(store)
    for charge in store.charges():
        divergence = divergence + accounting.renyi(store.events_of(charge.id))
        yield Spend(
            id=charge.id, at=charge.charged_at, task=charge.task, purpose=charge.purpose, state=charge.state,
            epsilon=accounting.epsilon_of(divergence, delta=delta), lines=paid.get(charge.id, ()), alive=charge.alive,
        )  # fmt: skip


def read_declined(store: AgentStore) -> tuple[Declined, ...]:
    """Every refusal, newest first."""
    return tuple(Declined(**row) for row in reversed(store.refusals()))
