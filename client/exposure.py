"""What counts against a limit now: everything, what was charged in the last days, or what one row has paid.

Where rows retire, a limit holds for each row that this device's tasks ever teach with, and for one row of each task
together: what was charged while the charged task's rows that are alive now were, and beside it the most that any row of
each other task has paid. What was charged when no row retired counts for ever (docs/decisions/0018).
"""

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from client.lifetimes import DAY
from client.policy import Limit
from client.store import AgentStore
from shared import accounting
from shared.privacy import SampledGaussian

Divergence = NDArray[np.float64]

_COUNTED = """
    FROM costs JOIN charges ON charges.id = charge WHERE level = :level AND (:task IS NULL OR task = :task) AND
"""
_PAID = "(dated IS NULL OR (task = :own AND dated = :column AND rows_until > :start))"
_OTHERS = "dated IS NOT NULL AND NOT (task = :own AND dated IS :column)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """What counts against a limit: events, and beside them a divergence at each of `accounting.ORDERS`.

    `renews` is when (Unix time) the oldest of the events stops counting, None if none ever does.
    """

    events: tuple[SampledGaussian, ...]
    beside: Divergence
    renews: float | None = None

    @property
    def divergence(self) -> Divergence:
        """All of it at each of `accounting.ORDERS`."""
        return accounting.renyi(self.events) + self.beside

    def __bool__(self) -> bool:
        """Whether anything counts."""
        return bool(self.events) or bool(self.beside.any())


def counted(store: AgentStore, limit: Limit, *, now: float) -> Counted:
    """What counts against a limit, for a charge of its task at `now`."""
    if limit.lifetime is not None:
        return _of_rows(store, limit, now)
    since = None if limit.days is None else now - limit.days * DAY
    events = store.events(task=limit.task, since=since, level=limit.level)
    return Counted(events=tuple(events), beside=_nothing(), renews=_renews(store, limit, since))


def _of_rows(store: AgentStore, limit: Limit, now: float) -> Counted:
    """What the rows that are alive now may have paid, and the most that rows of others did."""
    assert limit.lifetime is not None
    alive = limit.lifetime.at(now)
    about = {
        "level": limit.level, "task": limit.task, "own": limit.lifetime.task,
        "column": alive and alive.column, "start": alive and alive.start,
    }  # fmt: skip
    rows = store.db.execute(
        f"SELECT noise_multiplier, sample_rate, sum(steps) AS steps {_COUNTED} {_PAID} "
        "GROUP BY noise_multiplier, sample_rate",
        about,
    )
    events = tuple(SampledGaussian(**dict(row)) for row in rows)
    oldest = store.db.execute(f"SELECT min(rows_until) {_COUNTED} {_PAID}", about).fetchone()[0]
    renews = None if oldest is None else oldest + limit.lifetime.days * DAY
    return Counted(events=events, beside=_beside(store, about), renews=renews)


def _renews(store: AgentStore, limit: Limit, since: float | None) -> float | None:
    """When the oldest charge of a period leaves it."""
    if since is None or limit.days is None:
        return None
    about = {"level": limit.level, "task": limit.task, "since": since}
    oldest = store.db.execute(f"SELECT min(charged_at) {_COUNTED} charged_at >= :since", about).fetchone()[0]
    return None if oldest is None else oldest + limit.days * DAY


def _beside(store: AgentStore, about: dict[str, Any]) -> Divergence:
    """The most that one row of each other task, or of this one as it dated its rows before, has ever paid."""
    streams: dict[tuple[str, str], list[Any]] = defaultdict(list)
    for row in store.db.execute(
        "SELECT task, dated, rows_from, rows_until, noise_multiplier, sample_rate, sum(steps) AS steps "
        f"{_COUNTED} {_OTHERS} GROUP BY task, dated, rows_from, rows_until, noise_multiplier, sample_rate",
        about,
    ):
        streams[row["task"], row["dated"]].append(row)
    return sum((_most(rows) for rows in streams.values()), start=_nothing())


def _most(rows: list[Any]) -> Divergence:
    """The most that one row has paid, at each order by itself: a row pays what was charged while it was alive.

    That is largest for a row that begins with some charge's oldest rows.
    """
    starts, ends = (np.array([row[name] for row in rows]) for name in ("rows_from", "rows_until"))
    costs = np.array([accounting.renyi([_event(row)]) for row in rows])
    begun = np.searchsorted(np.sort(starts), starts, side="right")
    over = np.searchsorted(np.sort(ends), starts, side="right")
    sums = _running(costs[np.argsort(starts)])[begun] - _running(costs[np.argsort(ends)])[over]
    return sums.max(axis=0)


def _running(costs: Divergence) -> Divergence:
    return np.concatenate([np.zeros((1, costs.shape[1])), costs.cumsum(axis=0)])


def _event(row: Any) -> SampledGaussian:
    return SampledGaussian(
        noise_multiplier=row["noise_multiplier"], sample_rate=row["sample_rate"], steps=row["steps"]
    )  # fmt: skip


def _nothing() -> Divergence:
    return np.zeros(len(accounting.ORDERS))
