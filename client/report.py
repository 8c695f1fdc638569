"""What the owner sees: how the agent stands, and what every charge cost, at which level and against whom."""

import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from client.config import AgentHome, TaskHome
from client.exposure import counted
from client.installed import current_release, serving
from client.ledger import BURNT_SECONDS, Ledger
from client.levels import Line, Total, lines, totals
from client.meters import Meter, read_meters
from client.policy import fingerprint, limits
from client.sequence import Standing, standing
from client.settings import AgentSettings
from client.standing import marks
from client.store import AgentStore, Charge
from client.work import resolve
from shared import accounting
from shared.lock import holder

ANY_ROW = "any row"


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskStatus:
    """How one task stands; `release` is the newest that was accepted and `answers` the one that answers, 0 for none.

    `put_aside` says why releases that did badly here do not answer. `epsilon_spent` is for ever, and `epsilon_counted` what of it
    counts against the task's share now.
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
    epsilon_counted: float
    charges: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """How an agent stands; `running` is its process, 0 when none runs.

    `epsilon_spent` is what all charges come to, for ever; `epsilon_counted` what of it counts against the budget for a
    row that is alive now, `row_lifetime_days` how long one is, and `renews` when the oldest charge stops counting.
    """

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
    epsilon_counted: float
    row_lifetime_days: float | None
    renews: str | None
    levels: tuple[Total, ...]
    delta: float
    charges: int
    unsent: int
    tasks: tuple[TaskStatus, ...]
    refusals: tuple[dict[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerLine:
    """One charge; `epsilon_after` is what all charges up to this one cost together, at record level.

    `events` is what it cost itself, at each level. `rows` is which rows it was for.
    """

    id: int
    at: str
    task: str
    purpose: str
    state: str
    request: str
    epsilon_after: float
    events: tuple[Line, ...]
    rows: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerReport:
    """Every charge, oldest first, and what they come to at each level."""

    delta: float
    lines: tuple[LedgerLine, ...]
    levels: tuple[Total, ...]


def status(home: AgentHome) -> Status:
    """Read how the agent stands, whether or not it runs."""
    settings, now = home.settings(), time.time()
    running = holder(home.lock) or 0
    with closing(AgentStore(home.database)) as store:
        store.require_whole()
        book = Ledger(store)
        spent, meter = book.spent(settings.budget.delta), _budget(home, settings, store, now)
        return Status(
            name=settings.name, federation=settings.federation, coordinator=settings.coordinator, running=running,
            link=_link(home) if running else "stopped", paused=settings.paused, trainer=resolve(settings.trainer),
            sequence=standing(home),
            epsilon_granted=settings.budget.epsilon, epsilon_spent=spent.epsilon,
            epsilon_counted=meter.spent if settings.row_lifetime_days else spent.epsilon,
            row_lifetime_days=settings.row_lifetime_days, renews=None if meter.renews is None else _when(meter.renews),
            levels=totals(store, delta=spent.delta), delta=spent.delta,
            charges=spent.releases, unsent=len(book.unsent()),
            tasks=tuple(_task(place, settings, store) for place in home.tasks()),
            refusals=tuple(_refusal(row) for row in store.refusals()[-5:]),
        )  # fmt: skip


def ledger(home: AgentHome) -> LedgerReport:
    """Read every charge."""
    delta = home.settings().budget.delta
    with closing(AgentStore(home.database)) as store:
        store.require_whole()
        return LedgerReport(delta=delta, lines=tuple(_lines(store, delta=delta)), levels=totals(store, delta=delta))


def _budget(home: AgentHome, settings: AgentSettings, store: AgentStore, now: float) -> Meter:
    """How the budget for all tasks stands; one that was not verified yet has charged nothing."""
    signed = [place.signed_task() for place in home.tasks() if place.signed.exists()]
    return read_meters(store, settings, signed, now)[0]


def _task(place: TaskHome, settings: AgentSettings, store: AgentStore) -> TaskStatus:
    task, grant = place.signed_task(), settings.tasks[place.name]
    share = next(limit for limit in limits(settings, task) if limit.task == place.name and limit.days is None)
    spent = Ledger(store).spent(share.budget.delta, task=place.name)
    counts = counted(store, share, now=time.time())
    return TaskStatus(
        name=place.name, revision=task.revision, release=current_release(place), answers=_answers(place),
        put_aside=tuple(f"release {mark.release}: {mark.reason}" for mark in marks(place)), enabled=grant.enabled,
        agreed=store.agreed(place.name, fingerprint(task)),
        epsilon_granted=min(share.budget.epsilon, settings.budget.epsilon), epsilon_spent=spent.epsilon,
        epsilon_counted=accounting.epsilon_of(counts.divergence, delta=share.budget.delta), charges=spent.releases,
    )  # fmt: skip


def _lines(store: AgentStore, *, delta: float) -> Iterator[LedgerLine]:
    divergence, paid = np.zeros(len(accounting.ORDERS)), lines(store)
    for charge in store.charges():
        divergence = divergence + accounting.renyi(store.events_of(charge.id))
        yield _line(charge, accounting.epsilon_of(divergence, delta=delta), paid.get(charge.id, ()))


def _line(charge: Charge, epsilon: float, events: tuple[Line, ...]) -> LedgerLine:
    return LedgerLine(
        id=charge.id, at=_when(charge.charged_at), task=charge.task, purpose=charge.purpose, state=_state(charge),
        request=charge.request, epsilon_after=epsilon, events=events, rows=_rows(charge),
    )  # fmt: skip


def _rows(charge: Charge) -> str:
    alive = charge.alive
    if alive is None:
        return ANY_ROW
    return f"rows with {alive.column} from {_when(alive.start)} until {_when(alive.end)}"


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
