"""Canaries with a coordinate each: rows whose clipped gradients point in directions that no other row's has.

Canary i is the row `LOUD` times the i-th unit vector under a network without hidden layers and two classes. Whatever
the weights, its gradient is along w1[i] - w0[i] and longer than any clip: all that privacy lets one row do (Nasr et
al., 2021, "Adversary Instantiation", Dirac gradients; Steinke et al., 2023). No contract would let such a row pass.
"""

import hashlib
import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from client.inputs import Examples
from shared.features import Number
from shared.noise import CipherStream
from shared.rounds import RoundPlan
from shared.tasks import Architecture, DriftSettings, Task, Threshold, Window
from shared.training import PrivacyCeiling, Training
from simulations.audit.bounds import Coins, Scores

LOUD = 100.0
"""How long a canary's row is: its gradient is some 70 before clipping, and 1 - 5e-5 of it on the canary's direction."""

DELTA = 1e-5


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How hard an audit looks: canaries in a run, and how often a call of the trainer, or a survey, is repeated."""

    seed: int = 0
    canaries: int = 1000
    calls: int = 60
    surveys: int = 200

    @property
    def half(self) -> "Effort":
        """Enough for a mutant: it is further off than chance goes."""
        return replace(self, canaries=self.canaries // 2, calls=self.calls // 2, surveys=self.surveys // 2)

    def key(self, *words: object) -> bytes:
        """32 bytes that only these words and the seed give: an audit that starts again sees the same."""
        return hashlib.sha256(repr((self.seed, *words)).encode()).digest()

    def coins(self, count: int, *words: object) -> Coins:
        """Fair coins, shape `(count,)`."""
        return CipherStream(self.key("coins", *words)).words(count) < np.uint64(2**63)


def task_of(architecture: Architecture, inputs: int) -> Task:
    """A task of two classes over `inputs` numbers."""
    return Task(
        name="audit",
        revision=1,
        title="Was this row in?",
        features=tuple(Number(name=f"x{i}", low=-1.0, high=1.0, missing=0.0) for i in range(inputs)),
        label=Threshold(column="y", above=0.5, classes=("out", "in")),
        architecture=architecture,
        training=Training(
            rounds=1, sample_rate=1.0, steps=1, normalizer=16.0, learning_rate=1e-3, max_grad_norm=1.0,
            noise_multiplier=1.0, max_update_norm=1e30,
        ),
        privacy=PrivacyCeiling(
            epsilon=1e6, delta=DELTA, min_noise_multiplier=1e-3, max_sample_rate=1.0, max_steps=1000, max_grad_norm=10.0
        ),
        drift=DriftSettings(
            score_bins=10, feature_bins=5, score_noise_multiplier=5.0, feature_noise_multiplier=5.0, alarm_psi=0.2
        ),
    )  # fmt: skip


def canary_task(canaries: int) -> Task:
    """A network without hidden layers, with one input a canary."""
    return task_of(Architecture(kind="linear"), canaries)


def plan_of(task: Task, **changes: Any) -> RoundPlan:
    """A round of `task` as it trains by itself, but for `changes`."""
    training = task.training
    plan = RoundPlan(
        run_id=1, number=1, task=task.name, revision=task.revision, base_version=1, window=Window(),
        sample_rate=training.sample_rate, steps=training.steps, normalizer=training.normalizer,
        learning_rate=training.learning_rate, max_grad_norm=training.max_grad_norm,
        noise_multiplier=training.noise_multiplier, max_update_norm=training.max_update_norm,
    )  # fmt: skip
    return replace(plan, **changes)


def canary_rows(coins: Coins) -> Examples:
    """The rows of the canaries whose coin says so, all of the second class."""
    rows = np.flatnonzero(coins)
    inputs = np.zeros((len(rows), len(coins)), np.float32)
    inputs[np.arange(len(rows)), rows] = LOUD
    return Examples(inputs=inputs, labels=np.ones(len(rows), np.int64))


def scores_of(update: NDArray[np.floating], plan: RoundPlan, canaries: int) -> Scores:
    """How often each canary seems to have been in a sample, shape `(canaries,)`: with noise of its steps' sigma each."""
    zero, one = update[: 2 * canaries].astype(np.float64).reshape(2, canaries)
    return (one - zero) / (math.sqrt(2) * plan.max_grad_norm * plan.learning_rate / plan.normalizer)
