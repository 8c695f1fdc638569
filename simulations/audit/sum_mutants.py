"""Ways to share out noise, to bound and to charge that the audit must see."""

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from unittest.mock import patch

import numpy as np
import torch
from numpy.typing import NDArray

from client.contribution import contribution as share_of
from client.inputs import Examples
from client.light import contribution as noiseless
from shared.distributed import DistributedNoise
from shared.noise import CipherStream
from shared.privacy import Cost
from shared.rounds import RoundPlan
from shared.secagg import encoding
from shared.secagg.encoding import encode, residues
from shared.tasks import Task
from simulations.audit.canaries import Effort
from simulations.audit.findings import Case
from simulations.audit.sums import SHIPPED, Residues, Share, Summation, Vector, examine
from simulations.audit.trainers import only_the_last


class TorchWords(CipherStream):
    """Words of PyTorch's generator under a 64-bit seed, of which it keeps 32 bits."""

    def __init__(self, key: bytes) -> None:
        super().__init__(key)
        self._generator = torch.Generator().manual_seed(int.from_bytes(key[:8], "little"))

    def words(self, count: int) -> NDArray[np.uint64]:
        """Return PyTorch's words."""
        drawn = torch.randint(-(2**63), 2**63 - 1, (count,), generator=self._generator)
        return drawn.numpy().view(np.uint64)


def silent(update: NDArray[np.floating], noise: DistributedNoise, *, seed: bytes, stream: CipherStream) -> Residues:
    """No noise: the update is rounded and sent."""
    return residues(encode(update, noise.encoding, seed=seed, source=stream), noise.encoding)


def scaled(factor: Callable[[DistributedNoise], float]) -> Share:
    """A share of another scale than the plan's, by a factor."""

    def share(update: NDArray[np.floating], noise: DistributedNoise, *, seed: bytes, stream: CipherStream) -> Residues:
        other = replace(noise, share_scale=max(0.5, noise.share_scale * factor(noise)))
        return share_of(update, other, seed=seed, stream=stream)

    return share


def unbounded(update: NDArray[np.floating], noise: DistributedNoise, *, seed: bytes, stream: CipherStream) -> Residues:
    """Nothing bounds a device's update as a whole."""

    def as_it_is(vector: Vector, _bound: float) -> Vector:
        return vector

    with patch.object(encoding, "_clip", as_it_is):
        return share_of(update, noise, seed=seed, stream=stream)


def unclipped(
    plan: RoundPlan, task: Task, weights: NDArray[np.float32], examples: Examples, stream: CipherStream
) -> Vector:
    """No row is clipped; the update is bounded as a whole."""
    return noiseless(_without_mode(plan, max_grad_norm=1e4 * plan.max_grad_norm), task, weights, examples, stream)


def private_denominator(
    plan: RoundPlan, task: Task, weights: NDArray[np.float32], examples: Examples, stream: CipherStream
) -> Vector:
    """The sum is divided by how many rows this device has."""
    return noiseless(_without_mode(plan, normalizer=max(1.0, len(examples.labels))), task, weights, examples, stream)


def _without_mode(plan: RoundPlan, **changes: float) -> RoundPlan:
    """Another plan to train by, which needs not agree with the noise."""
    return replace(plan, mode="local", secure=None, **changes)


def a_row_for_a_device(plan: RoundPlan) -> Cost:
    """What is measured by one row's clip is told as the price of a whole device, which may move by its bound."""
    return replace(plan.cost, device=plan.cost.record)


def shared_key(effort: Effort, device: int, number: int) -> bytes:
    """Two devices have one seed."""
    return effort.key("share", max(1, device), number)


def one_key(effort: Effort, device: int, _number: int) -> bytes:
    """A device has one seed for all rounds."""
    return effort.key("share", device)


MUTANTS: dict[str, Summation] = {
    "no noise": replace(SHIPPED, share=silent),
    "half the noise": replace(SHIPPED, share=scaled(lambda _: 0.5)),
    "twice the noise": replace(SHIPPED, share=scaled(lambda _: 2.0)),
    "dropout loses a share of the noise": replace(
        SHIPPED, share=scaled(lambda noise: math.sqrt(noise.honest / noise.devices))
    ),
    "colluders' shares are counted on": replace(
        SHIPPED, share=scaled(lambda noise: math.sqrt(noise.honest / noise.threshold))
    ),
    "noise for one row, told for a device": replace(SHIPPED, cost=a_row_for_a_device),
    "no bound on a device": replace(SHIPPED, share=unbounded),
    "no clipping": replace(SHIPPED, train=unclipped),
    "private denominator": replace(SHIPPED, train=private_denominator),
    "noise seed shared by two devices": replace(SHIPPED, key=shared_key),
    "the same noise each round": replace(SHIPPED, key=one_key),
    "torch's generator, seeded with 64 bits": replace(SHIPPED, stream=TorchWords),
    "engine rebuilt each round": replace(SHIPPED, spent=only_the_last),
}


def cases(effort: Effort) -> Iterator[Case]:
    """Secure aggregation as it ships, then each mutant of it."""
    yield examine(SHIPPED, effort)
    for name, summation in MUTANTS.items():
        yield examine(summation, effort.half, mutant=name)
