"""What a device adds to a sum whose noise is not all its own: the plan's steps without noise, bounded as a whole.

It leaves this process only under secure aggregation, with this device's share of the noise, or towards a coordinator
that the owner trusts to add it. Sums are float64: one row more moves the result by no more than the row's clip.
"""

import numpy as np
from numpy.typing import NDArray

from client.inputs import Examples
from client.light.network import MOST_ROWS, Network
from shared.architecture import size
from shared.noise import CipherStream
from shared.rounds import RoundPlan
from shared.tasks import Task

SLACK = 1e-4
"""Examples are clipped to so much less than the plan says: what float32 may round a gradient's norm up by, with room."""


def contribution(
    plan: RoundPlan, task: Task, weights: NDArray[np.float32], examples: Examples, stream: CipherStream
) -> NDArray[np.float64]:
    """The noiseless update of shape `(size,)`, of an L2 norm of at most `plan.max_update_norm`.

    In one step over all rows (`sample_rate` 1, `steps` 1), one row more or less moves it by an L2 norm of at most
    `max_grad_norm * learning_rate / normalizer`: the sum does, and the bound is a projection onto a ball, which brings
    no two vectors further apart. Without rows it is zero.
    """
    moved, rate = weights.astype(np.float64), plan.learning_rate / plan.normalizer
    update = np.zeros(size(task))
    with np.errstate(all="ignore"):  # the coordinator chooses the weights: what overflows counts as zero
        for _ in range(plan.steps):
            sample = stream.poisson_sample(len(examples.labels), plan.sample_rate)
            step = rate * _clipped_sum(task, moved.astype(np.float32), examples, sample, plan.max_grad_norm)
            moved -= step
            update -= step
        return project(update, plan.max_update_norm)


def project(update: NDArray[np.float64], max_norm: float) -> NDArray[np.float64]:
    """The nearest vector whose L2 norm is at most `max_norm`; zero for one that overflowed."""
    norm = float(np.linalg.norm(update))
    if not np.isfinite(norm):
        return np.zeros_like(update)
    return update if norm <= max_norm else update * (max_norm / norm)


def _clipped_sum(
    task: Task, weights: NDArray[np.float32], examples: Examples, sample: NDArray[np.intp], clip: float
) -> NDArray[np.float64]:
    """The sum of each example's gradient, clipped; chunk by chunk in float64, so that a long sum rounds nothing away."""
    network, total = Network(task, weights), np.zeros(size(task))
    for start in range(0, len(sample), MOST_ROWS):
        chunk = sample[start : start + MOST_ROWS]
        total += network.clipped_sum(examples.inputs, examples.labels, chunk, clip * (1 - SLACK))
    return total
