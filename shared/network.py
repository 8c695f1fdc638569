"""The network itself, in PyTorch: the one file of `shared` that needs it."""

from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from shared.architecture import split, widths
from shared.errors import InputError
from shared.images import KERNEL, Image
from shared.tasks import NetworkKind, Task


def build(task: Task) -> nn.Sequential:
    """The task's network: `(rows, task.inputs)` to logits of shape `(rows, classes)`.

    Raise `InputError` for a kind that is not known here.
    """
    kind = task.architecture.kind
    if kind not in MODULES:
        raise InputError(f"no network of kind {kind!r} is known here; name the file that defines it with --with")
    return MODULES[kind](task)


def _build(task: Task) -> nn.Sequential:
    """Convolutions if there is an image, then dense layers; tanh after each but the last."""
    layers = _convolutions(task.architecture.image) if task.architecture.image else []
    for inputs, outputs in pairwise(widths(task)):
        layers += [nn.Linear(inputs, outputs), nn.Tanh()]
    return nn.Sequential(*layers[:-1])


MODULES: dict[str, Callable[[Task], nn.Sequential]] = dict.fromkeys(get_args(NetworkKind), _build)
"""By kind of network; a rehearsal's own file may add to it."""


def _convolutions(image: Image) -> list[nn.Module]:
    """From a flat row of pixels to the last convolution's outputs, flat again: channel by channel, row by row."""
    layers: list[nn.Module] = [nn.Unflatten(1, image.maps[0])]
    for (inputs, *_), (outputs, *_) in pairwise(image.maps):
        layers += [nn.Conv2d(inputs, outputs, KERNEL, stride=image.stride, padding=1), nn.Tanh()]
    return [*layers, nn.Flatten()]


def load(network: nn.Module, weights: NDArray[np.float32], task: Task) -> None:
    """Put a flat vector of shape `(size,)` into a network built for `task`."""
    with torch.no_grad():
        for parameter, values in zip(network.parameters(), split(weights, task), strict=True):
            parameter.copy_(torch.from_numpy(values.copy()))


def flatten(parameters: Iterable[torch.Tensor]) -> NDArray[np.float32]:
    """The parameters as one flat float32 vector, in the order in which they travel."""
    return np.concatenate([parameter.detach().numpy().ravel() for parameter in parameters]).astype(np.float32)
