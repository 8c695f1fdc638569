"""The light trainer: DP-SGD in NumPy alone, for a device without PyTorch."""

from client.light.contribution import contribution
from client.light.training import clip, noise_only, train

__all__ = ["clip", "contribution", "noise_only", "train"]
