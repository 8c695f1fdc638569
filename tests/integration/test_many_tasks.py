"""Two tasks in one federation, on the same devices: budgets, versions, releases and failures of one never touch the other."""

import os
import signal
from collections.abc import Iterator
from dataclasses import replace

import pytest
from agents import Agent
from coordinator import until
from flock import Flock, charges
from machines import machine_rows, small_task

from client.config import AgentHome
from client.installed import current_release
from server.cli.founding import publish

pytestmark = pytest.mark.proof
PUMPS = small_task(name="pumps", title="Will this pump stop?")
MANY = replace(PUMPS.training, rounds=30)


@pytest.fixture(scope="module")
def flock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flock]:
    folder = tmp_path_factory.mktemp("flock")
    flock = Flock(folder, ("ibis", "jay"))
    publish(flock.federation, flock.store, replace(PUMPS, training=MANY))
    for agent in flock.agents:
        rows = folder / f"{agent.name}-pumps.parquet"
        machine_rows(300, seed=7).write_parquet(rows)
        agent.says("take", "pumps", "--data", str(rows), "--epsilon", "6", "--yes")
    yield flock
    flock.close()


def spent_on(agent: Agent, task: str) -> int:
    return sum(charge.task == task for charge in charges(agent))


def release_of(agent: Agent, task: str) -> int:
    return current_release(AgentHome(agent.home).task(task))


def test_a_run_that_dies_leaves_the_other_tasks_run_alone(flock: Flock) -> None:
    doomed = flock.asks_for("start", "pumps")
    until(lambda: len(flock.store.rounds(doomed)) >= 1)
    fine = flock.asks_for("start", "machines")
    process = flock.coordinator.process_of(doomed)
    assert process is not None
    os.kill(process, signal.SIGKILL)
    assert flock.wait_for(doomed) == "failed"
    assert flock.wait_for(fine) == "finished"
    assert [result.outcome for result in flock.store.rounds(fine)] == ["committed", "committed"]
    assert {version.task for version in flock.store.versions("machines")} == {"machines"}


def test_a_spent_share_ends_one_task_and_not_the_other(flock: Flock) -> None:
    """Each device gave pumps a small share: it declines pumps for its budget, and goes on with machines."""
    spent = flock.asks_for("start", "pumps")
    assert flock.wait_for(spent) in {"failed", "finished"}
    refused = {reason for result in flock.store.rounds(spent) for reason in result.refusals.values()}
    assert refused == {"budget"}
    before = [spent_on(agent, "machines") for agent in flock.agents]
    assert flock.wait_for(flock.asks_for("start", "machines")) == "finished"
    assert [spent_on(agent, "machines") for agent in flock.agents] == [count + 2 for count in before]


def test_releases_and_withdrawals_are_each_tasks_own(flock: Flock) -> None:
    machines, pumps = (flock.store.versions(task)[-1].number for task in ("machines", "pumps"))
    for version in (flock.store.versions("machines")[0].number, machines, pumps):
        flock.says("promote", str(version))
    first, second, other = [release.number for release in flock.store.releases()][-3:]
    until(lambda: all(release_of(agent, "pumps") == other for agent in flock.agents))
    until(lambda: all(release_of(agent, "machines") == second for agent in flock.agents))
    flock.says("withdraw", str(second))
    until(lambda: all(release_of(agent, "machines") > second for agent in flock.agents))
    assert {release_of(agent, "pumps") for agent in flock.agents} == {other}
    answers = flock.store.releases("machines")[-1]
    assert answers.version == next(release.version for release in flock.store.releases() if release.number == first)


def test_one_agent_answers_for_both(flock: Flock) -> None:
    for agent in flock.agents:
        for task in ("machines", "pumps"):
            said = agent.shows("predict", "--task", task, "--record", '{"load": 0.9, "hour": 3, "site": "north"}')
            assert set(said["scores"]) == {"runs", "stops"}
