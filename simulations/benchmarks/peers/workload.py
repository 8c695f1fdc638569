"""The one fixed workload: an MLP 30-128-64-2 with tanh, 12,354 parameters, five steps of sixteen rows, at rate 0.1.

Handed over, a device has sixteen rows and takes all of them in each step; that is what peers get, and ours beside them
computes the same. Drawn, it has eighty, and each step samples sixteen on average, as DP-SGD must and a rehearsal does.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from client.inputs import Examples
from shared.architecture import initial_weights, shapes
from shared.tasks import Task
from simulations.benchmarks.fleet_engine import device_examples

STEPS, BATCH, RATE = 5, 16, 0.1
ROWS = STEPS * BATCH
CLIP, NOISE = 1.0, 1.0
BOUND = 0.5
"""The most that one device's update may weigh, as an L2 norm: pfl's clip of a user and a plan's `max_update_norm`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batches:
    """A device's rows as peers take them: inputs of shape `(STEPS, BATCH, width)`, labels `(STEPS, BATCH)`."""

    inputs: NDArray[np.float32]
    labels: NDArray[np.int64]


def weights(task: Task) -> NDArray[np.float32]:
    """Where everybody starts, shape `(size,)`."""
    return initial_weights(task)


def handed(task: Task, device: int) -> Examples:
    """A device's sixteen rows; the same on every call."""
    return device_examples(device, task=task, rows=BATCH)


def drawn(task: Task, device: int) -> Examples:
    """A device's eighty rows, to draw from."""
    return device_examples(device, task=task, rows=ROWS)


def batches(task: Task, device: int) -> Batches:
    """A device's sixteen rows, once for each step."""
    rows = handed(task, device)
    return Batches(inputs=np.stack([rows.inputs] * STEPS), labels=np.stack([rows.labels] * STEPS))


def flop(task: Task) -> float:
    """Floating-point operations of one device's update through dense layers: products of matrices, and no more.

    Two for each weight and row forward, two for its gradient, and two for the gradient of what came in, which the
    first layer does not need.
    """
    weights_of = [shape for shape in shapes(task) if len(shape) == 2]
    each = [2.0 * outputs * inputs for outputs, inputs in weights_of]
    return STEPS * BATCH * (3 * sum(each) - each[0])
