"""An agent killed in the middle of a round costs itself that round at most, never the others; and it comes back.

No round here waits for its deadline of five minutes: these tests would give up long before.
"""

import signal
from collections.abc import Iterator

import pytest
from agents import Agent
from coordinator import until
from flock import Flock, assert_honest, charges

pytestmark = pytest.mark.proof


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flock]:
    flock = Flock(tmp_path_factory.mktemp("flock"), ("fragile", "steady"))
    yield flock
    flock.close()


@pytest.fixture
def flock(fleet: Flock) -> Flock:
    """Both agents online, whatever the test before did to them."""
    for agent in fleet.agents:
        if agent.process is None:
            agent.start()
        agent.wait_for_link("online")
    return fleet


def caught_in_training(flock: Flock, agent: Agent, *words: str) -> int:
    """Start a run; returns once the agent has charged its first round."""
    before = len(charges(agent))
    run = flock.asks_for("start", "--quorum", "1", *words)
    until(lambda: len(charges(agent)) > before)
    return run


def test_an_agent_that_dies_while_it_trains_burns_its_charge_and_joins_the_next_round(flock: Flock) -> None:
    fragile, steady = flock.agents
    run = caught_in_training(flock, fragile, "--rounds", "3")
    fragile.end(signal.SIGKILL)
    fragile.start()
    fragile.wait_for_link("online")

    assert flock.wait_for(run) == "finished"
    first, *later = flock.store.rounds(run)
    assert (first.returned, first.failures) == (("steady",), {"fragile": "went away"})
    assert later[-1].returned == ("fragile", "steady")
    assert charges(fragile)[0].state == "charged"
    until(lambda: {charge.state for charge in charges(fragile)[1:]} == {"sent"})
    for agent in (steady, fragile):
        assert_honest(agent)


def test_an_agent_that_dies_after_it_sealed_sends_the_same_bytes_when_it_is_back(flock: Flock) -> None:
    fragile, _ = flock.agents
    fragile.end()
    fragile.start()
    fragile.wait_for_link("online")
    run = caught_in_training(flock, fragile, "--rounds", "1")
    flock.coordinator.process.send_signal(signal.SIGSTOP)
    request = charges(fragile)[-1].request
    until(lambda: charges(fragile)[-1].state == "sealed")
    # Without the coordinator's countersignature nothing leaves, so this reply was never pushed.
    assert request not in [push.request for push in fragile.pushed]
    fragile.end(signal.SIGKILL)
    flock.coordinator.process.send_signal(signal.SIGCONT)
    fragile.start()

    assert flock.wait_for(run) == "finished"
    (result,) = flock.store.rounds(run)
    assert result.returned == ("fragile", "steady")
    assert [push.request for push in fragile.pushed].count(request) == 1
    until(lambda: charges(fragile)[-1].state == "sent")
    assert_honest(fragile)


def test_an_agent_that_dies_for_good_holds_the_round_up_until_its_heartbeat_is_missed(flock: Flock) -> None:
    fragile, steady = flock.agents
    fragile.end()
    fragile.start()
    fragile.wait_for_link("online")
    run = caught_in_training(flock, fragile, "--rounds", "2")
    fragile.end(signal.SIGKILL)

    assert flock.wait_for(run) == "finished"
    first, second = flock.store.rounds(run)
    assert (first.returned, first.failures) == (("steady",), {"fragile": "went away"})
    assert (second.cohort, second.returned) == (("steady",), ("steady",))
    assert_honest(steady)
