"""How an update that arrived is checked, and how the mean of many becomes the next weights: server momentum.

Flower's strategies weigh each update by its number of examples, which is private here (privacy rule 2), so
what remains is FedAvgM (Hsu, Qi & Brown, 2019, "Measuring the Effects of Non-Identical Data Distribution")
over equal weights.
"""

import numpy as np
from numpy.typing import NDArray

from shared.compression import growth
from shared.errors import WireError
from shared.rounds import RoundPlan
from shared.training import Training


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


def step(
    weights: NDArray[np.float32],
    mean: NDArray[np.float64],
    momentum: NDArray[np.float32],
    training: Training,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Apply one round's mean update; all arrays have shape `(size,)`. Returns the new weights and the new momentum."""
    moved = (training.server_momentum * momentum + mean).astype(np.float32)
    return (weights + np.float32(training.server_learning_rate) * moved).astype(np.float32), moved
