"""Secure aggregation under audit: what a coordinator that sees only sums can tell, with the most colluders allowed.

It is the worst that the terms tolerate: no more devices than the threshold stay, and those who collude told what they
added. Masks are left out: they hide single devices, and this is about what the sum says. One device's rows are
canaries; then, for the guarantee of whole devices, each honest device is one.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from client.contribution import contribution as share_of
from client.inputs import Examples
from client.light import contribution as noiseless
from shared.architecture import initial_weights, size
from shared.distributed import DistributedNoise
from shared.noise import CipherStream
from shared.privacy import Cost, Level
from shared.rounds import RoundPlan
from shared.secagg.choosing import Demand, choose
from shared.secagg.encoding import decode
from shared.secure import SecureRound
from shared.tasks import Task
from simulations.audit.bounds import gaussian_epsilon
from simulations.audit.canaries import DELTA, Effort, canary_rows, canary_task, plan_of, scores_of
from simulations.audit.findings import Case, Finding, at_least, near, unrelated
from simulations.audit.judgement import judge
from simulations.audit.properties import LENGTHS, tasks, weights_of, wild_rows
from simulations.audit.trainers import Spent, spent

SEED = bytes(32)
"""The rotation's: public, and of no account to privacy."""

Vector = NDArray[np.float64]
Residues = NDArray[np.uint64]


class Share(Protocol):
    """How a device turns its update into its contribution."""

    def __call__(
        self, update: NDArray[np.floating], noise: DistributedNoise, *, seed: bytes, stream: CipherStream
    ) -> Residues:
        """Residues of shape `(padded,)`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Summation:
    """A device's code in this mode, the key of its randomness in a round, what a round is said to cost, and the ledger."""

    train: Callable[[RoundPlan, Task, NDArray[np.float32], Examples, CipherStream], Vector] = noiseless
    share: Share = share_of
    key: Callable[[Effort, int, int], bytes] = lambda effort, device, number: effort.key("share", device, number)
    stream: Callable[[bytes], CipherStream] = CipherStream
    cost: Callable[[RoundPlan], Cost] = lambda plan: plan.cost
    spent: Spent = spent


SHIPPED = Summation()


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """A cohort, noise of `multiplier` over what one row moves, and how many rows move as much as a device's bound."""

    devices: int = 12
    threshold: int = 9
    colluders: int = 2
    multiplier: float = 2.0
    rows_a_bound: float = 64.0

    @property
    def honest(self) -> int:
        """How many shares hide a row at the worst."""
        return self.threshold - self.colluders


def sum_plan(task: Task, terms: Terms, **changes: Any) -> RoundPlan:
    """A round in this mode: one step over all rows, an update bounded at `rows_a_bound` rows' clips."""
    plan = plan_of(task, learning_rate=1.0, normalizer=1.0, **changes)
    clip, bound = plan.row_move, terms.rows_a_bound * plan.row_move
    noise = _chosen(
        Demand(
            length=size(task), bound=bound, record_clip=clip, devices=terms.devices, threshold=terms.threshold,
            colluders=terms.colluders, noise_multiplier=terms.multiplier,
        )
    )  # fmt: skip
    return replace(
        plan, mode="distributed", secure=SecureRound(noise=noise, seed=SEED.hex(), roster=1), max_update_norm=bound,
        noise_multiplier=terms.multiplier,
    )  # fmt: skip


@lru_cache
def _chosen(demand: Demand) -> DistributedNoise:
    """The encoding and the share that a coordinator would choose: up to one percent more noise than is charged for."""
    return choose(demand)


def noise_of(plan: RoundPlan) -> DistributedNoise:
    """A plan's noise in shares."""
    assert plan.secure is not None
    return plan.secure.noise


def contributed(summation: Summation, effort: Effort, plan: RoundPlan, update: Vector, device: int) -> Residues:
    """What a device adds to a round's sum."""
    stream = summation.stream(summation.key(effort, device, plan.number))
    return summation.share(update, noise_of(plan), seed=SEED, stream=stream)


