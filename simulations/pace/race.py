"""When a run has learned enough, what that took, and what the devices paid for it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from shared import accounting
from shared.privacy import SampledGaussian
from simulations.fleet.conditions import Behaviour
from simulations.pace.buffered import Buffer, buffered
from simulations.pace.stages import SILENT, STAGES, StageName, Way, world_of
from simulations.pace.synchronous import Rounds, synchronous
from simulations.pace.world import Moment, Weights

HOLDS = 3
"""Looks in a row at which a target must be met: one alone may be luck."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How both ways are run: as many devices work at once in either, and both give up after so many trips."""

    concurrency: int = 260
    over_selection: float = 1.3
    buffer: int = 10
    max_staleness: int = 1000
    most_trips: int = 30_000

    @property
    def rounds(self) -> Rounds:
        """The rounds that keep so many at work."""
        return Rounds(goal=int(self.concurrency / self.over_selection + 1e-9), over_selection=self.over_selection)

    @property
    def buffered(self) -> Buffer:
        """The buffer that does."""
        return Buffer(concurrency=self.concurrency, size=self.buffer, max_staleness=self.max_staleness)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reached:
    """What a run took until its target was met: cumulative counts, virtual seconds, and epsilon of who paid.

    The three epsilons are the median, the 95th percentile and the largest; None where no noise protects anybody.
    """

    seconds: float
    steps: int
    trips: int
    updates: int
    wasted: int
    payers: int
    epsilons: tuple[float, float, float] | None = None


def race(stage: StageName, way: Way, folder: Path, pace: Pace, behaviour: Behaviour, seed: int) -> Reached | None:
    """Run a prepared stage one way until it has learned; None if it does not."""
    world, measure = world_of(STAGES[stage], way, folder, behaviour=behaviour, seed=seed)
    moments = synchronous(world, pace.rounds) if way == "rounds" else buffered(world, pace.buffered)
    found = reach(moments, measure, STAGES[stage].target, every=pace.rounds.goal, most_trips=pace.most_trips)
    return found and as_paid(found, world.plan.event, delta=1e-5)


def reach(
    moments: Iterable[Moment], measure: Callable[[Weights], float], target: float, *, every: int, most_trips: int
) -> Moment | None:
    """The first look at which a target is met that is met at the next looks too; a look each `every` updates.

    None if that does not happen within so many trips. What is returned is a copy.
    """
    first, streak, due = None, 0, 0
    for moment in moments:
        if moment.updates >= due:
            due = moment.updates + every
            streak = streak + 1 if measure(moment.weights) >= target else 0
            if streak == 1:
                first = replace(moment, paid=moment.paid.copy())
            if streak == HOLDS:
                return first
        if moment.trips > most_trips:
            return None
    return None


def as_paid(moment: Moment, event: SampledGaussian, *, delta: float) -> Reached:
    """What devices have paid in ledgers like theirs, by the times they were charged."""
    times = moment.paid[moment.paid > 0]
    epsilons = None
    if event.noise_multiplier > SILENT and len(times):
        cost = {
            n: accounting.epsilon([replace(event, steps=event.steps * int(n))], delta=delta) for n in np.unique(times)
        }
        each = np.array([cost[n] for n in times])
        epsilons = (float(np.median(each)), float(np.quantile(each, 0.95)), float(each.max()))
    return Reached(
        seconds=moment.at, steps=moment.steps, trips=moment.trips, updates=moment.updates, wasted=moment.wasted,
        payers=len(times), epsilons=epsilons,
    )  # fmt: skip
