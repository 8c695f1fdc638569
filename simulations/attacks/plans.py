"""The plans that are attacked: as much noise as an epsilon takes, and streams that a seed can bring back."""

import hashlib
from typing import Any

from shared.accounting import epsilon as epsilon_of
from shared.noise import CipherStream
from shared.privacy import SampledGaussian
from shared.rounds import RoundPlan
from shared.tasks import Task, Window

DELTA = 1e-5

SILENCE = 1e-12
"""A noise multiplier that hides nothing: epsilon is infinite to anybody who looks. No agent accepts such a plan."""


def plan_for(task: Task, **settings: Any) -> RoundPlan:
    """A round of a task's own terms, but for `settings`; no owner has agreed to it and no ledger is asked."""
    terms = task.training
    own: dict[str, Any] = {
        "sample_rate": terms.sample_rate, "steps": terms.steps, "normalizer": terms.normalizer,
        "learning_rate": terms.learning_rate, "max_grad_norm": terms.max_grad_norm,
        "noise_multiplier": terms.noise_multiplier, "max_update_norm": terms.max_update_norm,
    }  # fmt: skip
    return RoundPlan(
        run_id=1, number=1, task=task.name, revision=task.revision, base_version=1, window=Window(), **(own | settings)
    )


def noise_for(epsilon: float, *, sample_rate: float, steps: int) -> float:
    """The least noise multiplier with which so many steps cost at most `epsilon` at `DELTA`, by the ledger's accounting."""

    def costs(noise: float) -> float:
        event = SampledGaussian(noise_multiplier=noise, sample_rate=sample_rate, steps=steps)
        return epsilon_of([event], delta=DELTA)

    low, high = 0.1, 0.2
    while costs(high) > epsilon:
        low, high = high, 2 * high
    while high - low > 1e-6 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if costs(middle) > epsilon else (low, middle)
    return high


def stream(*words: object) -> CipherStream:
    """A stream that these words give again: simulations only, whose rows are nobody's."""
    return CipherStream(key(*words))


def key(*words: object) -> bytes:
    """32 bytes that only these words give."""
    return hashlib.sha256(repr(words).encode()).digest()
