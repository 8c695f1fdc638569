"""This project on the same workload: the engine alone on one core, and a crew of workers on all of them."""

import atexit
import math
import os
import time
from collections.abc import Callable
from functools import partial

import numpy as np

from client.inputs import Examples
from shared.rounds import RoundPlan
from shared.tasks import Task
from simulations.benchmarks import fleet_engine
from simulations.benchmarks.peers.turns import Contend, Turn, busy, timed
from simulations.benchmarks.peers.workload import BATCH, ROWS, drawn, handed, weights
from simulations.fleet.engine import Engine, Noise
from simulations.fleet.population import Source
from simulations.fleet.streams import device_stream
from simulations.fleet.synthetic import Synthetic
from simulations.fleet.workers import BLOCK, Crew

DEVICES, NOISY_DEVICES, IMAGE_DEVICES, CREW_DEVICES = 2048, 512, 64, 8192
SEED = 0


def fleet_of(devices: int, *, rows: int = ROWS) -> Source:
    """Devices whose rows are made when they are asked for, from their number: a million take no room."""
    task = fleet_engine.mlp_task()
    return partial(Synthetic, task.inputs, len(task.label.classes), devices, seed=SEED, least=rows, most=rows)


def plain() -> Contend:
    """Rows that are handed over, no noise, no clip of an example: what peers compute."""
    return _engine(fleet_engine.mlp_task(), fleet_engine.mlp_plan(clip=math.inf), handed, "none", DEVICES)


def cnn() -> Contend:
    """The same with the small convolutional network."""
    return _engine(fleet_engine.cnn_task(), fleet_engine.mlp_plan(clip=math.inf), handed, "none", IMAGE_DEVICES)


def sampled() -> Contend:
    """No noise, but each step's rows are drawn."""
    return _engine(fleet_engine.mlp_task(), plan_of("none"), drawn, "none", DEVICES)


def exact() -> Contend:
    """DP-SGD with the noise that ships: AES-256, a 53-bit radius, float64, to the bit what a device adds."""
    return _engine(fleet_engine.mlp_task(), plan_of("exact"), drawn, "exact", NOISY_DEVICES)


def quick() -> Contend:
    """DP-SGD with the engine's quicker noise, which is for rehearsals only."""
    return _engine(fleet_engine.mlp_task(), plan_of("quick"), drawn, "quick", NOISY_DEVICES)


def plan_of(noise: Noise) -> RoundPlan:
    """The workload's plan with rows drawn; examples are clipped where there is noise to cover them."""
    return fleet_engine.mlp_plan(drawn=True, clip=math.inf if noise == "none" else 1.0)


def crew() -> Contend:
    """All cores, a worker each: rows made on the way and all taken in each step, sums taken up by this process."""
    return _crew(fleet_engine.mlp_plan(clip=math.inf), rows=BATCH)


def crew_drawn() -> Contend:
    """The same, each step's rows drawn from eighty."""
    return _crew(plan_of("none"), rows=ROWS)


def _crew(plan: RoundPlan, *, rows: int) -> Contend:
    task = fleet_engine.mlp_task()
    workers = Crew(fleet_of(CREW_DEVICES, rows=rows), task, workers=len(os.sched_getaffinity(0)))
    atexit.register(workers.__exit__, None, None, None)

    def turn() -> Turn:
        wall, cpu = time.perf_counter(), busy()
        list(workers.sums(plan, weights(task), [range(CREW_DEVICES)], seed=SEED, noise="none"))
        return Turn(updates=CREW_DEVICES, wall=time.perf_counter() - wall, cpu=busy() - cpu)

    return turn


def _engine(task: Task, plan: RoundPlan, rows: Callable[[Task, int], Examples], noise: Noise, count: int) -> Contend:
    """Blocks as a crew's worker takes them, added up to one sum."""
    engine, start = Engine(task), weights(task)
    devices = [rows(task, device) for device in range(count)]

    def act() -> None:
        total = np.zeros(len(start))
        for first in range(0, count, BLOCK):
            block = devices[first : first + BLOCK]
            streams = [device_stream(SEED, 1, first + index) for index in range(len(block))]
            total += engine.train(plan, start, block, streams, noise=noise).sum(axis=0, dtype=np.float64)

    return timed(count, act)
