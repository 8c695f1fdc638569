"""The light trainer: DP-SGD in NumPy alone, for a device without PyTorch."""

from client.light.contribution import contribution
from client.light.training import noise_only, train
from shared.updates import clip

__all__ = ["clip", "contribution", "noise_only", "train"]
