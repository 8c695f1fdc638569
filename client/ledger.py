"""The privacy ledger: charge, then release. A crash may waste budget, never spend it twice.

A request is `charged` before the first gradient or count, `sealed` once its reply's bytes are on disk, `sent`
once the coordinator has them, `void` once it no longer wants them. A request found at `charged` after a restart
is burnt; one found at `sealed` gets the identical bytes again (privacy rule 6).
"""

import math
import time
from collections.abc import Sequence

from client.campaigns import Part, owed, take
from client.policy import Limit
from client.store import AgentStore
from shared import accounting
from shared.errors import NotEligible, PlanTooWeak
from shared.failpoints import reached
from shared.privacy import Cost, Level, PrivacySpent

BURNT_SECONDS = 3600.0
"""A charge that is older than this and has no reply was interrupted: no round takes so long."""


class Ledger:
    """Every release that this device ever paid for."""

    def __init__(self, store: AgentStore) -> None:
        """Keep the ledger in the agent's store."""
        self._store = store

    def charge(
        self, request: str, *, task: str, purpose: str, cost: Cost, limits: Sequence[Limit], part: Part | None = None
    ) -> bytes | None:
        """Pay for `request` durably and return `None`; or return the sealed reply if it was paid for before.

        Raises `BudgetExhausted` when one of the limits does not cover it, and `NotEligible` when an earlier attempt
        was interrupted between charge and seal, so that nothing may be computed under that charge again. While the
        vault is locked it raises `InputError` before it charges, because no reply could be sealed. With `part`, `cost`
        is that of a whole campaign, and is paid with the first of its rounds.
        """
        if self._store.vault:
            self._store.vault.seal(b"", about="replies/none")
        with self._store.transaction():
            earlier = self._store.charge(request)
            if earlier is None:
                due = owed(self._store, part, cost) if part else cost
                self._admit(due, limits)
                self._store.add_charge(request, task, purpose, due)
                if part:
                    take(self._store, part)
        if earlier is None:
            reached("ledger.charged")
            return None
        if (reply := self._store.reply(earlier)) is None:
            raise NotEligible(f"request {request} was charged before and interrupted or already sent")
        return reply

    def _admit(self, cost: Cost, limits: Sequence[Limit]) -> None:
        now = time.time()
        for limit in limits:
            if limit.level == "device" and "everyone" in {cost.trust, *self._store.trusts()}:
                raise PlanTooWeak(f"{limit.what} is for whole devices, and a release for single rows protects none")
            since = None if limit.days is None else now - limit.days * 86_400
            history = self._store.events(task=limit.task, since=since, level=limit.level)
            accounting.admit([*history, *cost.at(limit.level)], limit.budget, what=limit.what)

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
