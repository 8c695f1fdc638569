"""The light trainer's descent: the same steps, samples and noise as `client/training.py` takes with Opacus.

Each step's noise is added to the clipped sum in float64, and rounded once. The update is summed apart from the
weights: its bits hold nothing of theirs, so noise alone looks the same whether or not there were weights to move.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from client.inputs import Examples
from client.light.network import Network
from shared.architecture import size
from shared.noise import CipherStream
from shared.rounds import RoundPlan
from shared.tasks import Task
from shared.updates import clip

Update = NDArray[np.float32]


def train(
    plan: RoundPlan, task: Task, weights: NDArray[np.float32], examples: Examples, stream: CipherStream
) -> Update:
    """Run exactly the plan's steps from `weights` and return the clipped update, both of shape `(size,)`.

    A device without rows, or a sample without rows, contributes noise alone.
    """
    moved = weights.astype(np.float32)
    network = Network(task, moved)

    def clipped_sum(step: Update) -> Update:
        np.subtract(moved, step, out=moved)
        sample = stream.poisson_sample(len(examples.labels), plan.sample_rate)
        return network.clipped_sum(examples.inputs, examples.labels, sample, plan.max_grad_norm)

    return _descend(plan, size(task), stream, clipped_sum)


def noise_only(plan: RoundPlan, task: Task, stream: CipherStream) -> Update:
    """What `train` returns on a device whose rows cannot be used: the same to the bit as on no examples."""
    nothing = np.zeros(size(task), np.float32)
    return _descend(plan, len(nothing), stream, lambda _: nothing)


def _descend(plan: RoundPlan, count: int, stream: CipherStream, clipped_sum: Callable[[Update], Update]) -> Update:
    """Sum the plan's steps; `clipped_sum` takes the step before, and gives the sum of the gradients after it."""
    update, step = np.zeros(count, np.float32), np.zeros(count, np.float32)
    noisy, scale = np.empty(count), plan.noise_multiplier * plan.max_grad_norm
    # The coordinator chooses the weights: what overflows counts as zero, and NumPy need not warn of it.
    with np.errstate(all="ignore"):
        for _ in range(plan.steps):
            total = clipped_sum(step)
            stream.fill(noisy)
            noisy *= scale
            noisy += total
            step[...] = noisy
            step *= np.float32(plan.learning_rate / plan.normalizer)
            update -= step
        return clip(update, plan.max_update_norm)
