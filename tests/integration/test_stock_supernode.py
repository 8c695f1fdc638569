"""Flower's own SuperNode, as it comes, runs our ClientApp: the installed one, for the bundle holds no code."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from agents import Agent
from coordinator import PATIENCE, ROOT, Coordinator, covey, free_port, until
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from machines import small_task

from client.config import AgentHome
from client.enrol import load_key
from server.cli.founding import publish
from server.config import Settings
from server.founding import found
from server.store import Store

pytestmark = pytest.mark.proof
SUPERNODE = Path(sys.executable).with_name("flower-supernode")


@pytest.fixture
def listener() -> int:
    return free_port()


@pytest.fixture
def coordinator(tmp_path: Path, listener: int) -> Iterator[Coordinator]:
    federation = found(tmp_path / "federation", Settings(name="test", port=free_port(), admin_port=free_port()))
    store = Store(federation.database)
    publish(federation, store, small_task())
    store.close()
    running = Coordinator(federation, "--test-listener", str(listener))
    yield running
    assert running.end() == (0, "")


@pytest.fixture
def supernode(coordinator: Coordinator, listener: int, data_file: Path, tmp_path: Path) -> Iterator[Agent]:
    """A device that joined, approved, and lives under Flower's SuperNode in place of `covey-agent run`."""
    device = Agent(tmp_path / "stock")
    device.join(coordinator.federation.home, data_file, epsilon=9)
    key = tmp_path / "device.ssh"
    key.write_bytes(load_key(AgentHome(device.home)).private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
    command = [
        str(SUPERNODE), "--superlink", f"127.0.0.1:{listener}", "--port", str(free_port()),
        "--root-certificates", str(coordinator.federation.tls / "ca.crt"), "--auth-supernode-private-key", str(key),
        "--node-config", f'agent="{device.home}"',
    ]  # fmt: skip
    quiet = {"FLWR_TELEMETRY_ENABLED": "0", "FLWR_DISABLE_UPDATE_CHECK": "1", "FLWR_HOME": str(tmp_path / "flower")}
    quiet["PATH"] = os.pathsep.join((str(SUPERNODE.parent), os.environ["PATH"]))
    with (tmp_path / "supernode.log").open("wb") as log:
        device.process = subprocess.Popen(
            command, cwd=ROOT, stdout=log, stderr=log, env=os.environ | quiet, start_new_session=True
        )
    yield device
    device.send(signal.SIGTERM)
    device.process.wait(PATIENCE)
    with suppress(ProcessLookupError):
        os.killpg(device.process.pid, signal.SIGKILL)


def test_a_round_is_committed_with_the_update_of_a_stock_supernode(coordinator: Coordinator, supernode: Agent) -> None:
    started = covey(coordinator.federation.home, "start", "--rounds", "1", "--detach")
    assert started.returncode == 0, started.stderr
    store = Store(coordinator.federation.database)
    until(lambda: store.run(1).state not in ("queued", "running"))
    assert (store.run(1).state, store.run(1).detail) == ("finished", "")
    (result,) = store.rounds(1)
    assert (result.outcome, result.returned) == ("committed", ("stock",))
    store.close()
    (charge,) = supernode.shows("ledger")["lines"]
    assert (charge["purpose"], charge["state"]) == ("training, round 1", "sealed")
