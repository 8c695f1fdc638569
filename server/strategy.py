"""How an update that arrived is checked, and how the mean of many becomes the next weights: server momentum.

Flower's strategies weigh each update by its number of examples, which is private here (privacy rule 2), so
what remains is FedAvgM (Hsu, Qi & Brown, 2019, "Measuring the Effects of Non-Identical Data Distribution")
over equal weights.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shared.compression import growth
from shared.errors import WireError
from shared.rounds import RoundPlan
from shared.training import Training

Weights = NDArray[np.float32]
Mean = NDArray[np.float64]
State = NDArray[np.float32]
"""What a strategy remembers from round to round, stored with each: so many vectors of the weights' size, end to end."""

Step = Callable[[Weights, Mean, State, Training], tuple[Weights, State]]
"""From weights `(size,)`, a round's mean update `(size,)` and the state to the next weights and the next state."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Strategy:
    """How a coordinator moves its weights after a round, remembering `vectors` vectors of their size."""

    vectors: int
    step: Step


def check_update(update: NDArray[np.float32], plan: RoundPlan) -> None:
    """Raise `WireError` for an update of shape `(size,)` that no honest device sends: zero, or longer than planned.

    DP noise makes an exactly zero update impossible; where the coordinator adds it, a device without rows sends zero.
    """
    norm = float(np.linalg.norm(update.astype(np.float64)))
    if norm == 0.0 and plan.mode == "local":
        raise WireError("update is all zeros")
    most = plan.max_update_norm * (growth(plan.compression, len(update)) if plan.compression else 1.0)
    if norm > most * (1 + 1e-5):
        raise WireError(f"update has norm {norm:.3g}, the plan allows {most:.3g}")


def step(weights: Weights, mean: Mean, state: State, training: Training) -> tuple[Weights, State]:
    """Apply one round's mean update, of the weights' shape `(size,)`; returns the new weights and the new state."""
    return STRATEGIES[training.strategy].step(weights, mean, state, training)


def start(weights: Weights, training: Training) -> State:
    """What the campaign's strategy remembers before its first round: zeros."""
    return np.zeros(STRATEGIES[training.strategy].vectors * len(weights), np.float32)


def _momentum(weights: Weights, mean: Mean, momentum: State, training: Training) -> tuple[Weights, State]:
    moved = (training.server_momentum * momentum + mean).astype(np.float32)
    return (weights + np.float32(training.server_learning_rate) * moved).astype(np.float32), moved


STRATEGIES = {"momentum": Strategy(vectors=1, step=_momentum)}
"""By kind of `shared.training.StrategyKind`; a rehearsal's own file may add to it."""
