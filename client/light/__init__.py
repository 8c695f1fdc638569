"""The light trainer: DP-SGD in NumPy alone, for a device without PyTorch."""

from client.light.training import clip, noise_only, train

__all__ = ["clip", "noise_only", "train"]
