"""The ways to be wrong that the audit must see: each makes a wrong trainer of a right one, here and nowhere else."""

from collections.abc import Callable
from dataclasses import replace
from unittest.mock import patch

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from client import training
from client.bookkeeping import BookKeepingModule
from client.inputs import Examples
from client.light import training as light_training
from client.light.network import Network
from client.training import CipherOptimizer
from shared.noise import CipherStream
from shared.rounds import RoundPlan
from shared.tasks import Task
from simulations.audit.trainers import Trainer, Update, only_the_last

Array = NDArray[np.float32]


class Silent(CipherStream):
    """No noise at all."""

    def fill(self, out: NDArray[np.float64]) -> None:
        """Write zeros."""
        out[:] = 0.0


class Halved(CipherStream):
    """Half the noise that is accounted for."""

    def fill(self, out: NDArray[np.float64]) -> None:
        """Write normals of half the width."""
        super().fill(out)
        out *= 0.5


class Doubled(CipherStream):
    """Twice the noise: nobody's privacy suffers, but what is told of it is wrong."""

    def fill(self, out: NDArray[np.float64]) -> None:
        """Write normals of twice the width."""
        super().fill(out)
        out *= 2.0


class Repeated(CipherStream):
    """The same noise twice in a row."""

    def __init__(self, key: bytes) -> None:
        super().__init__(key)
        self._last: NDArray[np.float64] | None = None

    def fill(self, out: NDArray[np.float64]) -> None:
        """Write new normals and, the next time, the same."""
        if self._last is not None and len(self._last) == len(out):
            out[:], self._last = self._last, None
            return
        super().fill(out)
        self._last = out.copy()


class SeededTorch(CipherStream):
    """PyTorch's generator under a 64-bit seed, of which it keeps 32 bits."""

    def __init__(self, key: bytes) -> None:
        super().__init__(key)
        self._generator = torch.Generator().manual_seed(int.from_bytes(key[:8], "little"))

    def fill(self, out: NDArray[np.float64]) -> None:
        """Write PyTorch's normals."""
        out[:] = torch.randn(len(out), generator=self._generator).numpy()


class SharedTorch(CipherStream):
    """PyTorch's own generator, which Opacus draws from by default, and anybody in the process may seed."""

    def fill(self, out: NDArray[np.float64]) -> None:
        """Write PyTorch's normals."""
        out[:] = torch.randn(len(out)).numpy()


class FixedBatches(CipherStream):
    """As many rows in each sample as there would be in the mean."""

    def poisson_sample(self, rows: int, rate: float) -> NDArray[np.intp]:
        """Return `rows * rate` of the rows, rounded, each as likely as any other."""
        return np.argsort(self.words(rows))[: round(rows * rate)] if rate < 1 else np.arange(rows)


class Epochs(CipherStream):
    """Shuffle, then take batch after batch, as a `DataLoader` does: each row comes once an epoch."""

    def __init__(self, key: bytes) -> None:
        super().__init__(key)
        self._coming = np.zeros(0, np.intp)

    def poisson_sample(self, rows: int, rate: float) -> NDArray[np.intp]:
        """Return the next batch of the epoch."""
        if rate >= 1:
            return np.arange(rows)
        if not len(self._coming):
            self._coming = np.argsort(self.words(rows))
        size = max(1, round(rows * rate))
        batch, self._coming = self._coming[:size], self._coming[size:]
        return batch


class RoundedRate(CipherStream):
    """The rate as Opacus's `make_private` takes it: one over how many whole batches there are."""

    def poisson_sample(self, rows: int, rate: float) -> NDArray[np.intp]:
        """Sample with one over a whole number."""
        return super().poisson_sample(rows, 1 / round(1 / rate))


class QuietWhenEmpty(CipherStream):
    """A sample without rows costs nothing, so it gets no noise: and tells that it was empty."""

    def __init__(self, key: bytes) -> None:
        super().__init__(key)
        self._empty = False

    def poisson_sample(self, rows: int, rate: float) -> NDArray[np.intp]:
        """Remember whether the sample is empty."""
        sample = super().poisson_sample(rows, rate)
        self._empty = not len(sample)
        return sample

    def fill(self, out: NDArray[np.float64]) -> None:
        """Write normals for a sample that has rows."""
        super().fill(out)
        out *= not self._empty


