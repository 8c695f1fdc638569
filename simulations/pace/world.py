"""What both ways have in common: devices, how they train, when they are there, what they pay, and the server's step."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from server.strategy import check_update, step
from shared.errors import InputError, WireError
from shared.noise import CipherStream
from shared.rounds import RoundPlan
from shared.tasks import Task
from shared.training import Training
from simulations.fleet.conditions import Conditions
from simulations.fleet.engine import Engine, Noise
from simulations.fleet.population import Population
from simulations.fleet.streams import device_stream, generator

Weights = NDArray[np.float32]
Train = Callable[[RoundPlan, Sequence[int], Weights, Sequence[CipherStream]], Weights]
"""A plan, devices, weights `(size,)` and the devices' streams to their updates `(devices, size)`."""

LOOK_SECONDS, LONGEST_WAIT = 60.0, 2 * 86_400.0
"""How often a server that waits for devices looks again, and when it gives up."""

NOTICED_SECONDS = 55.0
"""How long Flower takes to notice that a node is gone: two missed heartbeats."""


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """A federation that can be run either way.

    `start` is `(size,)`; `work`, `(devices,)`, the examples that a turn goes over; `begins` is in virtual seconds.
    """

    plan: RoundPlan
    training: Training
    start: Weights
    train: Train
    work: NDArray[np.float64]
    conditions: Conditions
    seed: int
    begins: float = 0.0

    @property
    def devices(self) -> int:
        """How many there are."""
        return len(self.work)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One device's turn: the `number`-th of its own, from the weights of a `version`; it ends as its fate says."""

    device: int
    number: int
    version: int
    weights: Weights
    answers: bool
    seconds: float
    paid: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """How things stand after a server step, `at` so many virtual seconds from the beginning.

    `trips` are turns that began (each a download and a charge, but for who was gone by then); `updates` those that were
    aggregated; `wasted` those that were charged and are known not to be; `paid` how often each device was charged. All
    counts are cumulative; the arrays are the run's own, and go on changing.
    """

    at: float
    steps: int
    trips: int
    updates: int
    wasted: int
    weights: Weights
    paid: NDArray[np.int32]


@dataclass(slots=True, kw_only=True)
class Run:
    """One run's devices and server, whichever way it goes."""

    world: World
    weights: Weights
    momentum: Weights
    busy: NDArray[np.bool_]
    paid: NDArray[np.int32]
    turns: NDArray[np.int32]
    steps: int = 0
    trips: int = 0
    updates: int = 0
    wasted: int = 0
    picks: int = field(default=0)

    @classmethod
    def begin(cls, world: World) -> "Run":
        """Nobody is busy and nobody has paid."""
        zeros = np.zeros_like(world.start)
        counts = np.zeros((2, world.devices), np.int32)
        return cls(
            world=world, weights=world.start, momentum=zeros, busy=np.zeros(world.devices, np.bool_), paid=counts[0],
            turns=counts[1],
        )  # fmt: skip

    def pick(self, most: int, at: float) -> list[int]:
        """Up to `most` of the devices that are online and free, at random."""
        free = np.flatnonzero(self.world.conditions.online(at) & ~self.busy)
        self.picks += 1
        chosen = generator(self.world.seed, "pick", self.picks).choice(free, min(most, len(free)), replace=False)
        return sorted(chosen.tolist())

    def send(self, device: int, at: float) -> Job:
        """Let a device begin: it pays, and its fate is sealed."""
        self.turns[device] += 1
        self.trips += 1
        number = int(self.turns[device])
        fate = self.world.conditions.fate(device, number, at, float(self.world.work[device]))
        self.busy[device] = True
        self.paid[device] += fate.paid
        seconds = fate.seconds + (NOTICED_SECONDS if fate.kind == "drops" else 0)
        return Job(
            device=device, number=number, version=self.steps, weights=self.weights, answers=fate.kind != "drops",
            seconds=seconds, paid=fate.paid,
        )  # fmt: skip

    def updates_of(self, jobs: Sequence[Job]) -> list[Weights | None]:
        """What devices send that began with the same weights, computed from those; None where the server refuses it."""
        streams = [device_stream(self.world.seed, job.number, job.device) for job in jobs]
        devices = [job.device for job in jobs]
        updates = self.world.train(self.world.plan, devices, jobs[0].weights, streams) if jobs else ()
        return [update if _is_accepted(update, self.world.plan) else None for update in updates]

    def apply(self, mean: NDArray[np.float64], updates: int) -> None:
        """The server step that ships."""
        self.weights, self.momentum = step(self.weights, mean, self.momentum, self.world.training)
        self.steps += 1
        self.updates += updates

    def moment(self, at: float) -> Moment:
        """How things stand."""
        return Moment(
            at=at - self.world.begins, steps=self.steps, trips=self.trips, updates=self.updates, wasted=self.wasted,
            weights=self.weights, paid=self.paid,
        )  # fmt: skip


def _is_accepted(update: Weights, plan: RoundPlan) -> bool:
    try:
        check_update(update, plan)
    except WireError:
        return False
    return True


def trainer(task: Task, population: Population, *, noise: Noise) -> Train:
    """The engine over a population's rows of the plan's window: what the light trainer gives each device."""
    engine = Engine(task)

    def train(plan: RoundPlan, devices: Sequence[int], weights: Weights, streams: Sequence[CipherStream]) -> Weights:
        examples = [population.examples(device, plan.window) for device in devices]
        return engine.train(plan, weights, examples, streams, noise=noise)

    return train


def waited(since: float, now: float) -> None:
    """Raise `InputError` when a server has waited for devices for too long."""
    if now - since > LONGEST_WAIT:
        raise InputError(f"for {LONGEST_WAIT / 86_400:g} days too few devices were online and free: ask for fewer")
