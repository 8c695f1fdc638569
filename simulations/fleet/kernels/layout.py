"""How the engine keeps a network's parameters, and the way there and back from how they travel.

A product of small matrices is quickest where neither has to be turned: so the first layer's weight lies as
`(in, out)`, a kernel's patch runs as the patches do, and the first dense layer takes maps pixel by pixel.
"""

import math
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from shared.architecture import shapes
from shared.tasks import Task

Real = TypeVar("Real", np.float32, np.float64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One parameter: where it lies, as what it travels, in which order its axes are kept, and as what a layer sees it."""

    place: slice
    travels: tuple[int, ...]
    axes: tuple[int, ...]
    seen: tuple[int, ...]


class Layout:
    """A task's parameters as the engine keeps them: vectors of the same length, of another order."""

    def __init__(self, task: Task) -> None:
        """Lay out a task's network."""
        ends = list(accumulate((math.prod(shape) for shape in shapes(task)), initial=0))
        self.size = ends[-1]
        self._parameters = [
            _parameter(task, index, slice(*place), shape)
            for index, (place, shape) in enumerate(zip(pairwise(ends), shapes(task), strict=True))
        ]

    def views(self, vectors: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        """Cut kept vectors `(n, size)` into the parameters as layers see them, each `(n, …)`, as views."""
        return [vectors[:, each.place].reshape(-1, *each.seen) for each in self._parameters]

    def keep(self, vector: NDArray[Real]) -> NDArray[Real]:
        """A travelling vector `(size,)` as the engine keeps it."""
        kept = np.empty_like(vector)
        for each in self._parameters:
            kept[each.place] = vector[each.place].reshape(each.travels).transpose(each.axes).ravel()
        return kept

    def scale(self, kept: NDArray[np.float32], factors: NDArray[np.float32], out: NDArray[np.float32]) -> None:
        """Write kept vectors `(n, size)`, each times its factor, over `out` as they travel."""
        for each in self._parameters:
            turned = [each.travels[axis] for axis in each.axes]
            back = (0, *(1 + place for place in np.argsort(each.axes)))
            source = kept[:, each.place].reshape(-1, *turned).transpose(back)
            target = out[:, each.place].reshape(-1, *each.travels)
            np.multiply(source, _beside(factors, source.ndim), out=target)


def _beside(factors: NDArray[np.float32], axes: int) -> NDArray[np.float32]:
    return factors.reshape(-1, *[1] * (axes - 1))


def _parameter(task: Task, index: int, place: slice, shape: tuple[int, ...]) -> Parameter:
    """A bias `(out,)` is kept as it is; a weight as `(out, in)`, or `(in, out)` in the first layer."""
    if len(shape) == 1:
        return Parameter(place=place, travels=shape, axes=(0,), seen=(1, *shape))
    travels, axes = _pixel_by_pixel(task, index, shape)
    flat = (shape[0], math.prod(shape[1:]))
    if index == 0:
        return Parameter(place=place, travels=travels, axes=(*axes[1:], 0), seen=flat[::-1])
    return Parameter(place=place, travels=travels, axes=axes, seen=flat)


def _pixel_by_pixel(task: Task, index: int, shape: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """A weight's shape and the order of its axes in which channels come last."""
    image = task.architecture.image
    if len(shape) == 4:
        return shape, (0, 2, 3, 1)
    if image and index == 2 * len(image.channels):
        return (shape[0], *image.maps[-1]), (0, 2, 3, 1)
    return shape, (0, 1)
