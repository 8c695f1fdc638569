"""The shape of a convolutional network over a small image whose pixels are a task's features."""

import math
from dataclasses import dataclass
from itertools import pairwise

KERNEL = 3
"""Every convolution looks at 3 by 3 pixels, with one pixel of zeros around its input."""


MAX_PRODUCTS = 64 * 1024 * 1024
"""Multiplications that one convolution may do for one image: some milliseconds of a small processor."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """A grey image, row by row, and one convolution with tanh per entry of `channels`, each moving by `stride`."""

    height: int
    width: int
    channels: tuple[int, ...]
    stride: int = 2

    def __post_init__(self) -> None:
        """Refuse images that no convolution fits, and networks too large for a device."""
        if not (KERNEL <= self.height <= 64 and KERNEL <= self.width <= 64):
            raise ValueError(f"an image has {KERNEL} to 64 rows and columns, got {self.height} by {self.width}")
        if not 1 <= len(self.channels) <= 6 or any(not 1 <= channels <= 128 for channels in self.channels):
            raise ValueError(f"an image passes 1 to 6 convolutions of 1 to 128 channels, got {list(self.channels)}")
        if self.stride not in (1, 2):
            raise ValueError(f"a convolution moves by 1 or 2 pixels, got {self.stride}")
        if (products := self._products()) > MAX_PRODUCTS:
            raise ValueError(f"a convolution takes at most {MAX_PRODUCTS} products an image, got {products}")

    @property
    def pixels(self) -> int:
        """How many features the image takes."""
        return self.height * self.width

    @property
    def maps(self) -> tuple[tuple[int, int, int], ...]:
        """Channels, height and width of the image and then of each convolution's output."""
        maps = [(1, self.height, self.width)]
        for channels in self.channels:
            _, height, width = maps[-1]
            maps.append((channels, -(-height // self.stride), -(-width // self.stride)))
        return tuple(maps)

    @property
    def outputs(self) -> int:
        """How many numbers the last convolution hands on."""
        return math.prod(self.maps[-1])

    def _products(self) -> int:
        """How many multiplications the largest convolution does."""
        steps = pairwise(self.maps)
        return max(math.prod(outputs) * channels * KERNEL * KERNEL for (channels, *_), outputs in steps)