def total(summation: Summation, effort: Effort, plan: RoundPlan, updates: Sequence[Vector]) -> Vector:
    """What is left of a sum, decoded, when the colluders' contributions are taken out: the devices 0, 1, … are honest."""
    encoding = noise_of(plan).encoding
    parts = (contributed(summation, effort, plan, update, device) for device, update in enumerate(updates))
    wrapped = np.zeros(encoding.padded, np.uint64)
    for part in parts:
        wrapped += part
    return decode(wrapped & np.uint64((1 << encoding.bits) - 1), encoding, seed=SEED)


def rows_in_a_sum(summation: Summation, effort: Effort) -> Iterator[Finding]:
    """One device's rows are canaries, the other honest devices have none; and the same device seen alone."""
    task, terms = canary_task(effort.canaries), Terms()
    rounds = [sum_plan(task, terms, number=number) for number in range(1, 5)]
    coins = effort.coins(effort.canaries, "sum")
    nothing, together, alone = np.zeros(size(task)), np.zeros(effort.canaries), np.zeros(effort.canaries)
    for plan in rounds:
        stream = summation.stream(effort.key("sum", plan.number))
        update = summation.train(plan, task, initial_weights(task), canary_rows(coins), stream)
        together += _scores(total(summation, effort, plan, [update, *[nothing] * (terms.honest - 1)]), plan)
        alone += _scores(total(summation, effort, plan, [update]), plan)
    yield from _judged(summation, rounds, together, coins, level="record", of="")
    yield from _judged(summation, rounds, alone, coins, level="alone", of="alone: ")


