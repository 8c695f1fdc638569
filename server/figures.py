"""The coordinator's figures, counted from its store: what Prometheus is told."""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from server.records import Device
from server.spending import spending
from server.store import Store
from shared.errors import BudgetExhausted, ConsentWithheld, NotEligible, NotNow, PlanTooWeak, Refusal, UnsafeAggregation
from shared.health import Health
from shared.rollout import WHOLE
from shared.rounds import RoundResult

REASONS = frozenset(
    each.category
    for each in (Refusal, BudgetExhausted, PlanTooWeak, NotEligible, NotNow, UnsafeAggregation, ConsentWithheld)
)
OTHER = "other"
WITHIN = {"5m": 300.0, "1h": 3600.0, "1d": 86_400.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Counts by what tells them apart; `seconds` are the durations of rounds by task, `epsilon` the largest of any device."""

    rounds: dict[tuple[str, str], int]
    replies: dict[tuple[str, str], int]
    refusals: dict[tuple[str, str], int]
    seconds: dict[str, list[float]]
    runs: dict[tuple[str, str], int]
    devices: dict[str, int]
    seen: dict[str, int]
    reach: dict[str, int]
    health: dict[tuple[str, int, str], int]
    rollouts: dict[tuple[str, int, str], float]
    epsilon: dict[str, float]
    traffic: dict[str, int]


def figures(store: Store, *, now: float | None = None) -> Figures:
    """Count everything; `now` is Unix time."""
    rounds, devices, runs = store.rounds(), store.devices(), store.runs()
    approved = [device for device in devices if device.state == "approved"]
    heard = [(time.time() if now is None else now) - (device.last_seen or 0.0) for device in approved]
    return Figures(
        rounds=dict(Counter((result.plan.task, result.outcome) for result in rounds)),
        replies=_replies(rounds),
        refusals=dict(Counter((r.plan.task, _known(why)) for r in rounds for why in r.refusals.values())),
        seconds=_seconds(rounds),
        runs=dict(Counter((run.kind, run.state) for run in runs)),
        devices={state: sum(d.state == state for d in devices) for state in ("pending", "approved", "revoked")},
        seen={name: sum(seconds <= most for seconds in heard) for name, most in WITHIN.items()},
        reach=_reach(store, approved),
        health=dict(Counter((h.task, h.release, h.verdict) for h in _known_health(store))),
        rollouts=_rollouts(store),
        epsilon={
            task.name: max((each.epsilon for each in spending(task, devices, rounds, runs)), default=0.0)
            for task in store.tasks()
        },
        traffic={"up": sum(d.bytes_up for d in devices), "down": sum(d.bytes_down for d in devices)},
    )


def _replies(rounds: Sequence[RoundResult]) -> dict[tuple[str, str], int]:
    """Devices that were asked, by what became of it; a round's own failure is none of a device."""
    found: Counter[tuple[str, str]] = Counter()
    for result in rounds:
        task, failed = result.plan.task, [name for name in result.failures if name in result.cohort]
        found[task, "returned"] += len(result.returned)
        found[task, "refused"] += len(result.refusals)
        found[task, "failed"] += len(failed)
    return dict(found)


def _known(reason: str) -> str:
    """A device writes its own category: one that is none of ours must not become a label."""
    return reason if reason in REASONS else OTHER


def _seconds(rounds: Sequence[RoundResult]) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for result in rounds:
        found.setdefault(result.plan.task, []).append(result.finished_at - result.started_at)
    return found


def _reach(store: Store, approved: Sequence[Device]) -> dict[str, int]:
    known = {release.number for release in store.releases()}
    return dict(Counter(_named(device.release, known) for device in approved))


def _named(release: int, known: set[int]) -> str:
    return "none" if not release else str(release) if release in known else OTHER


def _known_health(store: Store) -> list[Health]:
    """What devices say of releases that were made: a device can report any number."""
    known = {(release.task, release.number) for release in store.releases()}
    return [said.health for said in store.health() if (said.health.task, said.health.release) in known]


def _rollouts(store: Store) -> dict[tuple[str, int, str], float]:
    newest = {step.rollout.task: step.rollout for step in store.rollouts()}
    return {(task, each.release, each.state): each.share_bp / WHOLE for task, each in newest.items()}
