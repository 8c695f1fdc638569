"""The side-by-side of privacy modes: that it measures what it says, on a tiny task; and on flights, in `make proofs`."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from machines import machine_rows, small_task

from client.dataset import read_examples
from shared.accounting import epsilon
from shared.modes import Distributed
from shared.privacy import LEVELS, SampledGaussian
from shared.tasks import Window, read_task
from shared.training import Training
from simulations.modes import measure
from simulations.modes.__main__ import TASK_FILE, comparison_of
from simulations.modes.aircraft import ROUNDS, Fleet, fly, read_fleet
from simulations.modes.compare import Extent, compare
from simulations.modes.measure import Comparison
from simulations.modes.numerics import auc_of
from simulations.modes.settings import KINDS, LARGE, SILENT, Kind, noise_for
from simulations.modes.table import table

DEVICES = ("ada", "ben", "cyd", "dot", "eva")
TRAINING = Training(
    rounds=2, sample_rate=1.0, steps=1, normalizer=60.0, learning_rate=1.0, max_grad_norm=1.0, noise_multiplier=1.0,
    max_update_norm=0.5,
)  # fmt: skip
TERMS = Distributed(training=TRAINING, min_cohort=3, threshold=0.7, colluders=0.1, min_noise_multiplier=1.0, bits=32)


def trainings(at: float) -> dict[tuple[Kind, float], Training]:
    """Two rounds of each kind, at one epsilon."""
    sampled = replace(TRAINING, sample_rate=0.25, steps=4, normalizer=16.0)
    plain = {kind: sampled if kind == "sampled" else TRAINING for kind in KINDS}
    noise = {
        kind: SILENT
        if kind == "none"
        else noise_for(at, steps=2 * each.steps, sample_rate=each.sample_rate, delta=1e-5)
        for kind, each in plain.items()
    }
    return {(kind, at): replace(each, noise_multiplier=noise[kind]) for kind, each in plain.items()}


@pytest.fixture
def machines(tmp_path: Path) -> Comparison:
    files = {name: tmp_path / f"{name}.parquet" for name in DEVICES}
    for seed, path in enumerate(files.values()):
        machine_rows(120, seed=seed).write_parquet(path)
    return Comparison(
        name="machines", task=small_task(distributed=TERMS), files=files, train=Window(end="2026-01-20"),
        test=Window(start="2026-01-20"), trainings=trainings(2.0),
    )  # fmt: skip


def test_the_table_is_of_whole_runs_and_of_bands_that_cost_the_same(machines: Comparison) -> None:
    extent = Extent(epsilons=(2.0,), repeats=2, rehearsed=("machines", 2.0))
    said: list[str] = []
    rows = {row["name"]: row for row in compare([machines], extent, workers=1, say=said.append)}
    at = "modes.machines.eps-2"
    for kind in ("local", "sampled", "distributed", "central"):
        assert rows[f"{at}.{kind}.epsilon.record"]["value"] == pytest.approx(2.0, rel=1e-6)
    # What the devices' own ledgers say is what the plans of the bands say, at every level.
    for kind in ("local", "distributed", "central"):
        assert all(rows[f"{at}.{kind}.run.epsilon.{level}"]["meets"] for level in LEVELS)
    assert rows[f"{at}.central.run.epsilon.alone"]["value"] is None
    assert "only sums" in rows[f"{at}.distributed.run.epsilon.record"]["trust"]
    # Without noise a run through server and clients ends where the same functions do without them.
    assert rows[f"{at}.none.run.auc"]["meets"]
    assert rows[f"{at}.none.auc"]["value"] > 0.8
    assert rows[f"{at}.distributed.run.bytes"]["value"] > rows[f"{at}.local.run.bytes"]["value"]
    assert 8 <= rows[f"{at}.distributed.bits"]["value"] <= 32
    assert len(said) == 9


def test_a_person_reads_who_adds_the_noise_and_against_whom_it_holds(machines: Comparison) -> None:
    extent = Extent(epsilons=(2.0,), repeats=2, rehearsed=("", 2.0))
    text = table(compare([machines], extent, workers=1, say=lambda _: None), (2.0,))
    assert "machines: 5 devices, ε 2 for a row" in text
    assert "distributed: each, a share: holds against the coordinator that sees only sums" in text
    assert "whole runs" not in text
    assert text.count("met\n") + text.count("MISSED\n") == 2


@pytest.mark.parametrize(("steps", "rate"), [(30, 1.0), (320, 0.03125), (1, 1.0)])
def test_noise_is_solved_for_and_never_too_little(steps: int, rate: float) -> None:
    noise = noise_for(3.5, steps=steps, sample_rate=rate, delta=1e-5)
    event = SampledGaussian(noise_multiplier=noise, sample_rate=rate, steps=steps)
    assert 3.5 * (1 - 1e-6) < epsilon([event], delta=1e-5) <= 3.5


@pytest.fixture
def swarm(tmp_path: Path) -> Fleet:
    """More devices than rounds, a few rows each."""
    path, test = tmp_path / "all.parquet", tmp_path / "test.parquet"
    machine_rows(480).write_parquet(path)
    machine_rows(400, seed=1).write_parquet(test)
    every = read_examples(path, small_task(), Window())
    devices = tuple(
        measure.Examples(inputs=every.inputs[rows], labels=every.labels[rows]) for rows in np.split(np.arange(480), 120)
    )
    return Fleet(devices=devices, test=read_examples(test, small_task(), Window()))


@pytest.mark.parametrize("noise", ["independent", "adaptive", "correlated"])
def test_whole_devices_pay_the_same_whatever_the_coordinators_noise(swarm: Fleet, noise: str) -> None:
    assert swarm.cohort * ROUNDS <= len(swarm.devices)
    flown = fly(small_task(), swarm, noise, 3.0)  # type: ignore[arg-type]
    assert measure.priced(flown.last, 1, small_task()).epsilon["device"] == pytest.approx(3.0, rel=1e-6)
    assert flown.last.cost.trust == "coordinator"
    assert (flown.last.max_update_norm == 0.3) == (noise != "adaptive")


def test_without_noise_the_swarm_learns(swarm: Fleet) -> None:
    assert auc_of(small_task(), fly(small_task(), swarm, "none", 3.0).weights, swarm.test) > 0.9


@pytest.mark.proof
def test_aircraft_that_settings_were_chosen_on_are_not_scored() -> None:
    task = read_task(TASK_FILE)
    chosen, scored = read_fleet(task, scored=False), read_fleet(task)
    assert 1.9 < len(scored.devices) / len(chosen.devices) < 2.1
    assert len(scored.devices) > 2000
    assert scored.cohort > 50


@pytest.mark.proof
def test_on_flights_shared_noise_beats_local_noise_and_keeps_up_with_central_noise(tmp_path: Path) -> None:
    flights = comparison_of(LARGE, read_task(TASK_FILE), tmp_path)
    extent = Extent(epsilons=(1.0,), repeats=10, rehearsed=("", 1.0))
    rows = {row["name"]: row["value"] for row in compare([flights], extent, workers=1, say=lambda _: None)}
    at = "modes.large-8.eps-1"
    # Nine and thirteen standard errors inside, as measured.
    assert rows[f"{at}.distributed.lift"] > rows[f"{at}.local.lift"]
    assert rows[f"{at}.distributed.lift"] > rows[f"{at}.sampled.lift"]
    assert rows[f"{at}.distributed-over-central"] > 0.97
    run = measure.run(flights, "distributed", 1.0)
    (test,) = [measure.pooled(flights, flights.test)]
    assert auc_of(flights.task, run.weights, test) == pytest.approx(rows[f"{at}.distributed.auc"], abs=0.02)
    assert run.price.epsilon["record"] == pytest.approx(1.0, rel=1e-6)
    assert run.bits == rows[f"{at}.distributed.bits"]
