"""Which granularity, rotation and modulus a plan should take: the fewest bits that privacy and accuracy leave.

Privacy is never traded here: whatever the grid, the share of noise is solved for so that the worst case reaches the
noise multiplier asked for. A coarser grid pays in noise (`DistributedNoise`'s scale over the ideal one) for bits.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import takewhile

from shared.distributed import LARGEST_SHARE, DistributedNoise, share_scale
from shared.errors import InputError
from shared.secagg.encoding import Encoding
from shared.secagg.sizing import bits_needed

_SMALLEST_BLOCK = 32
_FINEST = 26
"""No grid is finer than 2^-26 of the record's clip: beyond it rounding costs less than float32 does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """What a plan asks of its noise: values a vector, devices, both bounds, and the worst case's noise multiplier."""

    length: int
    bound: float
    record_clip: float
    devices: int
    threshold: int
    colluders: int
    noise_multiplier: float


def choose(demand: Demand, *, bits: int | None = None, loss: float = 0.01) -> DistributedNoise:
    """Return the plan's noise with the smallest upload whose noise exceeds the continuous Gaussian's by at most `loss`.

    With `bits`, the plan with least noise whose modulus has at most so many. Raises `InputError` if there is none.
    """
    best = [
        plan for block in _blocks(demand.length) if (plan := _best(demand, block, bits=bits, loss=loss)) is not None
    ]
    if not best:
        limit = f"{bits} bits" if bits is not None else f"{100 * loss:g} % more noise"
        raise InputError(
            f"No encoding of {demand.length} values from {demand.devices} devices keeps within {limit}. "
            "Allow more, or lower the update's bound."
        )
    if bits is None:
        return min(best, key=lambda plan: plan.encoding.bits * plan.encoding.padded)
    return min(best, key=lambda plan: (plan.share_scale * plan.encoding.granularity, plan.encoding.padded))


def _best(demand: Demand, block: int, *, bits: int | None, loss: float) -> DistributedNoise | None:
    """The coarsest grid within `loss`, or the finest within `bits`: finer grids take more bits and less noise."""
    plans = _at(demand, block)
    if bits is None:
        return next((plan for plan in plans if excess(plan, demand.noise_multiplier) <= loss), None)
    fitting = list(takewhile(lambda plan: plan.encoding.bits <= bits, plans))
    return fitting[-1] if fitting else None


def excess(plan: DistributedNoise, noise_multiplier: float) -> float:
    """How much more noise the honest shares add than a Gaussian on unrounded values would: 0.01 is one percent."""
    deviation = math.sqrt(plan.honest) * plan.share_scale * plan.encoding.granularity
    return deviation / (noise_multiplier * plan.record_clip) - 1


def _blocks(length: int) -> Iterator[int]:
    """No rotation (short vectors gain nothing by one), and blocks up to the whole vector."""
    yield 1
    block = _SMALLEST_BLOCK
    while block < 2 * length:
        yield block
        block *= 2


def _at(demand: Demand, block: int) -> Iterator[DistributedNoise]:
    """Plans with this block, from a coarse grid to the finest whose share the devices' table holds."""
    coarse = -math.floor(math.log2(demand.record_clip))
    for precision in range(coarse, coarse + _FINEST + 1):
        grid = Encoding(length=demand.length, bound=demand.bound, precision=precision, block=block, bits=2)
        scale = share_scale(
            noise_multiplier=demand.noise_multiplier,
            encoding=grid,
            record_clip=demand.record_clip,
            threshold=demand.threshold,
            colluders=demand.colluders,
        )
        if scale > LARGEST_SHARE:
            return
        yield DistributedNoise(
            encoding=replace(grid, bits=bits_needed(grid, devices=demand.devices, share_scale=scale)),
            share_scale=scale,
            devices=demand.devices,
            threshold=demand.threshold,
            colluders=demand.colluders,
            record_clip=demand.record_clip,
        )
