"""What the owner sees: how the agent stands, and what every charge cost."""

import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from client.config import AgentHome, TaskHome
from client.installed import current_release, serving
from client.ledger import BURNT_SECONDS, Ledger
from client.policy import fingerprint, limits
from client.sequence import Standing, standing
from client.settings import AgentSettings
from client.standing import marks
from client.store import AgentStore, Charge
from client.work import resolve
from shared import accounting
from shared.lock import holder


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskStatus:
    """How one task stands; `release` is the newest that was accepted and `answers` the one that answers, 0 for none.

    `put_aside` says why releases that did badly here do not answer.
    """

    name: str
    revision: int
    release: int
    answers: int
    put_aside: tuple[str, ...]
    enabled: bool
    agreed: bool
    epsilon_granted: float
    epsilon_spent: float
    charges: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """How an agent stands; `running` is its process, 0 when none runs."""

    name: str
    federation: str
    coordinator: str
    running: int
    link: str
    paused: bool
    trainer: str
    sequence: Standing
    epsilon_granted: float
    epsilon_spent: float
    delta: float
    charges: int
    unsent: int
    tasks: tuple[TaskStatus, ...]
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
    settings = home.settings()
    running = holder(home.lock) or 0
    with closing(AgentStore(home.database)) as store:
        store.require_whole()
        book = Ledger(store)
        spent = book.spent(settings.budget.delta)
        return Status(
            name=settings.name, federation=settings.federation, coordinator=settings.coordinator, running=running,
            link=_link(home) if running else "stopped", paused=settings.paused, trainer=resolve(settings.trainer),
            sequence=standing(home),
            epsilon_granted=settings.budget.epsilon, epsilon_spent=spent.epsilon, delta=spent.delta,
            charges=spent.releases, unsent=len(book.unsent()),
            tasks=tuple(_task(place, settings, store) for place in home.tasks()),
            refusals=tuple(_refusal(row) for row in store.refusals()[-5:]),
        )  # fmt: skip


def ledger(home: AgentHome) -> list[LedgerLine]:
    """Every charge, oldest first."""
    delta = home.settings().budget.delta
    with closing(AgentStore(home.database)) as store:
        store.require_whole()
        return list(_lines(store, delta=delta))


def _task(place: TaskHome, settings: AgentSettings, store: AgentStore) -> TaskStatus:
    task, grant = place.signed_task(), settings.tasks[place.name]
    share = next(limit for limit in limits(settings, task) if limit.task == place.name and limit.days is None)
    spent = Ledger(store).spent(share.budget.delta, task=place.name)
    return TaskStatus(
        name=place.name, revision=task.revision, release=current_release(place), answers=_answers(place),
        put_aside=tuple(f"release {mark.release}: {mark.reason}" for mark in marks(place)), enabled=grant.enabled,
        agreed=store.agreed(place.name, fingerprint(task)),
        epsilon_granted=min(share.budget.epsilon, settings.budget.epsilon), epsilon_spent=spent.epsilon,
        charges=spent.releases,
    )  # fmt: skip


def _lines(store: AgentStore, *, delta: float) -> Iterator[LedgerLine]:
    divergence = np.zeros(len(accounting.ORDERS))
    for charge in store.charges():
        divergence = divergence + accounting.renyi(store.events_of(charge.id))
        yield _line(charge, accounting.epsilon_of(divergence, delta=delta))


def _line(charge: Charge, epsilon: float) -> LedgerLine:
    return LedgerLine(
        id=charge.id, at=_when(charge.charged_at), task=charge.task, purpose=charge.purpose, state=_state(charge),
        request=charge.request, epsilon_after=epsilon,
    )  # fmt: skip


def _state(charge: Charge) -> str:
    """A charge that was interrupted long ago is burnt: nothing is computed under it again."""
    burnt = charge.state == "charged" and time.time() - charge.charged_at > BURNT_SECONDS
    return "burnt" if burnt else charge.state


def _refusal(row: dict[str, object]) -> dict[str, str]:
    return {"at": _when(float(str(row["at"]))), "category": str(row["category"]), "detail": str(row["detail"])}


def _link(home: AgentHome) -> str:
    try:
        return home.link_file.read_text(encoding="ascii")
    except OSError:
        return "starting"


def _answers(place: TaskHome) -> int:
    answering = serving(place)
    return answering.release.number if answering else 0


def _when(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="seconds")
