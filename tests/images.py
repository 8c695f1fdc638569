"""A small task about images, and images that it can learn from."""

import numpy as np
from machines import small_task

from client.inputs import Examples
from shared.features import Number
from shared.images import Image
from shared.tasks import Architecture, Classes, Task


def image_task(
    *, height: int = 9, width: int = 8, channels: tuple[int, ...] = (4, 6), stride: int = 2, hidden: tuple[int, ...] = (5,)
) -> Task:  # fmt: skip
    """Which of three stripes an image holds; each pixel is a number from 0 to 255."""
    image = Image(height=height, width=width, channels=channels, stride=stride)
    return small_task(
        name="stripes",
        title="Which stripe is it?",
        features=tuple(Number(name=f"p{i}", low=0.0, high=255.0, missing=0.0) for i in range(image.pixels)),
        label=Classes(column="stripe", classes=("level", "upright", "slanted")),
        architecture=Architecture(kind="cnn", hidden=hidden, image=image),
    )


def stripes(task: Task, rows: int, *, seed: int = 0) -> Examples:
    """Noisy images of one stripe each, scaled as the task's features scale them."""
    image = task.architecture.image
    assert image
    random = np.random.default_rng(seed)
    labels = random.integers(0, 3, rows)
    y, x = np.mgrid[: image.height, : image.width]
    along = np.stack([y, x, x + y])[labels] - random.integers(1, image.height - 1, (rows, 1, 1))
    pixels = np.where(along == 0, 1.0, -1.0) + random.normal(0, 0.2, along.shape)
    inputs = np.clip(pixels, -1, 1).reshape(rows, -1).astype(np.float32)
    return Examples(inputs=inputs, labels=labels.astype(np.int64))
