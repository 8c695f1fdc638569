"""The layers of the light trainer: forward, backward, and each example's share of the gradient.

A layer owns its memory, for at most `rows` examples at a time, and reads its parameters where the network keeps
them. What it returns is that memory, valid until the same call again.
"""

from typing import Protocol

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from shared.images import KERNEL

Array = NDArray[np.float32]


class Layer(Protocol):
    """One layer, with tanh unless it is the network's last. The calls come in this order."""

    def forward(self, inputs: Array) -> Array:
        """Answer `n` examples."""
        ...

    def norms(self, gradient: Array) -> Array:
        """The squared norm of each example's gradient, shape `(n,)`, from the `gradient` of what `forward` answered."""
        ...

    def backward(self) -> Array:
        """The gradient of the inputs."""
        ...

    def drop(self, examples: NDArray[np.bool_]) -> None:
        """Make the gradients of some examples zero, whatever they hold."""
        ...

    def add_up(self, factors: Array, weight: Array, bias: Array) -> None:
        """Write the sum of the examples' gradients, each times its factor, over `weight` and `bias`."""
        ...


class Dense:
    """Inputs `(n, in)` to outputs `(n, out)`. An example's gradient is an outer product, and is never formed.

    Its squared norm is ||delta||^2 (||input||^2 + 1), the bias being the weight of an input of 1 (Goodfellow, 2015,
    "Efficient Per-Example Gradient Computations").
    """

    def __init__(self, weight: Array, bias: Array, *, rows: int, last: bool) -> None:
        """Work with a weight `(out, in)` and a bias `(out,)`."""
        self._weight, self._bias, self._last = weight, bias, last
        outputs, inputs = weight.shape
        # A few classes are quicker to compare when each one's memory is together.
        self._outputs = np.empty((rows, outputs), np.float32, order="F" if last else "C")
        self._moved = np.empty((rows, outputs), np.float32)
        self._back = np.empty((rows, inputs), np.float32)
        self._inputs, self._delta = self._back[:0], self._moved[:0]

    def forward(self, inputs: Array) -> Array:
        """From `(n, in)` to `(n, out)`."""
        self._inputs = inputs
        outputs = np.matmul(inputs, self._weight.T, out=self._outputs[: len(inputs)])
        outputs += self._bias
        return outputs if self._last else np.tanh(outputs, out=outputs)

    def norms(self, gradient: Array) -> Array:
        """From `(n, out)`."""
        count = len(gradient)
        self._delta = gradient if self._last else _before_tanh(gradient, self._outputs[:count], self._moved[:count])
        squares = _squares(self._inputs)
        squares += 1
        squares *= _squares(self._delta)
        return squares

    def backward(self) -> Array:
        """To `(n, in)`."""
        return np.matmul(self._delta, self._weight, out=self._back[: len(self._delta)])

    def drop(self, examples: NDArray[np.bool_]) -> None:
        """Zero both factors of the outer product: zero times infinity is none."""
        self._inputs[examples] = 0
        self._delta[examples] = 0

    def add_up(self, factors: Array, weight: Array, bias: Array) -> None:
        """One product of matrices for the whole batch, its narrower side scaled."""
        np.matmul(factors, self._delta, out=bias)
        narrow = self._inputs if self._inputs.shape[1] < self._delta.shape[1] else self._delta
        narrow *= factors[:, None]
        np.matmul(self._delta.T, self._inputs, out=weight)


