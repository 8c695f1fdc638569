"""How far the weights of two versions lie apart, layer by layer."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shared.architecture import shapes, split
from shared.tasks import Task


@dataclass(frozen=True, slots=True, kw_only=True)
class Distance:
    """One layer's parameters in both versions: the Euclidean distance, and the cosine of the angle between them.

    The cosine of a layer that is all zeros in one of them is none.
    """

    layer: str
    parameters: int
    l2: float
    cosine: float | None


def distances(task: Task, one: NDArray[np.float32], other: NDArray[np.float32]) -> tuple[Distance, ...]:
    """Every weight and bias in order, then all of them; `one` and `other` are flat, of shape `(size,)`."""
    names = [f"{'bias' if len(shape) == 1 else 'weight'} {index // 2 + 1}" for index, shape in enumerate(shapes(task))]
    pairs = zip(names, split(one, task), split(other, task), strict=True)
    return (*(_distance(name, a, b) for name, a, b in pairs), _distance("all", one, other))


def _distance(layer: str, one: NDArray[np.float32], other: NDArray[np.float32]) -> Distance:
    a, b = one.ravel().astype(np.float64), other.ravel().astype(np.float64)
    lengths = float(np.linalg.norm(a) * np.linalg.norm(b))
    return Distance(
        layer=layer,
        parameters=a.size,
        l2=float(np.linalg.norm(a - b)),
        cosine=float(np.clip(a @ b / lengths, -1, 1)) if lengths > 0 else None,
    )
