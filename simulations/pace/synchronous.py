"""Synchronous rounds with over-selection, as the coordinator runs them: the first that answer count."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from simulations.pace.clock import Clock
from simulations.pace.world import LOOK_SECONDS, Job, Moment, Run, World, waited


@dataclass(frozen=True, slots=True, kw_only=True)
class Rounds:
    """Ask `over_selection * goal` devices and close when `goal` have answered, or at the deadline if a `quorum` has.

    Bonawitz et al. (2019), "Towards Federated Learning at Scale", section 2.2; they ask 1.3 times as many.
    """

    goal: int
    over_selection: float = 1.3
    quorum: float = 0.5
    deadline_seconds: float = 1200.0

    def __post_init__(self) -> None:
        """Refuse rounds that cannot close."""
        if self.goal < 1 or self.over_selection < 1 or not 0 < self.quorum <= 1 or not self.deadline_seconds > 0:
            raise ValueError("a goal is 1 or more, over_selection too, quorum in (0, 1], deadline_seconds positive")

    @property
    def asked(self) -> int:
        """How many devices work at once."""
        return math.ceil(self.goal * self.over_selection - 1e-9)


def synchronous(world: World, rounds: Rounds) -> Iterator[Moment]:
    """Run rounds for ever; what is told after each is cumulative.

    Who answers after a round has closed has paid for nothing; it is free for the next one only when it is done.
    """
    run, clock = Run.begin(world), Clock[Job](world.begins)
    while True:
        asked = _select(run, clock, rounds)
        counted, closes = _close(asked, rounds)
        end = clock.now + closes
        for job in asked:
            clock.after(job.seconds, job)
        for done in clock.until(end):
            run.busy[done.device] = False
        updates = [update for update in run.updates_of(counted) if update is not None]
        enough = len(updates) >= rounds.quorum * rounds.goal
        if enough:
            run.apply(np.asarray(np.mean(np.stack(updates), axis=0, dtype=np.float64)), len(updates))
        run.wasted += sum(job.paid for job in asked) - (len(updates) if enough else 0)
        yield run.moment(clock.now)


def _select(run: Run, clock: Clock[Job], rounds: Rounds) -> list[Job]:
    """Who is asked; the clock goes on until there are as many as the goal."""
    since = clock.now
    while len(chosen := run.pick(rounds.asked, clock.now)) < rounds.goal:
        waited(since, clock.now)
        for done in clock.until(clock.now + LOOK_SECONDS):
            run.busy[done.device] = False
    return [run.send(device, clock.now) for device in chosen]


def _close(asked: list[Job], rounds: Rounds) -> tuple[list[Job], float]:
    """Which answers count, in the order in which the devices were asked, and after how many seconds a round closes."""
    answers = sorted((job.seconds, index) for index, job in enumerate(asked) if job.answers)
    in_time = [each for each in answers if each[0] <= rounds.deadline_seconds][: rounds.goal]
    full = len(in_time) == rounds.goal
    # Nobody is left to wait for once all have answered, or are known to be gone.
    last = in_time[-1][0] if full else min(rounds.deadline_seconds, max(job.seconds for job in asked))
    return [asked[index] for index in sorted(index for _, index in in_time)], last
