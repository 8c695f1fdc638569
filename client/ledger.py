"""The privacy ledger: charge, then release. A crash may waste budget, never spend it twice.

A request is `charged` before the first gradient or count, `sealed` once its reply's bytes are on disk, `sent`
once the coordinator has them, `void` once it no longer wants them. A request found at `charged` after a restart
is burnt; one found at `sealed` gets the identical bytes again (privacy rule 6).
"""

from client.store import AgentStore
from shared import accounting
from shared.errors import NotEligible
from shared.privacy import PrivacyBudget, PrivacySpent, SampledGaussian


class Ledger:
    """Every release that this device ever paid for."""

    def __init__(self, store: AgentStore) -> None:
        """Keep the ledger in the agent's store."""
        self._store = store

    def charge(
        self, request: str, *, task: str, purpose: str, events: tuple[SampledGaussian, ...], budget: PrivacyBudget
    ) -> bytes | None:
        """Pay for `request` durably and return `None`; or return the sealed reply if it was paid for before.

        Raises `BudgetExhausted` when the budget does not cover it, and `NotEligible` when an earlier attempt
        was interrupted between charge and seal, so that nothing may be computed under that charge again.
        """
        with self._store.transaction():
            earlier = self._store.charge(request)
            if earlier is None:
                self._admit(events, budget)
                self._store.add_charge(request, task, purpose, events)
                return None
        if earlier.reply is None:
            raise NotEligible(f"request {request} was charged before and interrupted or already sent")
        return earlier.reply

    def _admit(self, events: tuple[SampledGaussian, ...], budget: PrivacyBudget) -> None:
        history = self._store.events()
        for event in events:
            accounting.admit(event, history, budget)
            history.append(event)

    def seal(self, request: str, reply: bytes) -> None:
        """Keep the reply on disk before it leaves; raises `NotEligible` if there is no open charge for it."""
        if self._store.seal(request, reply) != 1:
            raise NotEligible(f"request {request} has no open charge to seal")

    def mark_sent(self, request: str) -> None:
        """The coordinator confirmed the reply."""
        self._store.close_charge(request, "sent")

    def mark_void(self, request: str) -> None:
        """The coordinator no longer wants the reply, because its run is over; the charge stays."""
        self._store.close_charge(request, "void")

    def unsent(self) -> list[tuple[str, bytes]]:
        """Sealed replies that never got through: request and bytes, oldest first."""
        return [(c.request, c.reply) for c in self._store.charges() if c.state == "sealed" and c.reply is not None]

    def spent(self, delta: float) -> PrivacySpent:
        """What all charges together have cost, whether or not their replies were sent."""
        epsilon = accounting.epsilon(self._store.events(), delta=delta)
        return PrivacySpent(epsilon=epsilon, delta=delta, releases=len(self._store.charges()))
