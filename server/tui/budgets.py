"""What devices' own words say of their budgets: it may cover less than our plans leave room for."""

from collections.abc import Iterable, Mapping

from server.tui.watcher import Snapshot
from shared.enrolment import BUCKETS, Bucket
from shared.errors import BudgetExhausted
from shared.rounds import RoundResult
from shared.tasks import Task


def allowed(task: Task, snapshot: Snapshot) -> dict[str, float]:
    """The most campaigns of a task's own training that each device's word leaves room for; the silent are left out.

    What an owner lets us know was said last, so it goes before what the device answered to the last plan.
    """
    approved = [device for device in snapshot.devices if device.state == "approved"]
    told = {device.name: most(device.affords[task.name]) for device in approved if task.name in device.affords}
    results = (
        result
        for run in reversed(snapshot.runs)
        if run.task == task.name
        for result in reversed(snapshot.rounds[run.id])
    )
    refused = out_of_budget(results, {device.name for device in approved} - told.keys())
    return told | dict.fromkeys(refused, 0.0)


def most(told: Bucket) -> float:
    """The most campaigns that a bucket stands for."""
    above = [least for least in BUCKETS.values() if least > BUCKETS[told]]
    return min(above) - 1.0 if above else float("inf")


def out_of_budget(newest_first: Iterable[RoundResult], names: Iterable[str]) -> set[str]:
    """Which of some devices gave their budget as the reason of their last answer."""
    waiting, found = set(names), set[str]()
    for result in newest_first:
        if not waiting:
            break
        spoke = waiting & {*result.returned, *result.refusals}
        found |= {name for name in spoke if result.refusals.get(name) == BudgetExhausted.category}
        waiting -= spoke
    return found


def over(allowed: Mapping[str, float], campaigns: int = 1) -> frozenset[str]:
    """The devices whose word is that their budget does not cover so many campaigns."""
    return frozenset(name for name, most in allowed.items() if most < campaigns)


def in_words(count: int) -> str:
    """So many devices, and that they said it themselves."""
    return f"{count} over budget by {'its' if count == 1 else 'their'} own word"
