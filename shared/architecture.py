"""The shape of a network, without the library that runs it: what the coordinator needs to know of one."""

import math
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from shared.tasks import Task


def shapes(task: Task) -> tuple[tuple[int, ...], ...]:
    """The parameters' shapes in the order in which they travel: per layer, weight `(out, in)`, then bias `(out,)`."""
    widths = (task.inputs, *task.architecture.hidden, len(task.label.classes))
    layers = pairwise(widths)
    return tuple(shape for inputs, outputs in layers for shape in ((outputs, inputs), (outputs,)))


def size(task: Task) -> int:
    """How many parameters the task's network has."""
    return sum(math.prod(shape) for shape in shapes(task))


def split(flat: NDArray[np.float32], task: Task) -> Iterator[NDArray[np.float32]]:
    """Cut a flat vector of shape `(size,)` into the parameters, as views."""
    start = 0
    for shape in shapes(task):
        end = start + math.prod(shape)
        yield flat[start:end].reshape(shape)
        start = end


def initial_weights(task: Task) -> NDArray[np.float32]:
    """Public starting weights, shape `(size,)`: zeros for a linear network, else uniform in ±1/sqrt(inputs)."""
    random = np.random.Generator(np.random.PCG64(task.revision))
    parts = [_initial(shape, task, random) for shape in shapes(task)]
    return np.concatenate([part.ravel() for part in parts]).astype(np.float32)


def _initial(shape: tuple[int, ...], task: Task, random: np.random.Generator) -> NDArray[np.float64]:
    if task.architecture.kind == "linear" or len(shape) == 1:
        return np.zeros(shape)
    bound = 1 / math.sqrt(shape[1])
    return random.uniform(-bound, bound, shape)