def devices_in_a_sum(summation: Summation, effort: Effort) -> Iterator[Finding]:
    """Each honest device is a canary: an update three times its bound along a coordinate of its own, or nothing."""
    terms = Terms(devices=48, threshold=36, colluders=4, multiplier=8.0, rows_a_bound=8.0)
    task = canary_task(terms.honest)
    rounds = [sum_plan(task, terms, number=n) for n in range(1, 1 + -(-effort.canaries // terms.honest))]
    coins = effort.coins(len(rounds) * terms.honest, "devices").reshape(len(rounds), terms.honest)
    scores = np.empty(coins.shape)
    for index, plan in enumerate(rounds):
        updates = 3 * plan.max_update_norm * coins[index, :, None] * _directions(terms.honest)
        seen = total(summation, effort, plan, list(updates))
        scores[index] = _scores(seen, plan) * plan.row_move / plan.max_update_norm
    yield from _judged(summation, rounds[:1], scores.ravel(), coins.ravel(), level="device", of="device: ")


def _scores(update: Vector, plan: RoundPlan) -> Vector:
    """What each canary seems to have moved, in clips; a sum of updates goes up where a gradient goes down."""
    return scores_of(update, plan, (noise_of(plan).encoding.length - 2) // 2)


def _directions(count: int) -> Vector:
    """The unit vectors that `scores_of` looks along, shape `(count, 2 * count + 2)`."""
    one = np.eye(count) / math.sqrt(2)
    return np.concatenate([-one, one, np.zeros((count, 2))], axis=1)


def _judged(
    summation: Summation,
    rounds: Sequence[RoundPlan],
    scores: Vector,
    coins: NDArray[np.bool_],
    *,
    level: Level,
    of: str,
) -> Iterator[Finding]:
    """The canaries beside what their distance should be, and beside what is told of the rounds at a level.

    What is charged is a little more than the distance: rounding might have taken two updates further apart.
    """
    told = summation.spent([summation.cost(plan) for plan in rounds], DELTA, level)
    mu = math.sqrt(sum(_distance(plan, level) ** 2 for plan in rounds))
    yield from judge(scores, coins, mu=mu, told=told, of=of)
    yield at_least(f"{of}ledger", gaussian_epsilon(mu, delta=DELTA), told)


def _distance(plan: RoundPlan, level: Level) -> float:
    """How far one row, or one device, moves a sum, in standard deviations of the shares that hide it."""
    noise = noise_of(plan)
    moved = noise.encoding.bound if level == "device" else noise.record_clip
    shares = 1 if level == "alone" else noise.honest
    return moved / (math.sqrt(shares) * noise.share_scale * noise.encoding.granularity)


def noise_in_a_sum(summation: Summation, effort: Effort) -> Iterator[Finding]:
    """The sum of devices without rows has the whole noise, of which no two shares have anything in common."""
    task, terms = canary_task(effort.canaries), Terms()
    plans = [sum_plan(task, terms, number=number) for number in (1, 2)]
    noise, nothing = noise_of(plans[0]), np.zeros(size(task))
    seen = total(summation, effort, plans[0], [nothing] * terms.honest)
    expected = math.sqrt(terms.honest) * noise.share_scale * noise.encoding.granularity
    yield near("noise in the sum", expected, float(seen.std()), error=expected / math.sqrt(2 * len(seen)))
    shares = [total(summation, effort, plan, [nothing]) for plan in plans]
    yield unrelated("shares", np.stack([*shares, *_each(summation, effort, plans[0], nothing, terms.honest)]))


def _each(summation: Summation, effort: Effort, plan: RoundPlan, update: Vector, devices: int) -> Iterator[Vector]:
    encoding = noise_of(plan).encoding
    for device in range(1, devices):
        yield decode(contributed(summation, effort, plan, update, device), encoding, seed=SEED)


def keys(summation: Summation, effort: Effort) -> Iterator[Finding]:
    """Every byte of the key changes a share."""
    task = canary_task(effort.canaries)
    plan, nothing, key = sum_plan(task, Terms()), np.zeros(size(task)), effort.key("keys")
    changed = [key, *(key[:at] + bytes([key[at] ^ 1]) + key[at + 1 :] for at in range(len(key)))]
    shares = (summation.share(nothing, noise_of(plan), seed=SEED, stream=summation.stream(one)) for one in changed)
    yield unrelated("key", np.stack([decode(one, noise_of(plan).encoding, seed=SEED) for one in shares]))


def one_row(summation: Summation, effort: Effort) -> Iterator[Finding]:
    """With the same words, one row more moves a contribution by no more than the row's clip, but for rounding."""
    moved: list[float] = []
    rounding = 0.0
    for task in tasks():
        plan = sum_plan(task, Terms())
        rounding = max(rounding, _rounding(noise_of(plan)))
        for length in LENGTHS:
            fewer, more = wild_rows(task, effort.key("one row", task.architecture.kind, length), length, label=1)
            seen = [_contribution(summation, effort, plan, task, rows) for rows in (fewer, more)]
            moved.append(float(np.linalg.norm(seen[1] - seen[0])) / plan.row_move)
    yield near("one row", 1.0, max(moved), error=rounding, within=1.0)


def _rounding(noise: DistributedNoise) -> float:
    """How far rounding may take two contributions apart, or together, over a row's clip.

    Each coordinate's difference has a variance of a quarter at most. Along the row it adds up to half a unit, of which
    five are allowed; across it, to d/4 in the mean square, of which three times as much is. Float32 has a share too.
    """
    unit = noise.encoding.granularity / noise.record_clip
    return 2.5 * unit + math.sqrt(1 + 0.75 * noise.encoding.padded * unit**2) - 1 + 1e-3


def _contribution(summation: Summation, effort: Effort, plan: RoundPlan, task: Task, rows: Examples) -> Vector:
    update = summation.train(plan, task, weights_of(task), rows, summation.stream(bytes(32)))
    return total(summation, effort, plan, [update])


CHECKS: tuple[Callable[[Summation, Effort], Iterator[Finding]], ...] = (
    rows_in_a_sum,
    devices_in_a_sum,
    noise_in_a_sum,
    keys,
    one_row,
)


def examine(summation: Summation, effort: Effort, *, mutant: str = "") -> Case:
    """All checks of one way to add up."""
    findings = tuple(finding for check in CHECKS for finding in check(summation, effort))
    return Case(target="distributed", mutant=mutant, findings=findings)
