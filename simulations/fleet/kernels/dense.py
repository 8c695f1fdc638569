"""A dense layer of many devices: inputs `(devices, rows, in)` to outputs `(devices, rows, out)`, weights per device.

The same arithmetic as `client.light.layers.Dense`: an example's gradient is an outer product, and is never formed;
its squared norm is ||delta||^2 (||input||^2 + 1) (Goodfellow, 2015, "Efficient Per-Example Gradient Computations").
"""

import numpy as np
from numpy.typing import NDArray

from simulations.fleet.kernels.memory import Array, Memory, Parameters


class Dense:
    """With tanh unless it is the network's last. The first layer's weight is `(n, in, out)`, a later one's `(n, out, in)`.

    All it works on is laid out before: a call of NumPy on small arrays costs as much as making a view of one.
    """

    def __init__(self, memory: Memory, parameters: Parameters, inputs: Array, *, last: bool) -> None:
        """Work on inputs `(n, m, in)`, which are where they will be each time."""
        count, rows, width = inputs.shape
        self._parameters, self._first, self._last = parameters, parameters.first, last
        outputs = parameters.bias.shape[2]
        # A few classes are quicker to compare when each one's memory is together.
        shape = (count, outputs, rows) if last else (count, rows, outputs)
        made = memory.take("outputs", shape)
        self.inputs, self.outputs = inputs, made.swapaxes(1, 2) if last else made
        self._delta = self.outputs if last else memory.take("moved", shape)
        self.back = self._delta if self._first else memory.take("back", inputs.shape)
        self._turned = self._delta.swapaxes(1, 2)
        self._inputs_turned = inputs.swapaxes(1, 2)
        self._ones = np.ones((1, 1, rows), np.float32)
        self._narrow = inputs if width < outputs else self._delta

    def forward(self, *, shared: bool) -> None:
        """Answer the inputs, by each device's parameters or by those that all have."""
        weight, bias = self._parameters.forward(shared=shared)
        np.matmul(self.inputs, weight, out=self.outputs)
        np.add(self.outputs, bias, out=self.outputs)
        if not self._last:
            np.tanh(self.outputs, out=self.outputs)

    def turn(self, gradient: Array) -> None:
        """Take the gradient of the outputs."""
        if not self._last:
            before_tanh(gradient, self.outputs, self._delta)

    def backward(self, *, shared: bool) -> None:
        """Write the gradient of the inputs over `back`."""
        np.matmul(self._delta, self._parameters.backward(shared=shared), out=self.back)

    def norms(self) -> Array:
        """The squared norm of each example's gradient, `(n, m)`."""
        squares = np.vecdot(self.inputs, self.inputs)
        squares += 1
        squares *= np.vecdot(self._delta, self._delta)
        return squares

    def drop(self, examples: NDArray[np.bool_]) -> None:
        """Zero both factors of the outer products of some examples: zero times infinity is none."""
        self.inputs[examples] = 0
        self._delta[examples] = 0

    def sums(self, factors: Array) -> None:
        """Write the sum of each device's examples' gradients, each times its factor `(n, m)`, over the totals."""
        np.matmul(factors[:, None], self._delta, out=self._parameters.bias)
        np.multiply(self._narrow, factors[:, :, None], out=self._narrow)
        self._outer()

    def plain_sums(self) -> None:
        """The same where the gradients carry their factors already."""
        np.matmul(self._ones, self._delta, out=self._parameters.bias)
        self._outer()

    def _outer(self) -> None:
        if self._first:
            np.matmul(self._inputs_turned, self._delta, out=self._parameters.weight)
        else:
            np.matmul(self._turned, self.inputs, out=self._parameters.weight)


def before_tanh(gradient: Array, outputs: Array, out: Array) -> None:
    """Write the gradient of what went into tanh, by that of what came out, over `out`."""
    np.multiply(outputs, outputs, out=out)
    np.subtract(1, out, out=out)
    np.multiply(out, gradient, out=out)