class Convolution:
    """Images `(n, height, width, in)` to `(n, height', width', out)`: each 3 by 3 patch times one matrix.

    The last one answers `(n, out * height' * width')` instead, channel by channel, as a dense layer's weights run.
    An example's gradient is small beside its patches, so it is formed once, for the norm and for the sum.
    """

    def __init__(
        self, weight: Array, bias: Array, size: tuple[int, int], *, stride: int, rows: int, last: bool
    ) -> None:
        """Work with a weight `(out, in, 3, 3)` and a bias `(out,)` on images of `size`."""
        self._weight, self._bias, self._stride = weight, bias, stride
        outputs, inputs = weight.shape[:2]
        self._framed = np.zeros((rows, size[0] + 2, size[1] + 2, inputs), np.float32)
        self._spread = np.empty_like(self._framed)
        windows: Array = sliding_window_view(self._framed, (KERNEL, KERNEL), axis=(1, 2))
        self._windows = windows[:, ::stride, ::stride].transpose(0, 1, 2, 4, 5, 3)
        self._patches: Array = np.empty(self._windows.shape, np.float32)
        _, height, width, *patch = self._patches.shape
        self._flat = self._patches.reshape(rows, height * width, -1)
        self._kernel = np.empty((outputs, *patch), np.float32)
        self._outputs, self._tall = _memory(rows, height, width, outputs, last=last)
        self._delta, self._tall_delta = _memory(rows, height, width, outputs, last=last)
        self._gradients = np.empty((rows, outputs, self._flat.shape[2]), np.float32)
        self._sums = np.empty((rows, outputs), np.float32)
        self._count = 0

    def forward(self, inputs: Array) -> Array:
        """Copy each patch beside the others, and multiply all of them at once."""
        self._count = count = len(inputs)
        self._framed[:count, 1:-1, 1:-1] = inputs
        np.copyto(self._patches[:count], self._windows[:count])
        np.copyto(self._kernel, self._weight.transpose(0, 2, 3, 1))
        outputs = np.matmul(self._flat[:count], self._matrix.T, out=self._tall[:count])
        outputs += self._bias
        np.tanh(outputs, out=outputs)
        return self._outputs[:count]

    def norms(self, gradient: Array) -> Array:
        """From the shape that `forward` answered."""
        count = self._count
        _before_tanh(gradient, self._outputs[:count], self._delta[:count])
        delta = self._tall_delta[:count]
        gradients = np.matmul(delta.swapaxes(1, 2), self._flat[:count], out=self._gradients[:count])
        squares = _squares(gradients.reshape(count, -1))
        squares += _squares(np.add.reduce(delta, axis=1, out=self._sums[:count]))
        return squares

    def backward(self) -> Array:
        """To `(n, height, width, in)`: patches add up where they overlap. It takes the memory of the patches."""
        count, stride = self._count, self._stride
        np.matmul(self._tall_delta[:count], self._matrix, out=self._flat[:count])
        _, height, width, *_ = self._patches.shape
        spread = self._spread[:count]
        spread.fill(0)
        for y in range(KERNEL):
            for x in range(KERNEL):
                part = spread[:, y : y + stride * height : stride, x : x + stride * width : stride]
                part += self._patches[:count, :, :, y, x]
        return spread[:, 1:-1, 1:-1]

    def drop(self, examples: NDArray[np.bool_]) -> None:
        """Zero what was formed of them."""
        self._gradients[: self._count][examples] = 0
        self._sums[: self._count][examples] = 0

    def add_up(self, factors: Array, weight: Array, bias: Array) -> None:
        """One weighted sum over the batch."""
        total = factors @ self._gradients[: self._count].reshape(self._count, -1)
        weight[...] = total.reshape(self._kernel.shape).transpose(0, 3, 1, 2)
        np.matmul(factors, self._sums[: self._count], out=bias)

    @property
    def _matrix(self) -> Array:
        """The weight as `(out, 3 * 3 * in)`, in the order of a patch."""
        return self._kernel.reshape(len(self._bias), -1)


def _memory(rows: int, height: int, width: int, outputs: int, *, last: bool) -> tuple[Array, Array]:
    """Memory for a convolution's outputs, as the next layer takes it and as a matrix `(pixels, out)` an image."""
    if last:
        memory = np.empty((rows, outputs, height * width), np.float32)
        return memory.reshape(rows, -1), memory.swapaxes(1, 2)
    memory = np.empty((rows, height * width, outputs), np.float32)
    return memory.reshape(rows, height, width, outputs), memory


def _before_tanh(gradient: Array, outputs: Array, out: Array) -> Array:
    """The gradient of what went into tanh, by that of what came out."""
    np.multiply(outputs, outputs, out=out)
    np.subtract(1, out, out=out)
    out *= gradient
    return out


def _squares(rows: Array) -> Array:
    """The squared norm of each row."""
    return np.vecdot(rows, rows)
