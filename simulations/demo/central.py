"""The measure that the private model is held against: the same rows, pooled, without any privacy.

It is a generous one: five seeds, two architectures, and the best epoch of each as the test rows themselves judge it.
"""

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import cross_entropy

from client.inputs import Examples
from shared.tasks import Task

SEEDS = 5
HIDDEN: dict[str, tuple[int, ...]] = {"linear": (), "mlp": (32,)}
EPOCHS, BATCH, LEARNING_RATE = 10, 512, 3e-3


@dataclass(frozen=True, slots=True, kw_only=True)
class Best:
    """The best of several trainings, and what it was."""

    auc: float
    architecture: str


def auc(scores: NDArray[np.floating], labels: NDArray[np.int64]) -> float:
    """Area under the ROC curve, ties counted half (Mann & Whitney, 1947); both of shape `(rows,)`, labels 0 or 1."""
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    positives = int(labels.sum())
    return float((ranks[labels == 1].sum() - positives * (positives + 1) / 2) / (positives * (len(labels) - positives)))


def best_central(task: Task, train: Examples, test: Examples) -> Best:
    """Train every architecture from every seed; keep the best AUC that any of them has after any epoch."""
    torch.set_num_threads(1)
    trials = [Best(auc=_best_auc(task, hidden, train, test), architecture=name) for name, hidden in HIDDEN.items()]
    return max(trials, key=lambda trial: trial.auc)


def _best_auc(task: Task, hidden: tuple[int, ...], train: Examples, test: Examples) -> float:
    """Train all seeds side by side: one batched product does what five networks would do one by one."""
    random = torch.Generator().manual_seed(0)
    layers = _layers((task.inputs, *hidden, len(task.label.classes)), random)
    optimizer = torch.optim.Adam(layers, lr=LEARNING_RATE, fused=True)
    inputs, labels = torch.from_numpy(train.inputs), torch.from_numpy(train.labels)
    held_out = torch.from_numpy(test.inputs)
    best = 0.0
    for _ in range(EPOCHS):
        orders = torch.stack([torch.randperm(len(labels), generator=random) for _ in range(SEEDS)])
        for batch in orders.split(BATCH, dim=1):
            optimizer.zero_grad()
            logits = _forward(layers, inputs[batch])
            loss = cross_entropy(logits.flatten(0, 1), labels[batch].flatten(), reduction="sum") / batch.shape[1]
            loss.backward()
            optimizer.step()
        best = max(best, *(auc(one, test.labels) for one in _scores(layers, held_out)))
    return best


def _layers(widths: tuple[int, ...], random: torch.Generator) -> list[Tensor]:
    """Weights of shape `(seeds, inputs, outputs)` and biases of shape `(seeds, 1, outputs)`, layer by layer."""
    layers: list[Tensor] = []
    for inputs, outputs in pairwise(widths):
        weight = (torch.rand((SEEDS, inputs, outputs), generator=random) * 2 - 1) / math.sqrt(inputs)
        layers += [weight.requires_grad_(), torch.zeros((SEEDS, 1, outputs), requires_grad=True)]
    return layers


def _forward(layers: list[Tensor], inputs: Tensor) -> Tensor:
    """Rows of shape `(seeds, rows, inputs)` to logits of shape `(seeds, rows, classes)`, tanh between layers."""
    values = inputs
    for index in range(0, len(layers), 2):
        values = torch.baddbmm(layers[index + 1], torch.tanh(values) if index else values, layers[index])
    return values


@torch.no_grad()
def _scores(layers: list[Tensor], inputs: Tensor) -> NDArray[np.float32]:
    """How much likelier the second class is, shape `(seeds, rows)`."""
    logits = _forward(layers, inputs.expand(SEEDS, -1, -1))
    return (logits[:, :, 1] - logits[:, :, 0]).numpy()


def pool(parts: list[Examples]) -> Examples:
    """Put several devices' rows into one heap, as nobody in the federation can."""
    return Examples(
        inputs=np.concatenate([part.inputs for part in parts]), labels=np.concatenate([part.labels for part in parts])
    )
