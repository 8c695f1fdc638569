"""The coordinator killed at ten moments of a campaign, each between two calls of its own code, and at one of a survey.

Nothing committed is lost, the run goes on to its end, and no device pays twice for one request. A round that was under
way is asked for anew, as a new request: a device that had answered the first time pays for that round once more.
"""

import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest
from agents import Agent
from coordinator import ROOT, Coordinator, lives, until
from flock import Flock, assert_honest, charges

from client.config import AgentHome
from client.installed import current_release
from server import promotion
from server.config import Federation
from shared.models import ModelVersion
from simulations.load.halting import POINTS, arm

pytestmark = pytest.mark.proof
ROUNDS = 2
MANY = 50
COMMITTED = {"committed": 1, "between rounds": 1}
"""Rounds in the store when the coordinator died; none at the other moments of a campaign."""


class Halting(Coordinator):
    """A coordinator that dies where it is told to."""

    def __init__(self, federation: Federation) -> None:
        self.federation, self.settings = federation, federation.settings()
        command = [sys.executable, "-m", "simulations.load.halting", "--home", str(federation.home), "serve"]
        self.process = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
        )
        assert self.process.stdout is not None
        self.said = self.process.stdout.readline()


@pytest.fixture(scope="module")
def flock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flock]:
    flock = Flock(tmp_path_factory.mktemp("flock"), ("ibis", "jay"))
    assert flock.coordinator.end() == (0, "")
    flock.coordinator = Halting(flock.federation)
    yield flock
    flock.close()


def await_death(flock: Flock, run: int) -> None:
    """Wait until the coordinator has killed itself, and its run's process went with it."""
    assert flock.coordinator.process.wait(300) == -signal.SIGKILL
    flock.coordinator.process.communicate()
    child = flock.coordinator.process_of(run)
    until(lambda: child is None or not lives(child))


@pytest.mark.parametrize("point", POINTS[:9])
def test_a_campaign_survives_a_kill(flock: Flock, point: str) -> None:
    paid = [len(charges(agent)) for agent in flock.agents]
    before = flock.store.rounds()
    wait_until_online(flock)
    arm(flock.federation.home, point)
    held = flock.agents[1] if point == "half returned" else None
    if held:
        held.send(signal.SIGSTOP)
    run = flock.asks_for("start", "--rounds", str(ROUNDS), "--quorum", "2")
    await_death(flock, run)
    rounds, versions = flock.store.rounds(), flock.store.versions()
    assert len(rounds) - len(before) == COMMITTED.get(point, 0)
    if held:
        held.send(signal.SIGCONT)
    flock.coordinator = Halting(flock.federation)

    assert flock.wait_for(run) == "finished"
    assert flock.store.rounds()[: len(rounds)] == rounds
    assert flock.store.versions()[: len(versions)] == versions
    assert_unbroken(flock, run)
    for agent, already in zip(flock.agents, paid, strict=True):
        assert_paid_once(agent, since=already, most=ROUNDS + 1)


def test_a_stopped_campaign_survives_a_kill(flock: Flock) -> None:
    wait_until_online(flock)
    arm(flock.federation.home, "stopping")
    run = flock.asks_for("start", "--rounds", str(MANY))
    until(lambda: flock.store.rounds(run))
    flock.says("stop", str(run))
    await_death(flock, run)
    rounds, versions = flock.store.rounds(run), flock.store.versions()
    assert flock.store.run(run).state == "stopping"
    flock.coordinator = Halting(flock.federation)

    assert flock.wait_for(run) == "stopped"
    assert (flock.store.rounds(run), flock.store.versions()) == (rounds, versions)
    for agent in flock.agents:
        assert_honest(agent)


def test_a_survey_survives_a_kill(flock: Flock) -> None:
    release = promotion.promote(flock.federation, flock.store, flock.store.task("machines"), 1)
    homes = [AgentHome(agent.home).task("machines") for agent in flock.agents]
    until(lambda: all(current_release(home) == release.number for home in homes))
    wait_until_online(flock)
    paid = [len(charges(agent)) for agent in flock.agents]
    arm(flock.federation.home, "survey merged")
    run = flock.asks_for("survey", "--role", "reference", "--quorum", "2")
    await_death(flock, run)
    assert flock.store.surveys() == []
    flock.coordinator = Halting(flock.federation)

    assert flock.wait_for(run) == "finished"
    assert [(survey.run_id, survey.devices) for survey in flock.store.surveys()] == [(run, 2)]
    for agent, already in zip(flock.agents, paid, strict=True):
        assert_paid_once(agent, since=already, most=2)


def wait_until_online(flock: Flock) -> None:
    for agent in flock.agents:
        agent.wait_for_link("online")


def assert_paid_once(agent: Agent, *, since: int, most: int) -> None:
    """No request was paid for twice, and the whole run not more than `most` times."""
    assert_honest(agent)
    assert most - 1 <= len(charges(agent)) - since <= most


def assert_unbroken(flock: Flock, run: int) -> None:
    """Each round committed one version, made from the one before, and none is missing."""
    rounds = flock.store.rounds(run)
    made: list[ModelVersion] = [version for version in flock.store.versions() if version.run_id == run]
    assert [result.plan.number for result in rounds] == list(range(1, len(rounds) + 1))
    committed = [result for result in rounds if result.outcome == "committed"]
    assert len(committed) == ROUNDS
    assert [version.round_number for version in made] == [result.plan.number for result in committed]
    assert [version.parent for version in made] == [result.plan.base_version for result in committed]
