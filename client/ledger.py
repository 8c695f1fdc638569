"""The privacy ledger: charge, then release. A crash may waste budget, never spend it twice.

A request is `charged` before the first gradient or count, `sealed` once its reply's bytes are on disk, `sent`
once the coordinator has them, `void` once it no longer wants them. A request found at `charged` after a restart
is burnt; one found at `sealed` gets the identical bytes again (privacy rule 6).
"""

import math
import time
from collections.abc import Callable, Sequence

from client.campaigns import Part, owed, rows_of, take
from client.exposure import counted
from client.lifetimes import Alive
from client.policy import Limit
from client.store import AgentStore
from shared import accounting
from shared.errors import NotEligible, PlanTooWeak
from shared.failpoints import reached
from shared.privacy import Cost, Level, PrivacySpent, SampledGaussian

BURNT_SECONDS = 3600.0
"""A charge that is older than this and has no reply was interrupted: no round takes so long."""

Exact = Callable[[Sequence[SampledGaussian], float], float]
"""Epsilon at a delta, tighter than the accountant's, of events that are all known before the first output."""


class Ledger:
    """Every release that this device ever paid for."""

    def __init__(
        self, store: AgentStore, *, clock: Callable[[], float] | None = None, exact: Exact | None = None
    ) -> None:
        """Keep the ledger in the agent's store; `exact`, where there is one, may admit campaigns that are charged whole."""
        self._store, self._clock, self._exact = store, clock, exact

    def charge(
        self, request: str, *, task: str, purpose: str, cost: Cost, limits: Sequence[Limit], part: Part | None = None
    ) -> bytes | None:
        """Pay for `request` durably and return `None`; or return the sealed reply if it was paid for before.

        Raises `BudgetExhausted` when one of the limits does not cover it, and `NotEligible` when an earlier attempt
        was interrupted between charge and seal, so that nothing may be computed under that charge again. While the
        vault is locked it raises `InputError` before it charges, because no reply could be sealed. With `part`, `cost`
        is that of a whole campaign, and is paid with the first of its rounds. What was paid for may only be computed
        from the rows that `alive` names.
        """
        if self._store.vault:
            self._store.vault.seal(b"", about="replies/none")
        whole = self._fits_alone(cost, limits) if part else frozenset[Limit]()
        with self._store.transaction():
            earlier = self._store.charge(request)
            if earlier is None:
                self._pay(request, task, purpose, cost, limits, part, whole)
        if earlier is None:
            reached("ledger.charged")
            return None
        if (reply := self._store.reply(earlier)) is None:
            raise NotEligible(f"request {request} was charged before and interrupted or already sent")
        return reply

    def alive(self, request: str) -> Alive | None:
        """The rows that a request was charged for; None if any row."""
        charge = self._store.charge(request)
        return charge.alive if charge else None

    def _pay(
        self, request: str, task: str, purpose: str, cost: Cost, limits: Sequence[Limit], part: Part | None,
        whole: frozenset[Limit],
    ) -> None:  # fmt: skip
        """Admit and write one charge: the clock is read once, for both and for which rows it is for."""
        now = self._clock() if self._clock else time.time()
        alive = next((limit.lifetime.at(now) for limit in limits if limit.lifetime), None)
        if part:
            cost, alive = owed(self._store, part, cost), rows_of(self._store, part) or alive
        self._admit(cost, limits, now, whole)
        self._store.add_charge(request, task, purpose, cost, at=now, alive=alive)
        if part:
            take(self._store, part, request)

    def _admit(self, cost: Cost, limits: Sequence[Limit], now: float, whole: frozenset[Limit]) -> None:
        for limit in limits:
            if limit.level == "device" and "everyone" in {cost.trust, *self._store.trusts()}:
                raise PlanTooWeak(f"{limit.what} is for whole devices, and a release for single rows protects none")
            due = cost.at(limit.level)
            if not due:
                continue  # a round of a campaign that was paid for before
            before = counted(self._store, limit, now=now)
            if limit in whole and not before:
                continue
            accounting.admit([*before.events, *due], limit.budget, what=limit.what, beside=before.beside)

    def _fits_alone(self, cost: Cost, limits: Sequence[Limit]) -> frozenset[Limit]:
        """The limits that hold for a campaign by its exact epsilon, and would not by the accountant's.

        Nothing else must count against them, before or after (docs/decisions/0018): after, the accountant sees to it,
        for which the campaign alone is too much already.
        """
        if self._exact is None or cost.trust != "everyone":
            return frozenset()
        events = cost.record
        return frozenset(
            limit
            for limit in limits
            if limit.level == "record"
            and limit.budget.epsilon < accounting.epsilon(events, delta=limit.budget.delta) < 2 * limit.budget.epsilon
            and self._exact(events, limit.budget.delta) <= limit.budget.epsilon
        )

    def seal(self, request: str, reply: bytes) -> None:
        """Keep the reply on disk before it leaves; raises `NotEligible` if there is no open charge for it."""
        if self._store.seal(request, reply) != 1:
            raise NotEligible(f"request {request} has no open charge to seal")
        reached("ledger.sealed")

    def mark_sent(self, request: str) -> None:
        """The coordinator confirmed the reply."""
        self._store.close_charge(request, "sent")
        reached("ledger.sent")

    def mark_void(self, request: str) -> None:
        """The coordinator no longer wants the reply, because its run is over; the charge stays."""
        self._store.close_charge(request, "void")

    def unsent(self) -> list[tuple[str, bytes]]:
        """Sealed replies that never got through: request and bytes, oldest first."""
        sealed = ((c.request, self._store.reply(c)) for c in self._store.charges() if c.state == "sealed")
        return [(request, reply) for request, reply in sealed if reply is not None]

    def spent(self, delta: float, *, task: str | None = None, level: Level = "record") -> PrivacySpent:
        """What all charges, or one task's, have cost together at a level, whether or not their replies were sent.

        Epsilon is infinite where a release gave no protection at that level (privacy rule 7).
        """
        unprotected = {"device": "everyone", "alone": "coordinator"}.get(level) in self._store.trusts()
        history = self._store.events(task=task, level=level)
        epsilon = math.inf if unprotected else accounting.epsilon(history, delta=delta)
        return PrivacySpent(epsilon=epsilon, delta=delta, releases=self._store.count(task=task))
