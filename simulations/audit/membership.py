"""How well the updates tell which canaries were in: never better than the ledger says, nor worse than the noise explains.

The attacker sees every update, and knows the weights, the plan, all canaries and their directions: all but coins.
"""

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from shared.architecture import initial_weights
from shared.rounds import RoundPlan
from simulations.audit.accountant import exact_epsilon
from simulations.audit.bounds import Coins, Scores
from simulations.audit.canaries import DELTA, Effort, canary_rows, canary_task, plan_of, scores_of
from simulations.audit.findings import Finding, at_least, near
from simulations.audit.judgement import bounds, judge
from simulations.audit.trainers import Trainer


def whole_batches(trainer: Trainer, effort: Effort) -> Iterator[Finding]:
    """Four rounds of four steps over all rows, with sigma 4: mu is sqrt(16) / 4, epsilon 4.38 at delta 1e-5."""
    plan = plan_of(canary_task(effort.canaries), noise_multiplier=4.0, steps=4)
    coins, rounds = effort.coins(effort.canaries, trainer.name, "whole"), [replace(plan, number=n) for n in range(1, 5)]
    scores = _observe(trainer, effort, rounds, coins, "whole").sum(axis=0)
    steps = sum(one.steps for one in rounds)
    told = trainer.spent([one.cost for one in rounds], DELTA)
    yield from judge(scores, coins, mu=math.sqrt(steps) / plan.noise_multiplier, told=told)
    yield at_least("ledger", exact_epsilon([one.event for one in rounds], delta=DELTA), told)
    yield _denominator(scores[~coins], plan, steps)


def sampled_batches(trainer: Trainer, effort: Effort) -> Iterator[Finding]:
    """Thirty rounds of one step over a quarter of the rows, with sigma 1: each canary's score is a mixture.

    Its two parts are found one by one: the noise by canaries that were out, the sampling rate by how far the others'
    mean is from theirs. What tells the two worlds apart best is the likelihood's ratio, summed over the rounds.
    """
    plan = plan_of(canary_task(effort.canaries), noise_multiplier=1.0, sample_rate=0.25)
    coins, rounds = (
        effort.coins(effort.canaries, trainer.name, "sampled"),
        [replace(plan, number=n) for n in range(1, 31)],
    )
    scores, rate, noise = _observe(trainer, effort, rounds, coins, "sampled"), plan.sample_rate, plan.noise_multiplier
    inside, outside = scores[:, coins], scores[:, ~coins]
    yield near("noise", noise, float(outside.std()), error=noise / math.sqrt(2 * outside.size))
    mean, error = float(inside.mean() - outside.mean()), np.hypot(_error(inside), _error(outside))
    yield near("inclusion", rate, mean, error=float(error))
    told = trainer.spent([one.cost for one in rounds], DELTA)
    evidence = np.log1p(rate * np.expm1(np.minimum((scores - 0.5) / noise**2, 500.0))).sum(axis=0)
    yield from bounds(evidence, coins, told=told, of="sampled ")


def _observe(
    trainer: Trainer, effort: Effort, rounds: list[RoundPlan], coins: Coins, label: str
) -> NDArray[np.float64]:
    """The canaries' scores in each round, shape `(rounds, canaries)`."""
    task, rows = canary_task(len(coins)), canary_rows(coins)
    weights, scores = initial_weights(task), np.empty((len(rounds), len(coins)))
    for index, plan in enumerate(rounds):
        stream = trainer.stream(effort.key(trainer.name, label, index))
        scores[index] = scores_of(trainer.train(plan, task, weights, rows, stream), plan, len(coins))
    return scores


def _denominator(outside: Scores, plan: RoundPlan, steps: int) -> Finding:
    """What the noisy sum was divided by, as an update's noise tells it: were it private, so would be N."""
    spread, public = float(outside.std()), plan.normalizer
    seen = public * plan.noise_multiplier * math.sqrt(steps) / spread if spread else math.inf
    return near("denominator", public, seen, error=public / math.sqrt(2 * len(outside)))


def _error(values: NDArray[np.float64]) -> float:
    return float(values.std()) / math.sqrt(values.size)
