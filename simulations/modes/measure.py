"""What is measured of one fleet: whole rehearsals, and bands of repeated campaigns; each a job for a process of its own."""

import logging
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from client.inputs import Examples
from shared import accounting
from shared.privacy import LEVELS, Level, Trust
from shared.rounds import RoundPlan
from shared.tasks import Task, Window
from shared.training import Training
from simulations.modes.aircraft import Fleet, Noise, fly
from simulations.modes.numerics import campaign
from simulations.modes.settings import Kind, mode_of, offering

Weights = NDArray[np.float32]
SAY_ROUNDS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """A fleet to compare modes on: one data file a device, when its rows teach and when they test.

    `trainings` say how each kind trains so that it costs an epsilon.
    """

    name: str
    task: Task
    files: Mapping[str, Path]
    train: Window
    test: Window
    trainings: Mapping[tuple[Kind, float], Training]

    def offered(self, kind: Kind, epsilon: float) -> Task:
        """The task, offering this kind at this epsilon."""
        return offering(self.task, kind, self.trainings[kind, epsilon])


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """What a campaign costs a row or a device at each level, where that is a promise at all; and against whom it holds."""

    epsilon: Mapping[Level, float]
    trust: Trust


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """The last weights of several campaigns that differ by their noise alone; `bits` a value where a sum is masked."""

    weights: tuple[Weights, ...]
    price: Price
    bits: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One campaign through the server and the clients: its last weights, its price by the ledgers, and what it took."""

    weights: Weights
    price: Price
    bits: int | None
    bytes_up: float
    seconds: float


def band(comparison: Comparison, kind: Kind, epsilon: float, repeats: int) -> Band:
    """Repeat a campaign without Flower in between."""
    offered, mode = comparison.offered(kind, epsilon), mode_of(kind)
    devices = examples(comparison, comparison.train)
    found = [campaign(offered, mode, devices) for _ in range(repeats)]
    plan, rounds = found[-1][1], comparison.trainings[kind, epsilon].rounds
    return Band(weights=tuple(weights for weights, _ in found), price=priced(plan, rounds, offered), bits=_bits(plan))


def run(comparison: Comparison, kind: Kind, epsilon: float) -> Run:
    """Rehearse a campaign; says on stderr how far it is."""
    from simulations.modes.rehearsal import rehearsal

    logging.getLogger("flwr").setLevel(logging.ERROR)
    offered, rounds = comparison.offered(kind, epsilon), comparison.trainings[kind, epsilon].rounds

    def say(number: int) -> None:
        if number % SAY_ROUNDS == 0:
            sys.stderr.write(f"{comparison.name} {kind} at {epsilon:g}: round {number} of {rounds}\n")

    found = rehearsal(offered, mode_of(kind), comparison.files, window=comparison.train, say=say)
    return Run(
        weights=found.weights, price=Price(epsilon=found.spent, trust=found.last.plan.cost.trust),
        bits=_bits(found.last.plan), bytes_up=found.bytes_up, seconds=found.seconds,
    )  # fmt: skip


def flights_of(task: Task, fleet: Fleet, noise: Noise, epsilon: float, repeats: int) -> Band:
    """Repeat a campaign over aircraft."""
    found = [fly(task, fleet, noise, epsilon) for _ in range(repeats)]
    return Band(weights=tuple(each.weights for each in found), price=priced(found[-1].last, 1, task))


def priced(plan: RoundPlan, times: int, task: Task) -> Price:
    """What a plan costs, so many times over, where its mode gives a level at all."""
    cost, delta = plan.cost.times(times), task.privacy.delta
    found: dict[Level, float] = {
        level: accounting.epsilon(cost.at(level), delta=delta) for level in LEVELS if cost.at(level)
    }
    if cost.trust == "everyone":
        found["alone"] = found["record"]
    return Price(epsilon=found, trust=cost.trust)


def examples(comparison: Comparison, window: Window) -> list[Examples]:
    """Each device's examples of a window, in the order of their names."""
    return [_read(path, comparison.task, window) for _, path in sorted(comparison.files.items())]


def pooled(comparison: Comparison, window: Window) -> Examples:
    """All devices' examples of a window in one heap, as nobody in the federation can."""
    parts = examples(comparison, window)
    inputs, labels = [part.inputs for part in parts], [part.labels for part in parts]
    return Examples(inputs=np.concatenate(inputs), labels=np.concatenate(labels))


@cache
def _read(path: Path, task: Task, window: Window) -> Examples:
    from client.dataset import read_examples

    return read_examples(path, task, window)


def _bits(plan: RoundPlan) -> int | None:
    return plan.secure.noise.encoding.bits if plan.secure else None
