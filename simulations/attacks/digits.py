"""Small pictures of handwritten-looking digits, drawn from a seed: private images that no download is needed for."""

import math

import numpy as np
from numpy.typing import NDArray

from client.inputs import Examples
from shared.features import Number
from shared.images import Image
from shared.tasks import Architecture, Classes, DriftSettings, Task
from shared.training import PrivacyCeiling, Training

SIDE = 12
"""Rows and columns of a picture."""

CLASSES = 10

_CORNERS = {
    "a": (0.25, 0.15), "b": (0.75, 0.15), "c": (0.25, 0.5), "d": (0.75, 0.5), "e": (0.25, 0.85), "f": (0.75, 0.85),
    "g": (0.5, 0.12), "h": (0.5, 0.88),
}  # fmt: skip
_MIDDLES = (np.indices((SIDE, SIDE))[::-1].transpose(1, 2, 0)[:, :, None] + 0.5) / SIDE
"""Of the pixels, shape `(SIDE, SIDE, 1, 2)`: across, then down."""

_STROKES = ("gbdfhecag", "cghe", "abdcef", "abdcdfe", "acdbf", "bacdfe", "bacefdc", "abdh", "cabdcefdc", "dcabdfe")
"""Where the pen goes for each digit, from corner to corner of a figure eight."""


def digits_task() -> Task:
    """Which digit is it? A small network with convolutions; its own limits allow every plan that is attacked."""
    return Task(
        name="digits",
        revision=1,
        title="Which digit is it?",
        features=tuple(Number(name=f"p{i}", low=0.0, high=255.0, missing=0.0) for i in range(SIDE * SIDE)),
        label=Classes(column="digit", classes=tuple("0123456789")),
        architecture=Architecture(kind="cnn", image=Image(height=SIDE, width=SIDE, channels=(6, 8))),
        training=Training(
            rounds=1, sample_rate=1.0, steps=1, normalizer=1.0, learning_rate=1e-3, max_grad_norm=1.0,
            noise_multiplier=1.0, max_update_norm=1e6,
        ),
        privacy=PrivacyCeiling(
            epsilon=1e6, delta=1e-5, min_noise_multiplier=1e-12, max_sample_rate=1.0, max_steps=64, max_grad_norm=1.0
        ),
        drift=DriftSettings(
            score_bins=10, feature_bins=5, score_noise_multiplier=5.0, feature_noise_multiplier=5.0, alarm_psi=0.2
        ),
    )  # fmt: skip


def draw(count: int, *, seed: int) -> Examples:
    """Draw `count` pictures, the ten digits in turn; inputs `(count, SIDE * SIDE)`, from -1 (paper) to 1 (ink).

    Each has its own slant, size, place, pen and slips of the hand, all from `seed`.
    """
    random = np.random.default_rng(seed)
    labels = np.arange(count) % CLASSES
    inputs = np.stack([_picture(_STROKES[label], random).ravel() for label in labels])
    return Examples(inputs=inputs.astype(np.float32), labels=labels.astype(np.int64))


def _picture(stroke: str, random: np.random.Generator) -> NDArray[np.float64]:
    """Ink falls off with the distance to the nearest piece of the stroke."""
    points = np.array([_CORNERS[corner] for corner in stroke]) - 0.5
    points += random.normal(0, 0.03, points.shape)
    angle, slant = random.normal(0, 0.15), random.normal(0, 0.15)
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    points = points @ (turn @ np.array([[1, slant], [0, 1]])).T * random.uniform(0.8, 1.15, 2)
    points += 0.5 + random.normal(0, 0.04, 2)
    pen = random.uniform(0.05, 0.09)
    distance = _distance(points[:-1], points[1:])
    return 1 - 2 / (1 + np.exp((pen - distance) / 0.02))


def _distance(starts: NDArray[np.float64], ends: NDArray[np.float64]) -> NDArray[np.float64]:
    """From each pixel's middle to the nearest of the lines, shape `(SIDE, SIDE)`."""
    along = ends - starts
    share = np.clip(((_MIDDLES - starts) * along).sum(-1) / ((along**2).sum(-1) + 1e-9), 0, 1)
    return np.linalg.norm(starts + share[..., None] * along - _MIDDLES, axis=-1).min(-1)
