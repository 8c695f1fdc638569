"""The coordinator's own noise under audit: each device a canary, over a campaign of rounds.

With correlated noise the rounds' sums are y = x + C^-1 z; an attacker who knows C looks at C y = C x + z, in which the
noise is independent and a device that took part stands out by |C x|: all that its matrix lets it do.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray

from server import central as coordinator
from shared import central
from shared.central import CentralRound
from shared.noise import CipherStream
from shared.privacy import Cost
from shared.rounds import RoundPlan
from simulations.audit.accountant import exact_epsilon
from simulations.audit.canaries import DELTA, Effort, canary_task, plan_of, scores_of
from simulations.audit.findings import Case, Finding, at_least, near, unrelated
from simulations.audit.judgement import judge
from simulations.audit.trainers import Spent, only_the_last, spent


@dataclass(frozen=True, slots=True, kw_only=True)
class Campaign:
    """A campaign of the coordinator's: how it adds noise, in which rounds a device takes part, and what that is told to cost."""

    noisy: Callable[..., NDArray[np.float64]] = coordinator.noisy_mean
    stream: Callable[[bytes], CipherStream] = CipherStream
    parts: tuple[int, ...] = (1, 5, 9, 13)
    cost: Callable[[RoundPlan], Cost] = lambda plan: plan.cost
    spent: Spent = spent


SHIPPED = Campaign()
ROUNDS = 16


def correlated(campaign: Campaign, effort: Effort) -> Iterator[Finding]:
    """A campaign of sixteen rounds with correlated noise, in which each device takes part four times."""
    plans = [_plan(effort, noise="correlated", step=step, rounds=ROUNDS, participations=4, separation=4) for step in range(1, ROUNDS + 1)]  # fmt: skip
    coins, key = effort.coins(effort.canaries, "correlated"), effort.key("correlated")
    taking = np.array([plan.central.step in campaign.parts for plan in plans if plan.central])
    sums = np.stack([
        _round(campaign, effort, plan, coins & part, key) for plan, part in zip(plans, taking, strict=True)
    ])  # fmt: skip
    undone = _matrix() @ sums
    shape = _matrix() @ np.array([plan.central.step in SHIPPED.parts for plan in plans if plan.central], dtype=float)
    scores = shape @ undone / np.linalg.norm(shape)
    yield from _judged(campaign, plans[:1], scores, coins, of="correlated ")
    yield unrelated("rounds", undone[:, ~coins])


def independent(campaign: Campaign, effort: Effort) -> Iterator[Finding]:
    """Four rounds with independent noise, in all of which each device takes part."""
    plans = [_plan(effort, noise="independent", number=number) for number in range(1, 5)]
    coins = effort.coins(effort.canaries, "independent")
    sums = [_round(campaign, effort, plan, coins, effort.key("independent", plan.number)) for plan in plans]
    yield from _judged(campaign, plans, np.sum(sums, axis=0), coins, of="")
    noise = np.stack(sums)[:, ~coins]
    sigma = plans[0].noise_multiplier
    yield near("noise", sigma, float(noise.std()), error=sigma / math.sqrt(2 * noise.size))


def _plan(effort: Effort, *, noise: str, number: int = 1, **form: Any) -> RoundPlan:
    """A round for whole devices, with sigma 4 on the sum of updates of norm 1."""
    terms = CentralRound(unit="device", noise="correlated" if noise == "correlated" else "independent", **form)
    plan = plan_of(canary_task(effort.canaries), learning_rate=1.0, normalizer=1.0, number=number)
    return replace(
        plan, mode="central", central=terms, max_update_norm=1.0, noise_multiplier=4.0,
        reserved=terms.participations if noise == "correlated" else None,
    )  # fmt: skip


