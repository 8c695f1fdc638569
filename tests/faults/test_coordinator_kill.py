"""The coordinator killed at every moment of a run: nothing committed is lost, and the run goes on to its end.

What it costs: a round that was under way is asked for anew, as a new request, so each device that had answered
the first time pays for that round twice. It never pays twice for one request.
"""

import signal
from collections.abc import Callable, Iterator

import pytest
from agents import Agent
from coordinator import until
from flock import Flock, assert_honest, charges

from client.config import AgentHome
from client.installed import current_release
from server import promotion
from shared.models import ModelVersion

pytestmark = pytest.mark.proof
ROUNDS = 3


@pytest.fixture(scope="module")
def flock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flock]:
    flock = Flock(tmp_path_factory.mktemp("flock"), ("ibis", "jay"))
    yield flock
    flock.close()


def answered(agent: Agent, *, since: int) -> bool:
    return [charge.state for charge in charges(agent)[since:]] == ["sent"]


def queued(flock: Flock) -> int:
    """The run is asked for while the coordinator hangs."""
    flock.coordinator.process.send_signal(signal.SIGSTOP)
    return flock.asks_for("start", "--rounds", str(ROUNDS))


def training(flock: Flock) -> int:
    """One device has answered the first round, the other hangs."""
    ibis, jay = flock.agents
    before = len(charges(ibis))
    jay.send(signal.SIGSTOP)
    run = flock.asks_for("start", "--rounds", str(ROUNDS))
    until(lambda: answered(ibis, since=before))
    return run


def just_committed(flock: Flock) -> int:
    """The first round is in the store, since a few milliseconds."""
    run = flock.asks_for("start", "--rounds", str(ROUNDS))
    until(lambda: flock.store.rounds(run), every=0.001)
    return run


def between_rounds(flock: Flock) -> int:
    """The first round is committed, and the second waits for a device that left."""
    ibis, jay = flock.agents
    before = len(charges(ibis))
    jay.send(signal.SIGSTOP)
    run = flock.asks_for("start", "--rounds", str(ROUNDS), "--quorum", "2")
    until(lambda: answered(ibis, since=before))
    ibis.end()
    jay.send(signal.SIGCONT)
    until(
        lambda: (where := flock.store.progress(run)) and (where.round_number, where.phase) == (2, "waiting for devices")
    )
    return run


MOMENTS: list[tuple[Callable[[Flock], int], int]] = [
    (queued, 0), (training, 0), (just_committed, 1), (between_rounds, 1),
]  # fmt: skip


@pytest.mark.parametrize(("moment", "committed"), MOMENTS, ids=lambda value: getattr(value, "__name__", None))
def test_a_campaign_goes_on_after_the_coordinator_was_killed(
    flock: Flock, moment: Callable[[Flock], int], committed: int
) -> None:
    paid = [len(charges(agent)) for agent in flock.agents]
    run = moment(flock)
    flock.kill_coordinator()
    rounds, versions = flock.store.rounds(run), flock.store.versions()
    assert committed <= len(rounds) < ROUNDS
    go_on(flock)

    assert flock.wait_for(run) == "finished"
    assert flock.store.rounds(run)[: len(rounds)] == rounds
    assert flock.store.versions()[: len(versions)] == versions
    assert_unbroken(flock, run)
    for agent, before in zip(flock.agents, paid, strict=True):
        assert_honest(agent)
        assert ROUNDS <= len(charges(agent)) - before <= ROUNDS + 1


def test_a_survey_goes_on_after_the_coordinator_was_killed(flock: Flock) -> None:
    release = promotion.promote(flock.federation, flock.store, flock.store.task("machines"), 1)
    until(
        lambda: all(current_release(AgentHome(agent.home).task("machines")) == release.number for agent in flock.agents)
    )
    ibis, jay = flock.agents
    before = len(charges(ibis))
    jay.send(signal.SIGSTOP)
    run = flock.asks_for("survey", "--role", "reference", "--quorum", "2")
    until(lambda: answered(ibis, since=before))
    flock.kill_coordinator()
    assert flock.store.surveys() == []
    go_on(flock)

    assert flock.wait_for(run) == "finished"
    (survey,) = flock.store.surveys()
    assert (survey.run_id, survey.devices) == (run, 2)
    for agent in (ibis, jay):
        assert_honest(agent)
        assert len(charges(agent)) - before <= 2


def go_on(flock: Flock) -> None:
    """Bring back whatever hangs or has left."""
    for agent in flock.agents:
        if agent.process is None:
            agent.start()
        agent.send(signal.SIGCONT)
    flock.restart_coordinator()


def assert_unbroken(flock: Flock, run: int) -> None:
    """Each round committed one version, made from the one before, and none is missing."""
    rounds = flock.store.rounds(run)
    made: list[ModelVersion] = [version for version in flock.store.versions() if version.run_id == run]
    committed = [result for result in rounds if result.outcome == "committed"]
    assert [result.plan.number for result in rounds] == list(range(1, len(rounds) + 1))
    assert [version.round_number for version in made] == [result.plan.number for result in committed]
    assert [version.parent for version in made] == [result.plan.base_version for result in committed]
    assert [version.parent for version in made[1:]] == [version.number for version in made[:-1]]
    assert len(committed) == ROUNDS
