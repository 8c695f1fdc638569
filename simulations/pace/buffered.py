"""Buffered asynchronous aggregation: no rounds; whoever is done is replaced, and each K answers make a step.

FedBuff: Nguyen et al. (2022), "Federated Learning with Buffered Asynchronous Aggregation", algorithm 1.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from simulations.pace.clock import Clock
from simulations.pace.world import LOOK_SECONDS, Job, Moment, Run, Weights, World, waited


@dataclass(frozen=True, slots=True, kw_only=True)
class Buffer:
    """Keep `concurrency` devices at work, and step with each `size` answers.

    An answer that `staleness` steps have overtaken weighs 1 / sqrt(1 + staleness), if `discounted`; above
    `max_staleness` it is thrown away.
    """

    concurrency: int
    size: int
    max_staleness: int = 1000
    discounted: bool = True

    def __post_init__(self) -> None:
        """Refuse a buffer that never fills."""
        if self.concurrency < 1 or self.size < 1 or self.max_staleness < 0:
            raise ValueError("concurrency and size are 1 or more, and max_staleness 0 or more")

    def weight(self, staleness: int) -> float:
        """What an answer counts for, where 1 is a fresh one's."""
        return 1 / math.sqrt(1 + staleness) if self.discounted else 1.0


@dataclass(slots=True, kw_only=True)
class _Held:
    """What has come since the last step: its weighted sum, and how many it is; who works, and whether to look again.

    `waiting` are the jobs of each version that have not been computed yet, `ready` what devices at work will send: all
    that began with the same weights are computed at once, when the first of them answers.
    """

    total: NDArray[np.float64]
    count: int = field(default=0)
    working: int = field(default=0)
    looking: bool = field(default=False)
    waiting: dict[int, list[Job]] = field(default_factory=dict[int, list[Job]])
    ready: dict[int, Weights | None] = field(default_factory=dict[int, "Weights | None"])


def buffered(world: World, buffer: Buffer) -> Iterator[Moment]:
    """Run for ever; what is told after each step is cumulative.

    A device computes from the weights that it was sent when it began. The sum is divided by K, not by the weights' sum:
    what is stale moves the weights less. All that comes at one time is taken in before anybody else begins.
    """
    run, clock = Run.begin(world), Clock[Job | None](world.begins)
    held, since = _Held(total=np.zeros(len(world.start))), clock.now
    while True:
        _fill(run, clock, buffer, held)
        for job in clock.together():
            if job is None:
                held.looking = False
                continue
            held.working, since = held.working - 1, clock.now
            run.busy[job.device] = False
            if _take(run, job, held, buffer):
                yield run.moment(clock.now)
        waited(since, clock.now)


def _fill(run: Run, clock: Clock[Job | None], buffer: Buffer, held: _Held) -> None:
    """Let devices begin until there are enough at work; look again later if too few are online."""
    if held.working < buffer.concurrency:
        for device in run.pick(buffer.concurrency - held.working, clock.now):
            job = run.send(device, clock.now)
            clock.after(job.seconds, job)
            held.working += 1
            if job.answers:
                held.waiting.setdefault(job.version, []).append(job)
    if held.working < buffer.concurrency and not held.looking:
        clock.after(LOOK_SECONDS, None)
        held.looking = True


def _take(run: Run, job: Job, held: _Held, buffer: Buffer) -> bool:
    """Take in what a device sends, if it does; whether that made a step."""
    staleness = run.steps - job.version
    update = _update(run, job, held) if job.answers else None
    if update is None or staleness > buffer.max_staleness:
        run.wasted += job.paid
        return False
    held.total += buffer.weight(staleness) * update.astype(np.float64)
    held.count += 1
    if held.count < buffer.size:
        return False
    run.apply(held.total / buffer.size, held.count)
    held.total, held.count = np.zeros_like(held.total), 0
    return True


def _update(run: Run, job: Job, held: _Held) -> Weights | None:
    """What a device sends, computed with those of all that began with the same weights and have not been yet."""
    if job.device not in held.ready:
        jobs = held.waiting.pop(job.version)
        held.ready.update(zip((each.device for each in jobs), run.updates_of(jobs), strict=True))
    return held.ready.pop(job.device)
