"""What both sides do to an update: keep one device in bounds."""

import numpy as np
from numpy.typing import NDArray


def is_within(update: NDArray[np.floating], bound: float) -> bool:
    """Whether an update of shape `(size,)` lies below a bound, rather than on it because it was clipped."""
    return float(np.linalg.norm(update)) < bound * (1 - 1e-9)


def clip(update: NDArray[np.float32], max_norm: float) -> NDArray[np.float32]:
    """Scale `update` of shape `(size,)` down to an L2 norm of at most `max_norm`: post-processing of what was noised."""
    norm = float(np.linalg.norm(update))
    return update if norm <= max_norm else (update * np.float32(max_norm / norm)).astype(np.float32)