def private_denominator(trainer: Trainer) -> Trainer:
    """The sum is divided by how many rows a batch of this device's has in the mean, which tells their number."""

    def train(plan: RoundPlan, task: Task, weights: Array, examples: Examples, stream: CipherStream) -> Update:
        own = replace(plan, normalizer=max(1.0, plan.sample_rate * len(examples.labels)))
        return trainer.train(own, task, weights, examples, stream)

    return replace(trainer, train=train)


def unclipped(trainer: Trainer) -> Trainer:
    """Gradients are as long as they are; the noise is as if they had been clipped."""

    def train(plan: RoundPlan, task: Task, weights: Array, examples: Examples, stream: CipherStream) -> Update:
        wide = replace(plan, max_grad_norm=1e4 * plan.max_grad_norm, noise_multiplier=plan.noise_multiplier / 1e4)
        return trainer.train(wide, task, weights, examples, stream)

    return replace(trainer, train=train)


def forgetful(trainer: Trainer) -> Trainer:
    """An accountant that begins anew each round."""
    return replace(trainer, spent=only_the_last)


def per_tensor(trainer: Trainer) -> Trainer:
    """Each tensor is clipped by itself, so that a row moves k tensors by sqrt(k) clips; one is accounted for.

    Where a trainer never forms an example's gradient it is a layer's weight and bias that are clipped as one.
    """

    def train(plan: RoundPlan, task: Task, weights: Array, examples: Examples, stream: CipherStream) -> Update:
        with (
            patch.object(light_training, "Network", _LayerByLayer),
            patch.object(training, "BookKeepingModule", _PageByPage),
            patch.object(CipherOptimizer, "clip_and_accumulate", _clip_per_tensor),
        ):
            return trainer.train(plan, task, weights, examples, stream)

    return replace(trainer, train=train)


class _LayerByLayer(Network):
    def _backward(self, gradient: Array) -> Array:
        self._squares: list[Array] = []
        for layer in reversed(self._layers):
            self._squares.insert(0, layer.norms(gradient).copy())
            gradient = gradient if layer is self._layers[0] else layer.backward()
        return self._squares[0]

    def _add_up(self, squares: Array, clip: float) -> None:
        del squares  # each layer has its own
        for index, layer in enumerate(self._layers):
            factors = np.minimum(np.float32(clip) / (np.sqrt(self._squares[index]) + np.float32(1e-6)), 1)
            layer.add_up(factors, *self._parts[2 * index : 2 * index + 2])


class _PageByPage(BookKeepingModule):
    @torch.no_grad()
    def settle(self, delta: Tensor) -> None:
        learned, outputs, inputs = self._go_back(delta)
        for page, norms in zip(learned, outputs * np.sqrt(inputs**2 + 1), strict=True):
            factors = np.minimum(self.max_grad_norm / (norms + 1e-6), 1.0).astype(np.float32)
            for parameter, total in zip(page.parameters, page.total(torch.from_numpy(factors)[:, None]), strict=True):
                parameter.grad = total


def _clip_per_tensor(self: CipherOptimizer) -> None:
    for parameter in self.params:
        rows: Tensor = vars(parameter)["grad_sample"]
        factors = (self.max_grad_norm / (rows.flatten(1).norm(dim=1) + 1e-6)).clamp(max=1.0)
        vars(parameter)["summed_grad"] = torch.tensordot(factors, rows, dims=1)


def _with(stream: Callable[[bytes], CipherStream]) -> Callable[[Trainer], Trainer]:
    return lambda trainer: replace(trainer, stream=stream)


MUTANTS: dict[str, Callable[[Trainer], Trainer]] = {
    "no noise": _with(Silent),
    "half the noise": _with(Halved),
    "twice the noise": _with(Doubled),
    "the same noise twice in a row": _with(Repeated),
    "torch's generator, seeded with 64 bits": _with(SeededTorch),
    "torch's generator, shared": _with(SharedTorch),
    "no noise for an empty batch": _with(QuietWhenEmpty),
    "no clipping": unclipped,
    "per-tensor clipping accounted as global": per_tensor,
    "private denominator": private_denominator,
    "fixed batches accounted as Poisson": _with(FixedBatches),
    "shuffled epochs accounted as Poisson": _with(Epochs),
    "sample rate off by rounding": _with(RoundedRate),
    "engine rebuilt each round": forgetful,
}
