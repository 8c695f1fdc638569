"""What this device's owner agreed to: when, in which words, and how it ends."""

from contextlib import closing
from dataclasses import dataclass

from client.config import AgentHome
from client.store import AgentStore, Consent
from shared.errors import InputError


@dataclass(frozen=True, slots=True, kw_only=True)
class Withdrawal:
    """How many consents to a task ended; what was released before does not unlearn."""

    task: str
    ended: int


def consents(home: AgentHome) -> list[Consent]:
    """Everything that was ever agreed to on this device, oldest first, as it read."""
    with closing(AgentStore(home.database)) as store:
        return store.consents()


def withdraw(home: AgentHome, task: str) -> Withdrawal:
    """End the consent to a task from its next request on; raise `InputError` if there is none."""
    with closing(AgentStore(home.database)) as store:
        ended = store.withdraw(task)
    if not ended:
        raise InputError(f"there is no consent to {task!r} that could be withdrawn; `covey-agent consent` lists them")
    return Withdrawal(task=task, ended=ended)
