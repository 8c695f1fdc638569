"""What layers work on: memory that is laid out once and seen in many shapes, and a layer's parameters."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


class Memory:
    """One array for each layer and use, as large as was ever asked for; a shape sees the first part of it."""

    def __init__(self) -> None:
        """Hold nothing yet."""
        self._arrays: dict[tuple[int, str], Array] = {}
        self._layer = 0

    def of_layer(self, layer: int) -> "Memory":
        """The same memory, for another layer's uses."""
        other = Memory()
        other._arrays, other._layer = self._arrays, layer
        return other

    def lay_out(self, use: str, numbers: int) -> None:
        """Make an array of so many numbers; whatever is taken of that use must fit."""
        self._arrays[self._layer, use] = np.zeros(numbers, np.float32)

    def take(self, use: str, shape: tuple[int, ...]) -> Array:
        """See the first part of an array in a shape."""
        return self._arrays[self._layer, use][: math.prod(shape)].reshape(shape)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """A layer's parameters of `n` devices, what all devices begin with, and where the sums of gradients go.

    The first layer's weight is `(n, in, out)`, a later one's `(n, out, in)`; biases are `(n, 1, out)`.
    """

    first: bool
    own: tuple[Array, Array]
    common: tuple[Array, Array]
    weight: Array
    bias: Array

    def forward(self, *, shared: bool) -> tuple[Array, Array]:
        """The weight by which inputs are multiplied, `(n, in, out)`, and the bias."""
        weight, bias = self.common if shared else self.own
        return weight if self.first else weight.swapaxes(1, 2), bias

    def backward(self, *, shared: bool) -> Array:
        """The weight by which gradients are multiplied, `(n, out, in)`."""
        return (self.common if shared else self.own)[0]
