"""Secure aggregation where it is deployed: `covey serve` over TLS, five agents in processes of their own, one killed."""

import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from coordinator import until
from flock import Flock, assert_honest, charges
from machines import small_task

from client.config import AgentHome
from shared.modes import Distributed
from shared.training import Training

NAMES = ("ada", "ben", "cyd", "dot", "eva")
TRAINING = Training(
    rounds=3, sample_rate=1.0, steps=1, normalizer=400.0, learning_rate=1.0, max_grad_norm=1.0, noise_multiplier=4.0,
    max_update_norm=0.5,
)  # fmt: skip
TERMS = Distributed(
    training=TRAINING, min_cohort=3, threshold=0.7, colluders=0.1, min_noise_multiplier=2.0, bits=32
)  # fmt: skip


@pytest.fixture
def flock(tmp_path: Path) -> Iterator[Flock]:
    opened = Flock(tmp_path, NAMES, task=small_task(distributed=TERMS))
    opened.says("roster")
    until(lambda: all(AgentHome(agent.home).roster.exists() for agent in opened.agents))
    yield opened
    opened.close()


@pytest.mark.proof
def test_a_sum_is_unmasked_whoever_is_killed_in_the_middle(flock: Flock) -> None:
    run = flock.asks_for("start", "--mode", "distributed", "--quorum", "4", "--rounds", "1", "--deadline", "60")
    assert flock.wait_for(run) == "finished"
    (first,) = flock.store.rounds(run)
    assert (first.outcome, first.returned) == ("committed", NAMES)
    assert len({len(charges(agent)) for agent in flock.agents}) == 1

    run = flock.asks_for("start", "--mode", "distributed", "--quorum", "4", "--rounds", "2", "--deadline", "20")
    victim = flock.agents[1]
    until(lambda: (progress := flock.store.progress(run)) and progress.phase != "waiting for devices")
    time.sleep(0.3)
    victim.end(signal.SIGKILL)
    assert flock.wait_for(run) == "finished"
    rounds = flock.store.rounds(run)
    assert sum(result.outcome == "committed" for result in rounds) == 2
    assert set(NAMES) - {"ben"} <= set(rounds[-1].returned)
    for agent in flock.agents:
        assert_honest(agent)


def test_the_terms_that_are_signed_are_those_that_hold() -> None:
    with pytest.raises(ValueError, match="one step over all rows"):
        replace(TERMS, training=replace(TRAINING, steps=2))
