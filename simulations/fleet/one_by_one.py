"""Training device by device, with the trainers that ship: for networks that the engine of blocks does not know."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from client.inputs import Examples
from client.light.network import is_known
from shared.noise import CipherStream
from shared.rounds import RoundPlan
from shared.tasks import Task
from simulations.fleet.engine import Engine, Noise


class OneByOne:
    """As `Engine`, at the pace of one device after another; with the light trainer where it has the layers, else Opacus."""

    def __init__(self, task: Task) -> None:
        """Train networks of the task."""
        self._task = task

    def train(
        self, plan: RoundPlan, weights: NDArray[np.float32], examples: Sequence[Examples],
        streams: Sequence[CipherStream], *, noise: Noise, out: NDArray[np.float32] | None = None,
    ) -> NDArray[np.float32]:  # fmt: skip
        """Each device's update, `(devices, size)`; raise `InputError` for an update without noise that Opacus would train."""
        pairs = zip(examples, streams, strict=True)
        return np.stack([self._train(plan, weights, rows, stream, noise) for rows, stream in pairs], out=out)

    def _train(
        self, plan: RoundPlan, weights: NDArray[np.float32], rows: Examples, stream: CipherStream, noise: Noise
    ) -> NDArray[np.float32]:
        if noise == "none":
            from client.light import contribution

            return contribution(plan, self._task, weights, rows, stream).astype(np.float32)
        if is_known(self._task):
            from client.light import train as lightly

            return lightly(plan, self._task, weights, rows, stream)
        from client.training import train

        own = Examples(
            inputs=rows.inputs.copy(), labels=rows.labels.copy()
        )  # PyTorch takes no memory that it may not write
        return train(plan, self._task, weights, own, stream)


def engine_of(task: Task) -> Engine | OneByOne:
    """What trains a task's network: blocks of devices where its kind ships, else one device after another."""
    return Engine(task) if task.architecture.kind in {"linear", "mlp", "cnn"} else OneByOne(task)
