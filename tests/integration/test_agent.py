"""An agent as its owner meets it: joins a real coordinator, waits, trains, stops."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from agents import Agent, covey_agent
from coordinator import Coordinator, covey, free_port, until
from machines import small_task

from server.cli.founding import publish
from server.config import Settings
from server.founding import found
from server.store import Store


@pytest.fixture
def coordinator(tmp_path: Path) -> Iterator[Coordinator]:
    federation = found(tmp_path / "federation", Settings(name="test", port=free_port(), admin_port=free_port()))
    store = Store(federation.database)
    publish(federation, store, small_task())
    store.close()
    running = Coordinator(federation)
    yield running
    running.end()


def test_a_device_joins_waits_trains_and_stops(coordinator: Coordinator, data_file: Path, tmp_path: Path) -> None:
    home, kestrel = coordinator.federation.home, Agent(tmp_path / "kestrel")
    invitation = covey(home, "invite").stdout.strip()
    joined = kestrel.says("join", invitation, "--data", str(data_file), "--epsilon", "9", "--name", "kestrel", "--yes")
    assert "covey approve kestrel" in joined

    kestrel.start()
    try:
        kestrel.wait_for_link("pending")
        assert kestrel.shows("status")["link"] == "pending"
        assert covey(home, "approve", "kestrel").returncode == 0
        kestrel.wait_for_link("online")

        assert kestrel.process is not None
        second = covey_agent(kestrel.home, "run")
        assert (second.returncode, str(kestrel.process.pid) in second.stderr) == (1, True), second.stderr

        started = covey(home, "start", "machines", "--rounds", "2", "--quorum", "1", "--follow")
        assert started.returncode == 0, started.stderr
        until(lambda: [line["state"] for line in kestrel.shows("ledger")["lines"]] == ["sent"] * 2)
        assert 0 < kestrel.shows("status")["epsilon_spent"] <= 9
    finally:
        kestrel.end()
    assert kestrel.shows("status")["link"] == "stopped"


def test_what_goes_wrong_is_one_line_and_no_trace(tmp_path: Path) -> None:
    for words in (["status"], ["run"], ["ledger"], ["pause"], ["leave", "--yes"], ["predict", "--record", "{}"]):
        done = covey_agent(tmp_path / "nothing", *words)
        assert done.returncode == 1, words
        assert re.fullmatch(r"covey-agent: .+\n", done.stderr), (words, done.stderr)
