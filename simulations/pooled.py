"""Trainings on all rows in one heap, without any privacy, as nobody in the federation can have them."""

import math
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from client.inputs import Examples
from shared.architecture import initial_weights
from shared.network import build, load
from shared.tasks import Task
from simulations.evaluation import Logits

HIDDEN: dict[str, tuple[int, ...]] = {"linear": (), "mlp": (32,)}
BATCH, IMAGES, LEARNING_RATE = 512, 64, 3e-3
NETWORKS = 2
"""From how many seeds a network of another kind is trained, at most: it costs more than the others together."""


def trainings(
    task: Task, train: Examples, test: Examples, *, seeds: int, epochs: int
) -> Iterator[tuple[str, Iterator[Logits]]]:
    """Each architecture with what it answers to the test rows after each epoch from each seed, `(rows, classes)`."""
    torch.set_num_threads(1)
    for name, hidden in HIDDEN.items():
        yield name, _side_by_side((task.inputs, *hidden, len(task.label.classes)), train, test, seeds, epochs)
    if (own := task.architecture.kind) not in HIDDEN:
        for seed in range(min(seeds, NETWORKS)):
            yield own, _own(task, train, test, seed, epochs)


def _side_by_side(
    widths: tuple[int, ...], train: Examples, test: Examples, seeds: int, epochs: int
) -> Iterator[Logits]:
    """Train all seeds at once: one batched product does what several networks would do one by one."""
    random = torch.Generator().manual_seed(0)
    layers = _layers(widths, seeds, random)
    optimizer = torch.optim.Adam(layers, lr=LEARNING_RATE, fused=True)
    inputs, labels, held_out = _tensors(train, test)
    for _ in range(epochs):
        orders = torch.stack([torch.randperm(len(labels), generator=random) for _ in range(seeds)])
        for batch in orders.split(BATCH, dim=1):
            optimizer.zero_grad()
            answers = _forward(layers, inputs[batch]).flatten(0, 1)
            loss = cross_entropy(answers, labels[batch].flatten(), reduction="sum") / batch.shape[1]
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            yield from _forward(layers, held_out.expand(seeds, -1, -1)).numpy()


def _own(task: Task, train: Examples, test: Examples, seed: int, epochs: int) -> Iterator[Logits]:
    """Train the task's own network from other weights a seed."""
    random = torch.Generator().manual_seed(seed)
    network = build(task)
    load(network, initial_weights(replace(task, revision=seed + 1)), task)
    optimizer = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE)
    inputs, labels, held_out = _tensors(train, test)
    for _ in range(epochs):
        for batch in torch.randperm(len(labels), generator=random).split(IMAGES):
            optimizer.zero_grad()
            cross_entropy(network(inputs[batch]), labels[batch]).backward()
            optimizer.step()
        with torch.no_grad():
            yield network(held_out).numpy()


def _tensors(train: Examples, test: Examples) -> tuple[Tensor, Tensor, Tensor]:
    """As tensors; what is mapped read-only is copied, which PyTorch asks for."""
    inputs, labels, held_out = (
        torch.from_numpy(np.require(each, requirements="W")) for each in (train.inputs, train.labels, test.inputs)
    )
    return inputs, labels, held_out


def _layers(widths: tuple[int, ...], seeds: int, random: torch.Generator) -> list[Tensor]:
    """Weights of shape `(seeds, inputs, outputs)` and biases of shape `(seeds, 1, outputs)`, layer by layer."""
    layers: list[Tensor] = []
    for inputs, outputs in pairwise(widths):
        weight = (torch.rand((seeds, inputs, outputs), generator=random) * 2 - 1) / math.sqrt(inputs)
        layers += [weight.requires_grad_(), torch.zeros((seeds, 1, outputs), requires_grad=True)]
    return layers


def _forward(layers: list[Tensor], inputs: Tensor) -> Tensor:
    """Rows of shape `(seeds, rows, inputs)` to logits of shape `(seeds, rows, classes)`, tanh between layers."""
    values = inputs
    for index in range(0, len(layers), 2):
        values = torch.baddbmm(layers[index + 1], torch.tanh(values) if index else values, layers[index])
    return values
