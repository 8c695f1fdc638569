"""The charge sequence over a real coordinator: a ledger restored from an old copy pays again before it learns again."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from agents import Agent
from coordinator import Coordinator, covey, free_port, until
from machines import small_task
from sequencing import backup, restore

from client import audit, sequence
from client.config import AgentHome
from client.ledger import Ledger
from client.store import AgentStore, Charge
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


def test_a_restored_ledger_pays_again_and_the_log_tells_what_left(
    coordinator: Coordinator, data_file: Path, tmp_path: Path
) -> None:
    kestrel = Agent(tmp_path / "kestrel")
    home = AgentHome(kestrel.home)
    kestrel.join(coordinator.federation.home, data_file, epsilon=40)

    def trains() -> None:
        """One campaign of one round."""
        words = ("start", "machines", "--rounds", "1", "--quorum", "1", "--follow")
        assert covey(coordinator.federation.home, *words).returncode == 0
        until(lambda: {charge.state for charge in ledger()} <= {"sent", "void"})

    def ledger() -> list[Charge]:
        with closing(AgentStore(home.database)) as store:
            return store.charges()

    def spent() -> float:
        with closing(AgentStore(home.database)) as store:
            return Ledger(store).spent(1e-5).epsilon

    kestrel.start()
    kestrel.wait_for_link("online")
    trains()
    copy = backup(home.database, tmp_path / "copy.db")
    trains()
    kestrel.end()
    truth = spent()
    assert sequence.standing(home) == sequence.Standing(number=2, countersigned=2, declines="", note="")
    lines = audit.listing(home)
    assert [line.purpose for line in lines if line.kind == "training update"] == ["training, round 1"] * 2
    assert {"contact", "charge sequence"} <= {line.kind for line in lines}
    verdict = audit.verify(home)
    assert (verdict.wrong, verdict.anchored > 0) == (0, True)

    restore(copy, home.database)
    assert spent() < truth
    kestrel.start()
    until(lambda: sequence.standing(home).countersigned == 3)
    assert spent() == pytest.approx(truth, rel=1e-12)
    assert [charge.purpose for charge in ledger()] == ["training, round 1", "recovered: this ledger lacked it"]
    kestrel.end()
    assert audit.verify(home).wrong == 0