def _round(
    campaign: Campaign, effort: Effort, plan: RoundPlan, taking: NDArray[np.bool_], key: bytes
) -> NDArray[np.float64]:
    """What each canary device seems to have moved the sum by, in bounds, shape `(devices,)`."""
    count = len(taking)
    updates = np.zeros((max(1, int(taking.sum())), 2 * count + 2), np.float32)
    chosen = np.flatnonzero(taking)
    updates[np.arange(len(chosen)), chosen] = -math.sqrt(0.5)
    updates[np.arange(len(chosen)), count + chosen] = math.sqrt(0.5)
    drawn = campaign.stream(effort.key("central", plan.number))
    with patch.object(coordinator, "system_stream", lambda: drawn):
        mean = campaign.noisy(plan, list(updates), divisor=7, key=key)
    return scores_of(7 * mean, plan, count)


def _matrix() -> NDArray[np.float64]:
    """C: lower triangular, with the same coefficients down each diagonal."""
    coefficients = central.root(ROUNDS)
    rows, columns = np.indices((ROUNDS, ROUNDS))
    return np.where(rows >= columns, coefficients[np.maximum(rows - columns, 0)], 0.0)


def _judged(
    campaign: Campaign, plans: list[RoundPlan], scores: NDArray[np.float64], coins: NDArray[np.bool_], *, of: str
) -> Iterator[Finding]:
    costs = [campaign.cost(plan) for plan in plans]
    events = [event for cost in costs for event in cost.device]
    told = campaign.spent(costs, DELTA, "device")
    mu = math.sqrt(sum(event.steps / event.noise_multiplier**2 for event in events))
    yield from judge(scores, coins, mu=mu, told=told, of=of)
    yield at_least(f"{of}ledger", exact_epsilon(events, delta=DELTA), told)


CHECKS: tuple[Callable[[Campaign, Effort], Iterator[Finding]], ...] = (correlated, independent)


def _silent(plan: RoundPlan, updates: list[NDArray[np.float32]], *, divisor: int, key: bytes) -> NDArray[np.float64]:
    """No noise."""
    del plan, key
    return np.stack(updates).sum(axis=0, dtype=np.float64) / divisor


def _halved(plan: RoundPlan, updates: list[NDArray[np.float32]], *, divisor: int, key: bytes) -> NDArray[np.float64]:
    """Half the noise."""
    quieter = replace(plan, noise_multiplier=plan.noise_multiplier / 2)
    return coordinator.noisy_mean(quieter, updates, divisor=divisor, key=key)


def _one_draw(plan: RoundPlan, updates: list[NDArray[np.float32]], *, divisor: int, key: bytes) -> NDArray[np.float64]:
    """The same noise in each round."""
    first = CentralRound(unit="device", noise="correlated", rounds=ROUNDS, participations=4, separation=4)
    return coordinator.noisy_mean(replace(plan, central=first, reserved=4), updates, divisor=divisor, key=key)


def _as_if_independent(plan: RoundPlan) -> Cost:
    """Correlated noise charged as if each participation met noise of its own."""
    whole = plan.cost
    event = replace(whole.device[0], noise_multiplier=plan.noise_multiplier, steps=plan.reserved or 1)
    return replace(whole, device=(event,))


MUTANTS: dict[str, Campaign] = {
    "no noise": replace(SHIPPED, noisy=_silent),
    "half the noise": replace(SHIPPED, noisy=_halved),
    "the same noise each round": replace(SHIPPED, noisy=_one_draw),
    "correlated noise charged as independent": replace(SHIPPED, cost=_as_if_independent),
    "more rounds than were paid for": replace(SHIPPED, parts=tuple(range(1, ROUNDS + 1))),
    "engine rebuilt each round": replace(SHIPPED, spent=only_the_last),
}


def cases(effort: Effort) -> Iterator[Case]:
    """The coordinator's noise as it ships, then each mutant of it."""
    yield examine(SHIPPED, effort)
    for name, campaign in MUTANTS.items():
        yield examine(campaign, effort.half, mutant=name)


def examine(campaign: Campaign, effort: Effort, *, mutant: str = "") -> Case:
    """All checks of one campaign."""
    findings = tuple(finding for check in CHECKS for finding in check(campaign, effort))
    return Case(target="central", mutant=mutant, findings=findings)
