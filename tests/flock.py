"""A small fleet of real processes, for tests that end some of them: a coordinator and devices that keep a record."""

import signal
from collections.abc import Iterable
from pathlib import Path

from agents import Agent, end_all
from coordinator import Coordinator, covey, free_port, lives, until
from machines import machine_rows, small_task

from client.config import AgentHome
from client.store import AgentStore, Charge
from server.cli.founding import publish
from server.config import Settings
from server.founding import found
from server.records import ACTIVE
from server.store import Store
from shared.tasks import Task


class Flock:
    """A federation whose devices are online; `agents` keep a record of what they are asked and what they send."""

    def __init__(self, folder: Path, names: Iterable[str], *, task: Task | None = None) -> None:
        self.federation = found(folder / "federation", Settings(name="flock", port=free_port(), admin_port=free_port()))
        self.store = Store(self.federation.database)
        publish(self.federation, self.store, task or small_task())
        self.coordinator = Coordinator(self.federation)
        self.agents = [Agent(folder / name, recorded=True) for name in names]
        for seed, agent in enumerate(self.agents):
            data = folder / f"{agent.name}.parquet"
            machine_rows(400, seed=seed).write_parquet(data)
            agent.join(self.federation.home, data, epsilon=50)
            agent.start()
        for agent in self.agents:
            agent.wait_for_link("online")

    def says(self, *words: str) -> str:
        done = covey(self.federation.home, *words)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def asks_for(self, *words: str) -> int:
        """Queue a run; returns its number."""
        self.says(*words, "--detach")
        return self.store.runs()[-1].id

    def kill_coordinator(self) -> None:
        """End it as a power cut would, and see that no process of its runs stays behind."""
        runs = [self.coordinator.process_of(run.id) for run in self.store.runs()]
        self.coordinator.end(signal.SIGKILL)
        until(lambda: not any(lives(pid) for pid in runs if pid))

    def restart_coordinator(self) -> None:
        self.coordinator = Coordinator(self.federation)

    def wait_for(self, run: int) -> str:
        """Wait until a run ended; returns how."""
        until(lambda: self.store.run(run).state not in ACTIVE)
        return self.store.run(run).state

    def close(self) -> None:
        end_all(self.agents)
        self.store.close()
        assert self.coordinator.end() == (0, "")


def charges(agent: Agent) -> list[Charge]:
    """What a device's ledger says."""
    store = AgentStore(AgentHome(agent.home).database)
    try:
        return store.charges()
    finally:
        store.close()


def assert_honest(agent: Agent) -> None:
    """A device paid at most once for a request that it got, gave each one answer, and nothing took it by surprise."""
    paid = [charge.request for charge in charges(agent)]
    assert len(set(paid)) == len(paid)
    assert set(paid) <= set(agent.asked)
    for request in agent.asked:
        assert len({push.sha256 for push in agent.pushed if push.request == request}) <= 1, request
    assert '"trace"' not in AgentHome(agent.home).log.read_text()
