"""A task's network for many devices: from their samples to the sums of their clipped gradients, forward and back once."""

import math
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from shared.architecture import widths
from shared.images import KERNEL
from shared.tasks import Task
from simulations.fleet.kernels.convolution import Convolution
from simulations.fleet.kernels.dense import Dense
from simulations.fleet.kernels.layout import Layout
from simulations.fleet.kernels.memory import Array, Memory, Parameters

SHAPES = 256
"""Shapes of groups whose views are kept: some kilobytes each."""


class Layer(Protocol):
    """A layer on memory of its own, whatever the shape between layers: see `Dense`. The calls come in this order."""

    outputs: Array
    back: Array

    def forward(self, *, shared: bool) -> None:
        """Answer the inputs."""
        ...

    def turn(self, gradient: Array) -> None:
        """Take the gradient of the outputs."""
        ...

    def norms(self) -> Array:
        """The squared norm of each example's gradient, `(n, m)`."""
        ...

    def plain_sums(self) -> None:
        """Write each device's sum of gradients, if they are not clipped."""
        ...

    def backward(self, *, shared: bool) -> None:
        """Write the gradient of the inputs over `back`."""
        ...

    def drop(self, examples: NDArray[np.bool_]) -> None:
        """Make the gradients of some examples zero, whatever they hold."""
        ...

    def sums(self, factors: Array) -> None:
        """Write each device's sum of gradients, each times its factor."""
        ...


class Network:
    """The memory to train a task's network on at most `devices` devices and `rows` rows at once, and its layers on it."""

    def __init__(self, task: Task, layout: Layout, *, devices: int, rows: int) -> None:
        """Lay out the memory."""
        self._task, self._layout = task, layout
        self.start = np.zeros((1, layout.size), np.float32)
        """What all devices begin with, as the layout keeps it."""
        self.weights, self.totals = np.zeros((2, devices, layout.size), np.float32)
        self._memory = Memory()
        self._memory.lay_out("inputs", rows * task.inputs)
        self._memory.lay_out("certain", rows * len(task.label.classes))
        for index, uses in enumerate(_uses(task)):
            for use, numbers in uses.items():
                self._memory.of_layer(index).lay_out(use, rows * numbers)
        self.at = lru_cache(maxsize=SHAPES)(self._at)
        """`at(devices, rows)`: the network for that many devices, with that many rows each."""

    def _at(self, devices: int, rows: int) -> "Pass":
        parts = [self._layout.views(each[:devices]) for each in (self.weights, self.start, self.totals)]
        own, common, sums = ([(w, b) for w, b in zip(part[::2], part[1::2], strict=True)] for part in parts)
        parameters = [
            Parameters(first=not index, own=own[index], common=common[index], weight=weight, bias=bias)
            for index, (weight, bias) in enumerate(sums)
        ]
        inputs = self._memory.take("inputs", (devices, rows, self._task.inputs))
        certain = self._memory.take("certain", (devices, rows, len(self._task.label.classes)))
        return Pass(inputs, certain, _layers(self._task, self._memory, parameters, inputs))


class Pass:
    """A network at work on `n` devices with `m` rows each; write `inputs` and `certain`, and find the sums in `totals`."""

    def __init__(self, inputs: Array, certain: Array, layers: Sequence[Layer]) -> None:
        """Work on inputs `(n, m, in)`, and on labels as `(n, m, classes)`."""
        self.inputs, self.certain, self._layers = inputs, certain, layers
        self._backwards = list(zip(reversed(layers), [*(each.back for each in layers[:0:-1]), None], strict=True))

    def clipped_sums(self, shares: Array, clip: float, *, shared: bool) -> None:
        """Sum each device's gradients, each clipped to a norm of `clip` and times its share `(n, m)`.

        The share of a row that only fills up is 0. An example whose gradient overflows counts as zero. `shared`: by the
        parameters that all devices begin with.
        """
        delta = self._forward(shared=shared)
        squares = np.zeros(shares.shape, np.float32)
        for layer, back in self._backwards:
            layer.turn(delta)
            squares += layer.norms()
            if back is not None:
                layer.backward(shared=shared)
                delta = back
        factors = self._factors(squares, clip)
        factors *= shares
        for layer in self._layers:
            layer.sums(factors)

    def plain_sums(self, shares: Array, *, shared: bool) -> None:
        """The same without clipping: what overflows shows in the sum."""
        delta = self._forward(shared=shared)
        delta *= shares[:, :, None]
        for layer, back in self._backwards:
            layer.turn(delta)
            layer.plain_sums()
            if back is not None:
                layer.backward(shared=shared)
                delta = back

    def _forward(self, *, shared: bool) -> Array:
        """The gradient of the logits, under cross-entropy summed over the examples."""
        for layer in self._layers:
            layer.forward(shared=shared)
        logits = self._layers[-1].outputs
        logits -= np.maximum.reduce(logits, axis=2, keepdims=True)
        np.exp(logits, out=logits)
        logits /= np.add.reduce(logits, axis=2, keepdims=True)
        logits -= self.certain
        return logits

    def _factors(self, squares: Array, clip: float) -> Array:
        factors = np.sqrt(squares)
        factors += np.float32(1e-6)
        np.divide(np.float32(clip), factors, out=factors)
        np.minimum(factors, 1, out=factors)
        if not np.isfinite(np.add.reduce(squares, axis=None)):
            wild = ~np.isfinite(squares)
            factors[wild] = 0
            for layer in self._layers:
                layer.drop(wild)
        return factors


def _layers(task: Task, memory: Memory, parameters: Sequence[Parameters], inputs: Array) -> list[Layer]:
    """Each layer on what the one before it answers."""
    image, (count, rows, _) = task.architecture.image, inputs.shape
    layers, tensor = list[Layer](), inputs
    if image:
        tensor = inputs.reshape(count, rows, image.height, image.width, 1)
        for _, height, width in image.maps[1:]:
            here, own = memory.of_layer(len(layers)), parameters[len(layers)]
            layers.append(Convolution(here, own, tensor, stride=image.stride, size=(height, width)))
            tensor = layers[-1].outputs
        tensor = tensor.reshape(count, rows, -1)
    for own in parameters[len(layers) :]:
        layers.append(Dense(memory.of_layer(len(layers)), own, tensor, last=own is parameters[-1]))
        tensor = layers[-1].outputs
    return layers


def _uses(task: Task) -> list[dict[str, int]]:
    """The numbers that each layer keeps of a row, by what for."""
    image = task.architecture.image
    uses: list[dict[str, int]] = []
    for (inputs, high, wide), (outputs, *there) in pairwise(image.maps if image else ()):
        pixels, length = math.prod(there), KERNEL * KERNEL * inputs
        planes = math.prod(image.stride * side + 2 for side in there[::-1]) if image and uses else 0
        uses.append({"framed": (high + 2) * (wide + 2) * inputs, "patches": pixels * length})
        uses[-1] |= {"planes": planes * inputs, "back": high * wide * inputs * bool(planes)}
        uses[-1] |= {"outputs": pixels * outputs, "moved": pixels * outputs, "gradients": outputs * length}
        uses[-1] |= {"totals": outputs}
    dense = [{"outputs": outputs, "moved": outputs, "back": inputs} for inputs, outputs in pairwise(widths(task))]
    return [*uses, *dense]


def row_bytes(task: Task) -> int:
    """How much memory a row takes in all layers."""
    return 4 * sum(sum(uses.values()) for uses in _uses(task))
