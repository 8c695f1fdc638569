"""Two machines and a cable between them: a coordinator that listens on its address, and a device that has nothing but an invitation.

The machines are network namespaces, which share no loopback and no port.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from agents import Agent
from coordinator import PATIENCE, ROOT, covey, until
from machines import machine_rows, small_task

from server.cli.founding import publish
from server.config import Federation
from server.records import ACTIVE
from server.store import Store

pytestmark = pytest.mark.proof

HERE, THERE = "10.213.77.1", "10.213.77.2"
PORT, ADMIN = 8443, 8444


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True, timeout=PATIENCE)


@dataclass(frozen=True)
class Machine:
    """One side of the cable."""

    name: str

    def command(self, *words: str) -> list[str]:
        return ["ip", "netns", "exec", self.name, *words]

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*words), cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE, check=False
        )

    def start(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command(*words), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )


@pytest.fixture
def machines() -> Iterator[tuple[Machine, Machine]]:
    """Two namespaces, joined by a pair of virtual cards; gone afterwards."""
    if shutil.which("ip") is None:
        pytest.skip("this machine has no `ip`, so there are no network namespaces to be two machines")
    here, there = Machine(f"covey-a-{os.getpid()}"), Machine(f"covey-b-{os.getpid()}")
    try:
        _connect(here, there)
    except subprocess.CalledProcessError as error:
        _take_away(here, there)
        pytest.skip(f"network namespaces are not allowed here: {error.stderr.strip()}")
    yield here, there
    _take_away(here, there)


def _connect(here: Machine, there: Machine) -> None:
    for machine in (here, there):
        ip("netns", "add", machine.name)
        ip("-n", machine.name, "link", "set", "lo", "up")
    ip("link", "add", "covey0", "netns", here.name, "type", "veth", "peer", "name", "covey0", "netns", there.name)
    for machine, address in ((here, HERE), (there, THERE)):
        ip("-n", machine.name, "address", "add", f"{address}/24", "dev", "covey0")
        ip("-n", machine.name, "link", "set", "covey0", "up")


def _take_away(*machines: Machine) -> None:
    for machine in machines:
        with suppress(subprocess.CalledProcessError):
            ip("netns", "delete", machine.name)


class Device(Agent):
    """An agent on another machine."""

    def __init__(self, home: Path, machine: Machine) -> None:
        super().__init__(home)
        self._command = machine.command(sys.executable, "-m", "client")
        self._machine = machine

    def says(self, *words: str) -> str:
        done = self._machine.run(sys.executable, "-m", "client", *words, "--home", str(self.home))
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture
def federation(tmp_path: Path, machines: tuple[Machine, Machine]) -> Iterator[Federation]:
    """Founded for the address that devices reach, and served on the first machine."""
    home = tmp_path / "federation"
    founded = covey(home, "init", "--host", HERE, "--port", str(PORT), "--admin-port", str(ADMIN))
    assert founded.returncode == 0, founded.stderr
    federation = Federation(home)
    with closing(Store(federation.database)) as store:
        publish(federation, store, small_task())
    serving = machines[0].start(sys.executable, "-m", "server", "--home", str(home), "serve")
    assert serving.stdout is not None
    assert serving.stdout.readline().startswith(f"covey: federation listens on https://{HERE}:{PORT}")
    yield federation
    serving.terminate()
    assert serving.wait(PATIENCE) == 0
    serving.stdout.close()


def test_a_device_on_another_machine_joins_and_trains_and_outlives_a_pulled_cable(
    federation: Federation, machines: tuple[Machine, Machine], tmp_path: Path
) -> None:
    data = tmp_path / "rows.parquet"
    machine_rows(400).write_parquet(data)
    device = Device(tmp_path / "kestrel", machines[1])
    device.join(federation.home, data, epsilon=40)
    device.start()
    try:
        device.wait_for_link("online")
        with closing(Store(federation.database)) as store:
            assert trained(federation, store) == ("committed", ("kestrel",))
            assert store.device("kestrel").bytes_up > 0
            ip("-n", machines[0].name, "link", "set", "covey0", "down")
            assert start(federation) == 0
            until(lambda: store.progress(2) is not None)
            ip("-n", machines[0].name, "link", "set", "covey0", "up")
            assert ended(store, 2) == ("committed", ("kestrel",))
    finally:
        device.end()


def start(federation: Federation) -> int:
    return covey(federation.home, "start", "machines", "--rounds", "1", "--quorum", "1", "--detach").returncode


def ended(store: Store, run: int) -> tuple[str, tuple[str, ...]]:
    """How a run's only round came out, once it is over."""
    until(lambda: store.run(run).state not in ACTIVE)
    (result,) = store.rounds(run)
    return result.outcome, result.returned


def trained(federation: Federation, store: Store) -> tuple[str, tuple[str, ...]]:
    assert start(federation) == 0
    return ended(store, 1)


@pytest.mark.parametrize(("machine", "port", "reached"), [(0, ADMIN, True), (1, PORT, True), (1, ADMIN, False)])
def test_the_loopback_port_stays_on_its_machine(
    federation: Federation, machines: tuple[Machine, Machine], machine: int, port: int, reached: bool
) -> None:
    host = "127.0.0.1" if machine == 0 else HERE
    ask = (
        "import ssl,sys,urllib.request as u; c=ssl.create_default_context(cafile=sys.argv[1]);"
        "print(u.urlopen(sys.argv[2], context=c, timeout=5).status)"
    )
    path = "/metrics" if port == ADMIN else "/health"
    done = machines[machine].run(
        sys.executable, "-c", ask, str(federation.tls / "ca.crt"), f"https://{host}:{port}{path}"
    )
    assert (done.returncode == 0) is reached, done.stderr
    assert reached or "refused" in done.stderr
