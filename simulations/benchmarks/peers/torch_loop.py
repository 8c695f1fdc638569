"""The bare loop in PyTorch: one network, loaded anew for each device, as most federated code is written."""

import numpy as np
import torch
from numpy.typing import NDArray

from shared.architecture import size
from shared.network import build, flatten, load
from shared.tasks import Task
from shared.updates import clip
from simulations.benchmarks import fleet_engine
from simulations.benchmarks.peers.turns import Contend, timed
from simulations.benchmarks.peers.workload import BOUND, RATE, Batches, batches, weights

DEVICES, IMAGE_DEVICES = 256, 32


def mlp() -> Contend:
    """Train the workload's devices one after another."""
    return _loop(fleet_engine.mlp_task(), DEVICES)


def cnn() -> Contend:
    """The same with the small convolutional network."""
    return _loop(fleet_engine.cnn_task(), IMAGE_DEVICES)


def sums(task: Task, devices: list[Batches]) -> NDArray[np.float64]:
    """The sum of the devices' updates, each clipped to `BOUND`; shape `(size,)`."""
    network, start, total = build(task), weights(task), np.zeros(size(task))
    criterion = torch.nn.CrossEntropyLoss()
    for each in devices:
        load(network, start, task)
        optimizer = torch.optim.SGD(network.parameters(), lr=RATE)
        for inputs, labels in zip(torch.from_numpy(each.inputs), torch.from_numpy(each.labels), strict=True):
            optimizer.zero_grad()
            criterion(network(inputs), labels).backward()
            optimizer.step()
        total += clip(flatten(network.parameters()) - start, BOUND)
    return total


def _loop(task: Task, count: int) -> Contend:
    torch.set_num_threads(1)
    devices = [batches(task, device) for device in range(count)]
    return timed(count, lambda: sums(task, devices))
