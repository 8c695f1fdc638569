"""DP-SGD on the device: Opacus's optimizers, clipping by one pass of book-keeping, samples and noise by our cipher stream.

Abadi et al. (2016), "Deep Learning with Differential Privacy", with a public denominator: the noisy sum is
divided by the plan's `normalizer`, never by how many rows this device has (privacy rule 2).
"""

import warnings

import numpy as np
import torch
from numpy.typing import NDArray
from opacus import GradSampleModule
from opacus.grad_sample import AbstractGradSampleModule
from opacus.optimizers import DPOptimizer, DPOptimizerFastGradientClipping
from torch.nn import CrossEntropyLoss

from client.bookkeeping import BookKeepingLoss, BookKeepingModule, is_known
from client.independence import require_independent
from client.inputs import Examples
from shared.network import build, load
from shared.noise import CipherStream
from shared.rounds import RoundPlan
from shared.tasks import Task
from shared.updates import clip


class CipherNoise(DPOptimizer):
    """Opacus's optimizer with the noise of a cipher stream, through its own `add_noise` hook."""

    def __init__(self, optimizer: torch.optim.Optimizer, *, plan: RoundPlan, stream: CipherStream) -> None:
        """Wrap `optimizer` so that each step clips and adds noise as `plan` says."""
        super().__init__(
            optimizer,
            noise_multiplier=plan.noise_multiplier,
            max_grad_norm=plan.max_grad_norm,
            expected_batch_size=None,
            loss_reduction="sum",
        )
        self._stream = stream
        self._rate = plan.learning_rate / plan.normalizer
        self.update = torch.zeros(sum(parameter.numel() for parameter in self.params))

    def add_noise(self) -> None:
        """Add the whole step's noise to the clipped sum of gradients, in float64 and rounded once.

        In float32 the noise's own grid would tell an empty sum from any other (Mironov, 2012, "On Significance of
        the Least Significant Bits for Differential Privacy").
        """
        sums = [vars(parameter)["summed_grad"].reshape(-1) for parameter in self.params]
        sizes = [len(total) for total in sums]
        noise = torch.from_numpy(self._stream.normals(sum(sizes)))
        noisy = noise.mul_(self.noise_multiplier * self.max_grad_norm).add_(torch.cat(sums)).float()
        self.update -= noisy * self._rate
        for parameter, gradient in zip(self.params, noisy.split(sizes), strict=True):
            parameter.grad = gradient.view_as(parameter)
            vars(parameter)["summed_grad"] = None  # a sum that got noise twice would be two answers under one charge


class CipherOptimizer(CipherNoise):
    """For Opacus's stock module, which leaves each example's gradient in `grad_sample`."""

    def clip_and_accumulate(self) -> None:
        """Clip and sum; what overflowed in an example's gradient counts as zero.

        The coordinator chooses the weights: NaN would be a sum without bound, and would tell of one certain row.
        """
        for parameter in self.params:
            vars(parameter)["grad_sample"].nan_to_num_(nan=0.0, posinf=0.0, neginf=0.0)
        super().clip_and_accumulate()


class BookKeepingOptimizer(CipherNoise, DPOptimizerFastGradientClipping):
    """For a `BookKeepingModule`, whose loss leaves clipped sums in `grad`: Opacus's optimizer for ghost clipping."""

    def accumulate(self) -> None:
        """Take over the clipped sums as they are; Opacus would copy each one."""
        for parameter in self.params:
            fields = vars(parameter)
            held = fields["summed_grad"]
            fields["summed_grad"] = parameter.grad if held is None else held + parameter.grad


def train(
    plan: RoundPlan, task: Task, weights: NDArray[np.float32], examples: Examples, stream: CipherStream
) -> NDArray[np.float32]:
    """Run exactly the plan's steps from `weights` and return the clipped update, both of shape `(size,)`.

    A device without rows, or a sample without rows, contributes noise alone.
    """
    torch.set_num_threads(1)
    network = build(task)
    load(network, weights, task)
    return clip(_descend(plan, network, examples, stream), plan.max_update_norm)


def _descend(
    plan: RoundPlan, network: torch.nn.Module, examples: Examples, stream: CipherStream
) -> NDArray[np.float32]:
    """Run the steps and return their sum, apart from the weights.

    A difference of weights has their rounding, which would tell it from noise alone (`client.light.noise_only`).
    """
    private, loss, optimizer = prepare(plan, network, stream)
    inputs, labels = torch.from_numpy(examples.inputs), torch.from_numpy(examples.labels)
    with warnings.catch_warnings():
        # Opacus registers hooks on the first layer, whose input needs no gradient; PyTorch remarks on it each step.
        warnings.filterwarnings("ignore", message="Full backward hook is firing")
        for _ in range(plan.steps):
            sample = torch.from_numpy(stream.poisson_sample(len(labels), plan.sample_rate))
            optimizer.zero_grad(set_to_none=True)
            loss(private(inputs[sample]), labels[sample]).backward()
            optimizer.step()
    return optimizer.update.numpy()


def prepare(
    plan: RoundPlan, network: torch.nn.Module, stream: CipherStream, *, stock: bool = False
) -> tuple[AbstractGradSampleModule, BookKeepingLoss | CrossEntropyLoss, CipherNoise]:
    """Opacus's three parts for `network`: with book-keeping, or its stock ones where that does not know a layer.

    `stock` asks for the latter, which make the oracle. Raise `InputError` where a layer may mix examples.
    """
    require_independent(network)
    descent = torch.optim.SGD(network.parameters(), lr=plan.learning_rate / plan.normalizer)
    if stock or not is_known(network):
        module = GradSampleModule(network, loss_reduction="sum")
        return module, CrossEntropyLoss(reduction="sum"), CipherOptimizer(descent, plan=plan, stream=stream)
    module = BookKeepingModule(network, max_grad_norm=plan.max_grad_norm)
    return module, BookKeepingLoss(module), BookKeepingOptimizer(descent, plan=plan, stream=stream)
