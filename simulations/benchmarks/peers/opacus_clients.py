"""Opacus attached to each device in turn: local DP-SGD with its own noise, which is not cryptographic."""

import warnings
from typing import Any

import torch
from opacus import PrivacyEngine
from opacus.grad_sample import prepare_module
from opacus.optimizers import get_optimizer_class
from torch.utils.data import DataLoader, TensorDataset

from shared.network import build, flatten, load
from shared.updates import clip
from simulations.benchmarks.fleet_engine import mlp_task
from simulations.benchmarks.peers.turns import Contend, timed
from simulations.benchmarks.peers.workload import BATCH, BOUND, CLIP, NOISE, RATE, Batches, batches, weights

DEVICES = 48


def hooks() -> Contend:
    """Its default way to an example's gradient, on batches that are handed to it: no loader, no accountant."""
    return _attached("hooks")


def ew() -> Contend:
    """The same with its vectorised way, ExpandedWeights."""
    return _attached("ew")


def shipped() -> Contend:
    """As its documentation has it: `make_private` with its loader and its accountant, for each device."""
    devices = _devices()
    task = mlp_task()
    start = weights(task)

    def train(each: Batches) -> None:
        network = build(task)
        load(network, start, task)
        inputs, labels = torch.from_numpy(each.inputs), torch.from_numpy(each.labels)
        made: Any = PrivacyEngine(accountant="rdp").make_private(
            module=network,
            optimizer=torch.optim.SGD(network.parameters(), lr=RATE),
            data_loader=DataLoader(TensorDataset(inputs.flatten(0, 1), labels.flatten()), batch_size=BATCH),
            noise_multiplier=NOISE,
            max_grad_norm=CLIP,
        )
        private, optimizer, loader = made
        _descend(private, optimizer, list(loader))
        clip(flatten(network.parameters()) - start, BOUND)

    return timed(DEVICES, lambda: [train(each) for each in devices])


def _attached(mode: str) -> Contend:
    devices, task = _devices(), mlp_task()
    start = weights(task)

    def train(each: Batches) -> None:
        network = build(task)
        load(network, start, task)
        private = prepare_module(network, grad_sample_mode=mode, loss_reduction="mean")
        kind: Any = get_optimizer_class("flat", distributed=False, grad_sample_mode=mode)
        optimizer = kind(
            optimizer=torch.optim.SGD(network.parameters(), lr=RATE),
            noise_multiplier=NOISE,
            max_grad_norm=CLIP,
            expected_batch_size=BATCH,
        )
        _descend(
            private, optimizer, list(zip(torch.from_numpy(each.inputs), torch.from_numpy(each.labels), strict=True))
        )
        clip(flatten(network.parameters()) - start, BOUND)

    return timed(DEVICES, lambda: [train(each) for each in devices])


def _descend(network: Any, optimizer: Any, steps: list[tuple[torch.Tensor, torch.Tensor]]) -> None:
    criterion = torch.nn.CrossEntropyLoss()
    for inputs, labels in steps:
        optimizer.zero_grad()
        criterion(network(inputs), labels).backward()
        optimizer.step()


def _devices() -> list[Batches]:
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # Opacus says that its noise is not cryptographic, and so do we
    task = mlp_task()
    return [batches(task, device) for device in range(DEVICES)]
