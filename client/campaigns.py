"""Campaigns that are charged whole, before their first output: how many of a campaign's rounds are paid for, and taken.

A reservation is what makes correlated noise chargeable at all, whose rounds have no price of their own. It never gives
anything back: rounds that are not taken stay paid. All of its rounds are for the rows that the first was for, because
those are what was charged (docs/decisions/0018).
"""

from dataclasses import dataclass, replace

from client.lifetimes import Alive
from client.store import AgentStore
from shared.errors import NotEligible
from shared.privacy import Cost
from shared.rounds import RoundPlan


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A round of a campaign that is charged whole: which campaign, which round, and what all of its rounds allow."""

    campaign: str
    number: int
    rounds: int
    separation: int


def part_of(plan: RoundPlan) -> Part | None:
    """The part of a campaign that a plan is; None where each round is charged by itself."""
    if plan.campaign is None or plan.reserved is None:
        return None
    central = plan.central
    return Part(
        campaign=plan.campaign, number=central.step if central else plan.number, rounds=plan.reserved,
        separation=central.separation if central else 1,
    )  # fmt: skip


def owed(store: AgentStore, part: Part, whole: Cost) -> Cost:
    """What this round still has to pay: the whole campaign, or nothing; call inside `transaction`.

    Raise `NotEligible` where what was reserved does not cover it.
    """
    row = store.db.execute("SELECT taken, last FROM reservations WHERE campaign = ?", (part.campaign,)).fetchone()
    if row is None:
        return whole
    if row["taken"] >= part.rounds:
        raise NotEligible(f"this device took part in all {part.rounds} rounds that it paid for in this campaign")
    if part.number < row["last"] + part.separation:
        raise NotEligible(f"this device took part in round {row['last']}, and rests for {part.separation} rounds")
    return replace(whole, record=(), device=(), alone=())


def rows_of(store: AgentStore, part: Part) -> Alive | None:
    """The rows that a campaign was charged for; None if any row, or if it was not charged yet."""
    row = store.db.execute(
        "SELECT request FROM reservations JOIN charges ON charges.id = charge WHERE campaign = ?", (part.campaign,)
    ).fetchone()
    first = store.charge(row["request"]) if row else None
    return first.alive if first else None


def take(store: AgentStore, part: Part, request: str) -> None:
    """Count one round of the campaign; call inside the transaction that charged `request` for it."""
    store.db.execute(
        "INSERT INTO reservations (campaign, taken, last, charge) "
        "VALUES (?, 1, ?, (SELECT id FROM charges WHERE request = ?)) "
        "ON CONFLICT (campaign) DO UPDATE SET taken = taken + 1, last = excluded.last",
        (part.campaign, part.number, request),
    )


def forget(store: AgentStore) -> None:
    """Let no reservation count any more: whose rounds were taken is not known, so each campaign is charged anew."""
    store.db.execute("DELETE FROM reservations")
