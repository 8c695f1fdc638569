"""What a network learns from; told apart from how rows are read, which takes Polars."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shared.tasks import Task

Labels = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Examples:
    """What a network learns from: inputs of shape `(rows, task.inputs)`, labels of shape `(rows,)`."""

    inputs: NDArray[np.float32]
    labels: Labels


def no_examples(task: Task) -> Examples:
    """Stand in for a device whose data cannot be read: it still returns noise, so nobody learns that."""
    return Examples(inputs=np.zeros((0, task.inputs), np.float32), labels=np.zeros(0, np.int64))
