"""Device-level privacy from a coordinator that is trusted: thousands of aircraft, each with a few flights.

Every aircraft takes part once in a campaign. At an equal epsilon for whole devices, noise is drawn anew each round
under a fixed bound, or under one that adapts, or is correlated over the rounds (DP-FTRL).
"""

import secrets
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from client.inputs import Examples
from server import central
from server.plans import plan_round
from server.strategy import step
from shared import accounting
from shared.architecture import initial_weights
from shared.central import CentralRound, sensitivity
from shared.modes import Central
from shared.rounds import RoundPlan, RoundResult
from shared.tasks import Task
from shared.training import Training
from simulations.modes.numerics import Weights, bounded, request_of
from simulations.modes.settings import MARCH, SILENT, WINTER, noise_for

Noise = Literal["none", "independent", "adaptive", "correlated"]
NOISES: tuple[Noise, ...] = ("none", "independent", "adaptive", "correlated")
ROUNDS = 40
KEY = ("origin", "carrier", "destination", "scheduled_departure")

TRAINING = Training(
    rounds=ROUNDS, sample_rate=1.0, steps=1, normalizer=10.0, learning_rate=3.0, max_grad_norm=1.0,
    noise_multiplier=1.0, max_update_norm=0.3, server_momentum=0.5,
)  # fmt: skip


def training_of(noise: Noise, epsilon: float) -> Training:
    """What did best on every third aircraft, of which none is scored (docs/decisions/0005).

    The bound that adapts begins at three times the one that was chosen, as if nobody had known it.
    """
    return {
        "none": replace(TRAINING, max_update_norm=1.0, server_learning_rate=0.6, server_momentum=0.9),
        "independent": replace(TRAINING, server_learning_rate=0.6 if epsilon > 2 else 0.3),
        "adaptive": replace(TRAINING, max_update_norm=1.0, server_learning_rate=0.3, server_momentum=0.0),
        "correlated": TRAINING,
    }[noise]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """Each aircraft's winter, and the March of all of them."""

    devices: tuple[Examples, ...]
    test: Examples

    @property
    def cohort(self) -> int:
        """How many are asked in a round, if each is asked once."""
        return len(self.devices) // ROUNDS


@dataclass(frozen=True, slots=True, kw_only=True)
class Flown:
    """What a campaign came to: the last weights, the last plan, and what a device that took part once has paid."""

    weights: Weights
    last: RoundPlan
    device: float
    record: float


def read_fleet(task: Task, *, scored: bool = True) -> Fleet:
    """The two thirds of aircraft that are scored, or the third that settings were chosen on."""
    from client.dataset import read_examples

    rows = _rows()
    with tempfile.TemporaryDirectory(prefix="covey-modes-") as folder:
        path = Path(folder) / "aircraft.parquet"
        rows.drop("tailnum").write_parquet(path)
        winter, march = read_examples(path, task, WINTER), read_examples(path, task, MARCH)
    flown = rows["scheduled_departure"].dt.month() <= 2
    tails = {name: index for index, name in enumerate(sorted(set(rows.filter(flown)["tailnum"])))}
    kept = {name for name, index in tails.items() if (index % 3 != 0) == scored}
    devices = _split(winter, rows.filter(flown)["tailnum"].to_list(), kept)
    mine = np.array([name in kept for name in rows.filter(~flown)["tailnum"]])
    return Fleet(devices=devices, test=Examples(inputs=march.inputs[mine], labels=march.labels[mine]))


def fly(task: Task, fleet: Fleet, noise: Noise, epsilon: float) -> Flown:
    """Run one campaign over the fleet in a fresh order, each aircraft once, at `epsilon` for whole devices."""
    offered = _offering(task, noise, epsilon)
    request = request_of(offered, "central", cohort=fleet.cohort)
    order = np.random.default_rng(secrets.randbits(64)).permutation(len(fleet.devices))
    weights, key = initial_weights(task), secrets.token_bytes(32)
    momentum, done = np.zeros_like(weights), list[RoundResult]()
    for number in range(1, ROUNDS + 1):
        plan = plan_round(1, number, offered, number, request, done=done)
        chosen = order[(number - 1) * fleet.cohort : number * fleet.cohort]
        mean, within = _round(plan, offered, weights, [fleet.devices[index] for index in chosen], key)
        weights, momentum = step(weights, mean, momentum, request.training)
        done.append(_result(plan, within))
    plan, delta = done[-1].plan, task.privacy.delta
    return Flown(
        weights=weights, last=plan, device=accounting.epsilon(plan.cost.device, delta=delta),
        record=accounting.epsilon(plan.cost.record, delta=delta),
    )  # fmt: skip


def _round(
    plan: RoundPlan, task: Task, weights: Weights, devices: Sequence[Examples], key: bytes
) -> tuple[NDArray[np.float64], float | None]:
    """The noisy mean, and the noisy share of updates within the bound where the plan asks for it."""
    updates = bounded(plan, task, weights, devices)
    below = [float(np.linalg.norm(each)) < plan.max_update_norm * (1 - 1e-6) for each in updates]
    mean = central.noisy_mean(plan, updates, divisor=len(devices), key=key)
    return mean, central.noisy_share(plan, below)


def _offering(task: Task, noise: Noise, epsilon: float) -> Task:
    """The task with central noise for whole devices that cost `epsilon` if each takes part once."""
    training = training_of(noise, epsilon)
    once = SILENT if noise == "none" else noise_for(epsilon, steps=1, sample_rate=1.0, delta=task.privacy.delta)
    if noise == "correlated":
        once *= sensitivity(CentralRound(unit="device", noise="correlated", rounds=training.rounds))
    terms = Central(
        training=replace(training, noise_multiplier=once), min_noise_multiplier=once, unit="device",
        noise="correlated" if noise == "correlated" else "independent",
        quantile=0.5 if noise == "adaptive" else None,
    )  # fmt: skip
    return replace(task, central=terms)


def _result(plan: RoundPlan, within: float | None) -> RoundResult:
    """A committed round, as the next plan needs to know it."""
    return RoundResult(
        plan=plan, cohort=(), returned=(), started_at=0.0, finished_at=0.0, outcome="committed", within=within
    )


def _rows() -> pl.DataFrame:
    """January to March with the aircraft of each flight, where its timetable tells which one it was."""
    from simulations import flights

    clock = pl.col("sched_dep_time")
    departure = pl.datetime(2013, pl.col("month"), pl.col("day"), clock // 100, clock % 100)
    named = flights.flights().select(
        "origin", "carrier", "tailnum", pl.col("dest").alias("destination"), departure.alias("scheduled_departure")
    )
    named = named.unique(KEY, keep="none").filter(pl.col("tailnum").is_not_null())
    first = flights.table().filter(pl.col("scheduled_departure").dt.month() <= 3)
    return first.join(named, on=KEY, how="inner", maintain_order="left")


def _split(examples: Examples, names: Sequence[str], kept: set[str]) -> tuple[Examples, ...]:
    """Each kept name's own examples; `names` has one for each of them."""
    order = np.argsort(np.array(names), kind="stable")
    sorted_names = np.array(names)[order]
    ends = np.flatnonzero(sorted_names[1:] != sorted_names[:-1]) + 1
    return tuple(
        Examples(inputs=examples.inputs[rows], labels=examples.labels[rows])
        for rows in np.split(order, ends)
        if names[rows[0]] in kept
    )
