"""A convolution of many devices: each 3 by 3 patch times one matrix, all of a device's patches at once.

The same arithmetic as `client.light.layers.Convolution`, but that maps stay pixel by pixel to the last.
"""

import numpy as np
from numpy.typing import NDArray

from shared.images import KERNEL
from simulations.fleet.kernels.dense import before_tanh
from simulations.fleet.kernels.memory import Array, Memory, Parameters
from simulations.fleet.kernels.patches import TAPS, Patches, Spread


class Convolution:
    """Maps `(n, m, height, width, in)` to `(n, m, height', width', out)`, pixel by pixel.

    The first layer's weight is `(n, 9 * in, out)`, a later one's `(n, out, 9 * in)`; a patch runs by row, column,
    channel. An example's gradient is small beside its patches, so it is formed where norms are asked for.
    """

    def __init__(
        self, memory: Memory, parameters: Parameters, inputs: Array, *, stride: int, size: tuple[int, int]
    ) -> None:
        """Work on inputs that are where they will be each time, to a map of a height and a width."""
        count, rows, height, width, channels = inputs.shape
        images, pixels = count * rows, size[0] * size[1]
        outputs, length = parameters.bias.shape[2], KERNEL * KERNEL * channels
        self._parameters, self._first, self._shape = parameters, parameters.first, (count, rows)
        self._patches = Patches(memory, inputs.reshape(images, height, width, channels), stride)
        self._flat = self._patches.patches.reshape(count, rows * pixels, length)
        self._tall = memory.take("outputs", (count, rows * pixels, outputs))
        self._delta = memory.take("moved", self._tall.shape)
        self.outputs = self._tall.reshape(count, rows, *size, outputs)
        self._gradients = memory.take(
            "gradients", (images, length, outputs) if self._first else (images, outputs, length)
        )
        self._totals = memory.take("totals", (images, 1, outputs))
        self._taps = memory.take("patches", (count, len(TAPS), rows * pixels, channels))
        self._by_row = self._taps.reshape(count, len(TAPS), rows, *size, channels)
        self._lines = self._tall.reshape(count, rows * size[0], size[1] * outputs)
        self._ones = np.ones((1, 1, rows * pixels), np.float32)
        self._spread = None if self._first else Spread(memory, inputs, stride, size)
        self.back = self._spread.back if self._spread else self._delta

    def forward(self, *, shared: bool) -> None:
        """Copy each patch beside the others, and multiply all of a device's at once."""
        weight, bias = self._parameters.forward(shared=shared)
        self._patches.copy()
        np.matmul(self._flat, weight, out=self._tall)
        np.add(self._lines, np.tile(bias, self._lines.shape[2] // bias.shape[2]), out=self._lines)
        np.tanh(self._tall, out=self._tall)

    def turn(self, gradient: Array) -> None:
        """Take the gradient of the outputs, in whatever shape."""
        before_tanh(gradient.reshape(self._tall.shape), self._tall, self._delta)

    def backward(self, *, shared: bool) -> None:
        """Write the gradient of the inputs over `back`. It takes the patches' memory."""
        assert self._spread is not None
        weight = self._parameters.backward(shared=shared)
        by_tap = weight.reshape(*weight.shape[:2], len(TAPS), -1).swapaxes(1, 2)
        np.matmul(self._delta[:, None], by_tap, out=self._taps)
        self._spread.add_up(self._by_row)

    def norms(self) -> Array:
        """The squared norm of each example's gradient, `(n, m)`."""
        images, totals, gradients = len(self._gradients), self._totals, self._gradients
        delta, patches = (each.reshape(images, -1, each.shape[2]) for each in (self._delta, self._flat))
        left, right = (patches, delta) if self._first else (delta, patches)
        np.matmul(left.swapaxes(1, 2), right, out=gradients)
        np.matmul(self._ones[:, :, : delta.shape[1]], delta, out=totals)
        squares = _squares(gradients.reshape(images, -1))
        squares += _squares(totals.reshape(images, -1))
        return squares.reshape(self._shape)

    def drop(self, examples: NDArray[np.bool_]) -> None:
        """Zero what was formed of some examples."""
        self._gradients[examples.ravel()] = 0
        self._totals[examples.ravel()] = 0

    def sums(self, factors: Array) -> None:
        """Write the sum of each device's examples' gradients, each times its factor `(n, m)`, over the totals."""
        weight = self._parameters.weight
        gradients = self._gradients.reshape(*self._shape, -1)
        np.matmul(factors[:, None], gradients, out=weight.reshape(len(weight), 1, -1))
        np.matmul(factors[:, None], self._totals.reshape(*self._shape, -1), out=self._parameters.bias)

    def plain_sums(self) -> None:
        """The same where the gradients carry their factors already; before `backward` takes the patches."""
        left, right = (self._flat, self._delta) if self._first else (self._delta, self._flat)
        np.matmul(left.swapaxes(1, 2), right, out=self._parameters.weight)
        np.matmul(self._ones, self._delta, out=self._parameters.bias)


def _squares(rows: Array) -> Array:
    return np.vecdot(rows, rows)
