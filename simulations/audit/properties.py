"""What must hold of any trainer, whatever its rows: sampling, noise, clipping and keys, each seen on its own."""

import itertools
import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from client.inputs import Examples, no_examples
from shared.architecture import initial_weights, size
from shared.images import Image
from shared.noise import CipherStream
from shared.rounds import RoundPlan
from shared.tasks import Architecture, Task
from simulations.audit.canaries import Effort, canary_rows, canary_task, plan_of, scores_of, task_of
from simulations.audit.findings import Finding, at_most, near, unrelated
from simulations.audit.trainers import Trainer, Update

ROWS, STEPS, RATE = 200, 4, 0.3
"""Of the samples that are counted: 1 / RATE is no whole number, so that rounding it shows."""

FAINT = 0.05
"""Noise so small that whether a canary was in a sample can be read off the update."""


def samples(trainer: Trainer, effort: Effort) -> Iterator[Finding]:
    """Every row is in every sample on its own, with the public rate: in the mean, row by row, and batch by batch.

    Batches of a fixed size, or epochs that come to each row once, have the mean and yet not the privacy that sampling
    row by row has (Chua et al., 2024, "How Private are DP-SGD Implementations?").
    """
    task = canary_task(ROWS)
    plan = plan_of(task, sample_rate=RATE, steps=STEPS, noise_multiplier=FAINT)
    rows, counts = canary_rows(np.ones(ROWS, np.bool_)), np.empty((effort.calls, ROWS))
    for call in range(effort.calls):
        stream = trainer.stream(effort.key(trainer.name, "samples", call))
        counts[call] = np.rint(scores_of(trainer.train(plan, task, initial_weights(task), rows, stream), plan, ROWS))
    mean, variance = STEPS * RATE, STEPS * RATE * (1 - RATE)
    yield near("sample rate", RATE, counts.mean() / STEPS, error=math.sqrt(variance / counts.size) / STEPS)
    peaked = (1 - 6 * RATE * (1 - RATE)) / variance
    spread = float(((counts - mean) ** 2).mean())
    yield near("rows on their own", variance, spread, error=variance * math.sqrt((2 + peaked) / counts.size))
    sizes = float(counts.sum(axis=1).var(ddof=1)) / ROWS
    yield near("batch sizes", variance, sizes, error=variance * math.sqrt(2 / (effort.calls - 1)))


def noise_alone(trainer: Trainer, effort: Effort) -> Iterator[Finding]:
    """A device without rows returns the whole noise, and a sample without rows costs none of it."""
    task = canary_task(effort.canaries)
    plan = plan_of(task, steps=4, noise_multiplier=2.0, sample_rate=0.01)
    update = _train(trainer, plan, task, no_examples(task), trainer.stream(effort.key(trainer.name, "alone")))
    seen = float(update.std()) / (plan.max_grad_norm * plan.learning_rate / plan.normalizer)
    expected = plan.noise_multiplier * math.sqrt(plan.steps)
    yield near("noise without rows", expected, seen, error=expected / math.sqrt(2 * len(update)))


def one_row(trainer: Trainer, effort: Effort) -> Iterator[Finding]:
    """No row moves the sum by more than the clip, over all tensors together, and one that is long enough by as much.

    Under one key the noise of two runs is the same, so their difference is the row's alone.
    """
    moved = [
        _moved(trainer, effort, task, length, label) for task, length, label in itertools.product(tasks(), LENGTHS, (0, 1))
    ]  # fmt: skip
    yield near("one row", 1.0, max(moved), error=1e-4, within=1.0)


LENGTHS = (0.1, 1.0, 50.0)


def tasks() -> tuple[Task, ...]:
    """One of each architecture, so that each has tensors of its own to clip."""
    image = Image(height=4, width=4, channels=(3,))
    return (
        canary_task(6),
        task_of(Architecture(kind="mlp", hidden=(8, 5)), 6),
        task_of(Architecture(kind="cnn", hidden=(4,), image=image), image.pixels),
    )


def _moved(trainer: Trainer, effort: Effort, task: Task, length: float, label: int) -> float:
    """How far one row of this length more moves the sum of three others', in clips."""
    plan = plan_of(task, learning_rate=1.0, normalizer=1.0, max_grad_norm=0.1)
    key = effort.key(trainer.name, "one row", task.architecture.kind, length, label)
    fewer, more = wild_rows(task, key, length, label=label)
    with_it, without = (_train(trainer, plan, task, rows, trainer.stream(key)) for rows in (more, fewer))
    return float(np.linalg.norm(with_it.astype(np.float64) - without)) / plan.max_grad_norm


def wild_rows(task: Task, key: bytes, length: float, *, label: int) -> tuple[Examples, Examples]:
    """Three rows, and the same with one more of this length and label."""
    drawn = CipherStream(key).normals(4 * task.inputs).reshape(4, -1).astype(np.float32)
    drawn[-1] *= np.float32(length / np.linalg.norm(drawn[-1]))
    more = Examples(inputs=drawn, labels=np.array([0, 1, 0, label]))
    return Examples(inputs=drawn[:-1], labels=more.labels[:-1]), more


def weights_of(task: Task) -> NDArray[np.float32]:
    """Weights that are no zeros, so that every layer has a gradient."""
    return (CipherStream(bytes(32)).normals(size(task)) / 4).astype(np.float32)


def keys(trainer: Trainer, effort: Effort) -> Iterator[Finding]:
    """Every byte of the 256-bit key changes the noise, and nothing but the key does.

    PyTorch's generator keeps 32 bits of its seed (7 and 7 + 2^32 give the same numbers), few enough to search; a seed
    that the process shares with others is none of the device's own.
    """
    task = canary_task(effort.canaries)
    plan, key = plan_of(task, noise_multiplier=1.0), effort.key(trainer.name, "keys")
    changed = [key, *(key[:at] + bytes([key[at] ^ 1]) + key[at + 1 :] for at in range(len(key)))]
    updates = [_reseeded(trainer, plan, task, one, seed=7) for one in changed]
    yield unrelated("key", np.stack(updates))
    others = [_reseeded(trainer, plan, task, key, seed=seed) for seed in (8, 7 + 2**32)]
    yield at_most("other generators", 0.0, max(float(np.abs(other - updates[0]).max()) for other in others))


def _reseeded(trainer: Trainer, plan: RoundPlan, task: Task, key: bytes, *, seed: int) -> Update:
    """Noise alone under a key, whatever PyTorch's own generator was seeded with; that is put back."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return _train(trainer, plan, task, no_examples(task), trainer.stream(key))


def releases(trainer: Trainer, effort: Effort) -> Iterator[Finding]:
    """No two releases share noise: their difference would be free of it."""
    task = canary_task(effort.canaries)
    plan, stream = plan_of(task), trainer.stream(effort.key(trainer.name, "releases"))
    rounds = [replace(plan, number=number) for number in range(1, 7)]
    yield unrelated("releases", np.stack([_train(trainer, one, task, no_examples(task), stream) for one in rounds]))


def _train(trainer: Trainer, plan: RoundPlan, task: Task, rows: Examples, stream: CipherStream) -> NDArray[np.float32]:
    return trainer.train(plan, task, weights_of(task), rows, stream)
