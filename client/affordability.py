"""How many more campaigns this device could pay for, as coarsely as its owner lets the coordinator know.

Off unless `agent.toml` says `tell_affordability = true` (privacy rule 10). Computed from the ledger, the budgets and the
signed task alone: no example can change it. It does tell something of the owner's budget, one of four words at a time.
"""

import time
from collections.abc import Iterable
from contextlib import closing

from client.config import AgentHome
from client.exposure import Divergence, counted
from client.policy import limits
from client.settings import AgentSettings
from client.store import AgentStore
from shared import accounting
from shared.enrolment import BUCKETS, Bucket
from shared.errors import NotEligible
from shared.privacy import PrivacyBudget, SampledGaussian
from shared.tasks import Task


def told(home: AgentHome) -> dict[str, Bucket]:
    """What the coordinator may know, by task; nothing unless the owner says so, nor of a task that is switched off."""
    settings = home.settings()
    if not settings.tell_affordability:
        return {}
    tasks = [task for name, grant in settings.tasks.items() if grant.enabled and (task := _signed(home, name))]
    with closing(AgentStore(home.database)) as store:
        return {task.name: affordable(store, settings, task, now=time.time()) for task in tasks}


def affordable(store: AgentStore, settings: AgentSettings, task: Task, *, now: float) -> Bucket:
    """How many more campaigns of the task's own training every one of the owner's budgets covers.

    None, where a budget for whole devices leaves no room for a mode that protects single rows.
    """
    bounds = limits(settings, task)
    if any(limit.level == "device" for limit in bounds):
        return "0"
    training = task.training
    campaign = SampledGaussian(
        noise_multiplier=training.noise_multiplier, sample_rate=training.sample_rate,
        steps=training.steps * training.rounds,
    )  # fmt: skip
    return bucket(campaign, ((limit.budget, counted(store, limit, now=now).divergence) for limit in bounds))


def bucket(campaign: SampledGaussian, spent: Iterable[tuple[PrivacyBudget, Divergence]]) -> Bucket:
    """How many more such campaigns fit into every budget, given the divergence at `accounting.ORDERS` already spent of it."""
    one, spendings = accounting.renyi([campaign]), list(spent)

    found: Bucket = "0"
    for name, least in BUCKETS.items():
        after = ((budget, accounting.epsilon_of(paid + least * one, delta=budget.delta)) for budget, paid in spendings)
        if least and all(epsilon <= budget.epsilon for budget, epsilon in after):
            found = name
    return found


def _signed(home: AgentHome, name: str) -> Task | None:
    try:
        return home.task(name).signed_task()
    except NotEligible:
        return None
