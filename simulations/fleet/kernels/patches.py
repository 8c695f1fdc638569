"""A convolution's patches: each copied out of its maps, and their gradients added up where they overlap."""

from itertools import product

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from shared.images import KERNEL
from simulations.fleet.kernels.memory import Array, Memory

TAPS = tuple(product(range(KERNEL), range(KERNEL)))


class Patches:
    """Patches `(images, height', width', 3, 3, channels)` of maps in a frame of zeros."""

    def __init__(self, memory: Memory, maps: Array, stride: int) -> None:
        """Take the patches of `maps` `(images, height, width, channels)`."""
        images, height, width, channels = maps.shape
        self._maps = maps
        framed = memory.take("framed", (images, height + 2, width + 2, channels))
        self._inner = framed[:, 1:-1, 1:-1]
        windows: Array = sliding_window_view(framed, (KERNEL, KERNEL), axis=(1, 2))
        self._windows = windows[:, ::stride, ::stride].transpose(0, 1, 2, 4, 5, 3)
        self.patches = memory.take("patches", self._windows.shape)
        self._table = _table(framed.shape[1:], stride) if channels == 1 else None
        self._flat = (framed.reshape(images, -1), self.patches.reshape(images, -1))

    def copy(self) -> None:
        """Copy them: by a table where a run of numbers would be three long, for want of channels."""
        np.copyto(self._inner, self._maps)
        if self._table is None:
            np.copyto(self.patches, self._windows)
        else:
            self._flat[0].take(self._table, axis=1, out=self._flat[1], mode="clip")


class Spread:
    """The gradient of maps `(devices, rows, height, width, channels)` by that of their patches.

    Maps of every other pixel are kept apart for a stride of 2: so a row of a tap's gradients is added in one run.
    """

    def __init__(self, memory: Memory, maps: Array, stride: int, size: tuple[int, int]) -> None:
        """Add up the gradients of as many patches as a map of `size` has pixels."""
        (devices, rows, *_, channels), (high, wide) = maps.shape, size
        more = (KERNEL - 1) // stride
        self._planes = memory.take("planes", (stride, stride, devices, rows, high + more, wide + more, channels))
        self.back = memory.take("back", maps.shape)
        self._parts = [
            self._planes[y % stride, x % stride, :, :, y // stride :, x // stride :][:, :, :high, :wide]
            for y, x in TAPS
        ]
        self._copies = [self._copy(stride, y, x) for y in range(stride) for x in range(stride)]

    def _copy(self, stride: int, y: int, x: int) -> tuple[Array, Array]:
        """Where a plane's pixels go, which begins with the frame's, and where they are."""
        top, left = (y - 1) % stride, (x - 1) % stride
        target = self.back[:, :, top::stride, left::stride]
        source = self._planes[y, x, :, :, (top + 1) // stride :, (left + 1) // stride :]
        return target, source[:, :, : target.shape[2], : target.shape[3]]

    def add_up(self, taps: Array) -> None:
        """Write the sum of the gradients `(devices, 9, rows, height', width', channels)` over `back`."""
        self._planes.fill(0)
        for part, own in zip(self._parts, taps.swapaxes(0, 1), strict=True):
            np.add(part, own, out=part)
        for target, source in self._copies:
            np.copyto(target, source)


def _table(framed: tuple[int, ...], stride: int) -> NDArray[np.intp]:
    """The place in a framed map of one channel of each number of its patches."""
    places = np.arange(framed[0] * framed[1]).reshape(framed[:2])
    return sliding_window_view(places, (KERNEL, KERNEL))[::stride, ::stride].reshape(-1)
