"""The shape of a network, without the library that runs it: what the coordinator needs to know of one."""

import math
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from shared.errors import InputError
from shared.images import KERNEL
from shared.tasks import NetworkKind, Task

Shapes = tuple[tuple[int, ...], ...]


def shapes(task: Task) -> Shapes:
    """The parameters' shapes in the order in which they travel; raise `InputError` for a kind that is not known here."""
    kind = task.architecture.kind
    if kind not in SHAPES:
        raise InputError(f"no network of kind {kind!r} is known here; name the file that defines it with --with")
    return SHAPES[kind](task)


def _shapes(task: Task) -> Shapes:
    """Per layer, weight `(out, in)`, then bias `(out,)`; convolutions come first, their weights are `(out, in, 3, 3)`."""
    image = task.architecture.image
    maps = [channels for channels, _, _ in image.maps] if image else []
    convolutions = [(outputs, inputs, KERNEL, KERNEL) for inputs, outputs in pairwise(maps)]
    dense = [(outputs, inputs) for inputs, outputs in pairwise(widths(task))]
    return tuple(shape for weight in (*convolutions, *dense) for shape in (weight, weight[:1]))


SHAPES: dict[str, Callable[[Task], Shapes]] = dict.fromkeys(get_args(NetworkKind), _shapes)
"""By kind of network; a rehearsal's own file may add to it."""


def widths(task: Task) -> tuple[int, ...]:
    """How many numbers enter the first dense layer, and how many leave each one."""
    image = task.architecture.image
    return (image.outputs if image else task.inputs, *task.architecture.hidden, len(task.label.classes))


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
    bound = 1 / math.sqrt(math.prod(shape[1:]))
    return random.uniform(-bound, bound, shape)
