"""What a coordinator holds of one row in each mode: the bytes that the device's own code makes, as an estimate of a gradient.

Each device here has one row, which is in every step: all that a coordinator could wish for. It chose the learning rate,
so small that the weights hardly move, and so it may take the steps' sum for one gradient many times over.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from client.contribution import contribution as share_of
from client.inputs import Examples
from client.light import contribution as noiseless
from client.light import train
from shared.architecture import initial_weights, size
from shared.distributed import DistributedNoise, record_event
from shared.rounds import RoundPlan
from shared.secagg.choosing import Demand, choose
from shared.secagg.encoding import Encoding, decode
from shared.secagg.masks import Mask, apply
from shared.secagg.packing import lane
from shared.tasks import Task
from simulations.attacks.digits import draw
from simulations.attacks.plans import SILENCE, key, noise_for, plan_for, stream

EPSILONS = (math.inf, 8.0, 2.0)

STEPS = 8
"""Of a round whose noise is the device's own."""

DEVICES = 10
"""In a sum; all of them are in it, so that it carries no more noise than epsilon takes."""

_SEED = bytes(32)
"""Of the rotation, which is public."""

_OTHERS = 2
"""The seed of the other devices' rows."""

_FINE, _ROOM = 30, 48
"""Bits behind the point, and in all, of a sum that is to say everything."""

Vectors = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What is seen of each row, shape `(rows, size)`: its gradient in units of the clip, and what lies on top.

    `noise` is the standard deviation of each value's noise; `others` is how many other devices' gradients are in the
    sum. `multiplier` is what the device was charged: noise over one row's sensitivity; infinite under a mask.
    """

    name: str
    epsilon: float | None
    seen: Vectors
    noise: float
    multiplier: float
    others: int = 0


def views(task: Task, rows: Examples) -> Iterator[View]:
    """Every mode: no noise, the device's own noise, under a mask, and in a sum."""
    yield from (local(task, rows, epsilon) for epsilon in EPSILONS)
    parts = updates(task, rows)
    yield masked(task, parts[:, 0])
    yield from (summed(task, parts, epsilon) for epsilon in EPSILONS)


def local(task: Task, rows: Examples, epsilon: float) -> View:
    """Updates with all their noise, as the light trainer returns them."""
    noise = SILENCE if math.isinf(epsilon) else noise_for(epsilon, sample_rate=1.0, steps=STEPS)
    plan, weights = plan_for(task, steps=STEPS, noise_multiplier=noise), initial_weights(task)
    seen = [train(plan, task, weights, row, stream("local", epsilon, number)) for number, row in enumerate(each(rows))]
    noise /= math.sqrt(STEPS)
    return View(
        name="its update", epsilon=epsilon, seen=np.array(seen, np.float64) / (-STEPS * plan.row_move), noise=noise,
        multiplier=noise,
    )  # fmt: skip


def updates(task: Task, rows: Examples) -> Vectors:
    """Of each row's device and of the others in its sum, what they have before any noise: `(rows, DEVICES, size)`."""
    plan, weights = _plan(task), initial_weights(task)
    others = draw(len(rows.labels) * (DEVICES - 1), seed=_OTHERS)
    found = np.empty((len(rows.labels), DEVICES, size(task)))
    found[:, 0] = [noiseless(plan, task, weights, row, stream("sample")) for row in each(rows)]
    theirs = np.array([noiseless(plan, task, weights, row, stream("sample")) for row in each(others)])
    # The digits come in turn; which of them meet in a sum must not tell which one is missing.
    found[:, 1:] = np.random.default_rng(_OTHERS).permutation(theirs).reshape(found[:, 1:].shape)
    return found


def masked(task: Task, parts: Vectors) -> View:
    """One device's vector as it leaves, without any noise in it: under its own mask and one for each other device."""
    plan, noise = _plan(task), _shared_noise(task, math.inf)
    seen = np.empty_like(parts)
    for number, update in enumerate(parts):
        vector = share_of(update, noise, seed=_SEED, stream=stream("masked", number))
        seen[number] = decode(hide(vector, noise.encoding, number), noise.encoding, seed=_SEED)
    seen /= -plan.row_move
    return View(name="its masked vector", epsilon=None, seen=seen, noise=float(seen.std()), multiplier=math.inf)


def summed(task: Task, parts: Vectors, epsilon: float) -> View:
    """Sums of `DEVICES` devices whose masks have cancelled: a row's, and those of others whose rows nobody knows."""
    plan, noise = _plan(task), _shared_noise(task, epsilon)
    seen = np.empty((len(parts), size(task)))
    for number, devices in enumerate(parts):
        randomness = [stream("share", epsilon, number, at) for at in range(DEVICES)]
        shares = [share_of(one, noise, seed=_SEED, stream=own) for one, own in zip(devices, randomness, strict=True)]
        total = np.add.reduce(np.array(shares)) & _all(noise.encoding)
        seen[number] = decode(total, noise.encoding, seed=_SEED)
    spread = math.sqrt(DEVICES) * noise.share_scale * noise.encoding.granularity
    return View(
        name=f"a sum of {DEVICES}", epsilon=epsilon, seen=seen / -plan.row_move, noise=spread / plan.row_move,
        multiplier=record_event(noise).noise_multiplier, others=DEVICES - 1,
    )  # fmt: skip


def hide(vector: NDArray[np.uint64], encoding: Encoding, number: int) -> NDArray[np.uint64]:
    """Put the masks of secure aggregation on residues: its own, and those that cancel in the sum."""
    hidden = vector.astype(lane(encoding.bits))
    apply(hidden, [Mask(key=key("mask", number, other), add=other % 2 == 0) for other in range(DEVICES)])
    return hidden.astype(np.uint64) & _all(encoding)


def each(rows: Examples) -> Iterator[Examples]:
    """One row at a time."""
    for index in range(len(rows.labels)):
        yield Examples(inputs=rows.inputs[index : index + 1], labels=rows.labels[index : index + 1])


def _plan(task: Task) -> RoundPlan:
    """One step over all rows, as secure aggregation has it; a device's one row is all that bounds its update."""
    plan = plan_for(task, steps=1, noise_multiplier=1.0)
    return replace(plan, max_update_norm=plan.row_move)


def _shared_noise(task: Task, epsilon: float) -> DistributedNoise:
    """The plan's noise in shares; as good as none where epsilon is infinite."""
    move = _plan(task).row_move
    if math.isinf(epsilon):
        units = Encoding(length=size(task), bound=move, precision=_FINE, block=1, bits=_ROOM)
        return DistributedNoise(
            encoding=units, share_scale=0.5, devices=DEVICES, threshold=DEVICES, colluders=0, record_clip=move
        )
    demand = Demand(
        length=size(task), bound=move, record_clip=move, devices=DEVICES, threshold=DEVICES, colluders=0,
        noise_multiplier=noise_for(epsilon, sample_rate=1.0, steps=1),
    )  # fmt: skip
    return choose(demand)


def _all(encoding: Encoding) -> np.uint64:
    """The largest residue: every bit of it is one."""
    return np.uint64((1 << encoding.bits) - 1)
