"""How updates become the next weights: an equal-weights mean, then server momentum.

Flower's strategies weigh each update by its number of examples, which is private here (privacy rule 2), so
what remains is FedAvgM (Hsu, Qi & Brown, 2019, "Measuring the Effects of Non-Identical Data Distribution")
over equal weights.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from shared.errors import WireError
from shared.training import Training


def check_update(update: NDArray[np.float32], max_norm: float) -> None:
    """Raise `WireError` for an update that no honest device sends: zero, or longer than the plan allows.

    DP noise makes an exactly zero update impossible; a zero one was never trained.
    """
    norm = float(np.linalg.norm(update.astype(np.float64)))
    if norm == 0.0:
        raise WireError("update is all zeros")
    if norm > max_norm * (1 + 1e-5):
        raise WireError(f"update has norm {norm:.3g}, the plan allows {max_norm:.3g}")


def step(
    weights: NDArray[np.float32],
    updates: Sequence[NDArray[np.float32]],
    momentum: NDArray[np.float32],
    training: Training,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Apply one round; all arrays have shape `(size,)`. Returns the new weights and the new momentum."""
    mean = np.mean(np.stack(updates), axis=0, dtype=np.float64)
    moved = (training.server_momentum * momentum + mean).astype(np.float32)
    return (weights + np.float32(training.server_learning_rate) * moved).astype(np.float32), moved
