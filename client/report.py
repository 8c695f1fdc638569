"""What the owner sees: how the agent stands, and what every charge cost."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from client.config import AgentHome, AgentSettings
from client.ledger import Ledger
from client.policy import effective_budget
from client.store import AgentStore, Charge
from shared import accounting, wire
from shared.errors import InputError
from shared.lock import holder
from shared.privacy import PrivacyBudget
from shared.tasks import Task


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """How an agent stands; `running` is its process, 0 when none runs, and `release` is 0 when none serves."""

    name: str
    federation: str
    coordinator: str
    task: str
    revision: int
    release: int
    running: int
    link: str
    paused: bool
    epsilon_granted: float
    epsilon_spent: float
    delta: float
    charges: int
    unsent: int
    refusals: tuple[dict[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerLine:
    """One charge; `epsilon_after` is what all charges up to this one cost together."""

    id: int
    at: str
    task: str
    purpose: str
    state: str
    request: str
    epsilon_after: float


def status(home: AgentHome) -> Status:
    """Read how the agent stands, whether or not it runs."""
    settings, task = home.settings(), signed_task(home)
    budget = effective_budget(settings, task)
    store = AgentStore(home.database)
    try:
        return _status(home, settings, task, budget, store)
    finally:
        store.close()


def ledger(home: AgentHome) -> list[LedgerLine]:
    """Every charge, oldest first."""
    budget = effective_budget(home.settings(), signed_task(home))
    store = AgentStore(home.database)
    try:
        return list(_lines(store, delta=budget.delta))
    finally:
        store.close()


def signed_task(home: AgentHome) -> Task:
    """The task as it was verified when joining, or `InputError`."""
    try:
        return wire.from_json(Task, home.task_file.read_bytes(), what="signed task")
    except OSError as error:
        raise InputError(f"{home.task_file} cannot be read ({error.strerror}); leave and join again") from None


def _status(home: AgentHome, settings: AgentSettings, task: Task, budget: PrivacyBudget, store: AgentStore) -> Status:
    running, book = holder(home.lock) or 0, Ledger(store)
    spent = book.spent(budget.delta)
    return Status(
        name=settings.name, federation=settings.federation, coordinator=settings.coordinator,
        task=task.name, revision=task.revision, release=_release(home),
        running=running, link=_link(home) if running else "stopped", paused=settings.paused,
        epsilon_granted=budget.epsilon, epsilon_spent=spent.epsilon, delta=budget.delta,
        charges=spent.releases, unsent=len(book.unsent()),
        refusals=tuple(_refusal(row) for row in store.refusals()[-5:]),
    )  # fmt: skip


def _lines(store: AgentStore, *, delta: float) -> Iterator[LedgerLine]:
    divergence = np.zeros(len(accounting.ORDERS))
    for charge in store.charges():
        divergence = divergence + accounting.renyi(store.events_of(charge.id))
        yield _line(charge, accounting.epsilon_of(divergence, delta=delta))


def _line(charge: Charge, epsilon: float) -> LedgerLine:
    return LedgerLine(
        id=charge.id, at=_when(charge.charged_at), task=charge.task, purpose=charge.purpose, state=charge.state,
        request=charge.request, epsilon_after=epsilon,
    )  # fmt: skip


def _refusal(row: dict[str, object]) -> dict[str, str]:
    return {"at": _when(float(str(row["at"]))), "category": str(row["category"]), "detail": str(row["detail"])}


def _link(home: AgentHome) -> str:
    try:
        return home.link_file.read_text(encoding="ascii")
    except OSError:
        return "starting"


def _release(home: AgentHome) -> int:
    from client.installed import current_release

    return current_release(home)


def _when(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="seconds")
