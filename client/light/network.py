"""The task's network in NumPy: from a sample to the sum of its clipped gradients, one pass forward and one back."""

import math
from collections.abc import Callable
from itertools import pairwise
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from client.light.layers import Array, Convolution, Dense, Layer
from shared.architecture import shapes, size, split
from shared.errors import InputError
from shared.images import KERNEL
from shared.tasks import NetworkKind, Task

MEMORY = 2 * 2**20
"""Bytes that the examples at work may take together: about what a processor keeps near."""

MOST_ROWS = 512


class Network:
    """A task's network over weights of shape `(size,)`, which may be moved in place."""

    def __init__(self, task: Task, weights: Array) -> None:
        """Lay out the layers and their memory; raise `InputError` where the kind of network has none here."""
        if not is_known(task):
            kind = task.architecture.kind
            raise InputError(f"the light trainer does not know networks of kind {kind!r}; train them with Opacus")
        self._rows = min(MOST_ROWS, max(1, MEMORY // _bytes(task)))
        self._layers = LAYERS[task.architecture.kind](task, weights, self._rows)
        image = task.architecture.image
        self._form = (image.height, image.width, 1) if image else (task.inputs,)
        self._total, self._part = np.zeros(size(task), np.float32), np.empty(size(task), np.float32)
        self._parts = list(split(self._part, task))
        self._certain = np.eye(len(task.label.classes), dtype=np.float32)

    def clipped_sum(self, inputs: Array, labels: NDArray[np.int64], sample: NDArray[np.intp], clip: float) -> Array:
        """The sum over a sample of each example's gradient, clipped to a norm of `clip`; valid until the next call."""
        self._total.fill(0)
        for start in range(0, len(sample), self._rows):
            chosen = sample[start : start + self._rows]
            delta = self._forward(inputs.take(chosen, axis=0).reshape(-1, *self._form), labels[chosen])
            self._add_up(self._backward(delta), clip)
            self._total += self._part
        return self._total

    def score(self, inputs: Array) -> Array:
        """The probability of each class, shape `(classes,)`, for one example of shape `(inputs,)`; valid until the next call."""
        return self._probabilities(inputs.reshape(-1, *self._form))[0]

    def _forward(self, tensor: Array, labels: NDArray[np.int64]) -> Array:
        """The gradient of the logits, under cross-entropy summed over the examples."""
        tensor = self._probabilities(tensor)
        tensor -= self._certain.take(labels, axis=0)
        return tensor

    def _probabilities(self, tensor: Array) -> Array:
        for layer in self._layers:
            tensor = layer.forward(tensor)
        tensor -= np.maximum.reduce(tensor, axis=1, keepdims=True)
        np.exp(tensor, out=tensor)
        tensor /= np.add.reduce(tensor, axis=1, keepdims=True)
        return tensor

    def _backward(self, gradient: Array) -> Array:
        """The squared norm of each example's gradient over all layers."""
        first, *later = self._layers
        squares = np.zeros(len(gradient), np.float32)
        for layer in reversed(later):
            squares += layer.norms(gradient)
            gradient = layer.backward()
        squares += first.norms(gradient)
        return squares

    def _add_up(self, squares: Array, clip: float) -> None:
        """Write the sum of the clipped gradients over `_part`; an example whose gradient overflowed counts as zero.

        The coordinator chooses the weights: NaN would be a sum without bound, and would tell of one certain row.
        """
        factors = np.sqrt(squares)
        factors += np.float32(1e-6)
        np.divide(np.float32(clip), factors, out=factors)
        np.minimum(factors, 1, out=factors)
        if not np.isfinite(np.add.reduce(squares)):
            wild = ~np.isfinite(squares)
            factors[wild] = 0
            for layer in self._layers:
                layer.drop(wild)
        for index, layer in enumerate(self._layers):
            layer.add_up(factors, *self._parts[2 * index : 2 * index + 2])


def _layers(task: Task, weights: Array, rows: int) -> list[Layer]:
    image, parameters = task.architecture.image, list(split(weights, task))
    pairs = list(zip(parameters[::2], parameters[1::2], strict=True))
    layers: list[Layer] = []
    if image:
        for index, (_, height, width) in enumerate(image.maps[:-1]):
            last = index == len(image.channels) - 1
            layers.append(Convolution(*pairs[index], (height, width), stride=image.stride, rows=rows, last=last))
    dense = pairs[len(layers) :]
    return [*layers, *(Dense(*pair, rows=rows, last=pair is dense[-1]) for pair in dense)]


LAYERS: dict[str, Callable[[Task, Array, int], list[Layer]]] = dict.fromkeys(get_args(NetworkKind), _layers)
"""By kind of network: the layers over weights of shape `(size,)`, for so many rows at a time; each has a weight and a
bias. A rehearsal's own file may add to it."""


def is_known(task: Task) -> bool:
    """Whether the light trainer has layers for the task's kind of network."""
    return task.architecture.kind in LAYERS


def _bytes(task: Task) -> int:
    """How much memory one example takes in all layers."""
    image = task.architecture.image
    numbers = sum(2 * weight[0] + weight[1] for weight in shapes(task)[::2] if len(weight) == 2)
    for (inputs, *here), (outputs, *there) in pairwise(image.maps if image else ()):
        patch, pixels = KERNEL * KERNEL * inputs, math.prod(there)
        numbers += 2 * inputs * math.prod(here) + pixels * (patch + 2 * outputs) + outputs * patch
    return 4 * numbers
