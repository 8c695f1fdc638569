"""Real agent directories beside a real federation: they look, report, predict and answer surveys as devices do.

Devices live by this machine's clock. The controller has one of its own, `Fleet.now`, which jumps from one reporting period to
the next; it also dates the predictions.
"""

import sys
import time
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event

import numpy as np

from client.app import app
from client.config import AgentHome, TaskHome
from client.enrol import new_key
from client.housekeeping import open_log
from client.installed import current_release
from client.policy import fingerprint
from client.policyfile import render
from client.served import Served
from client.settings import AgentSettings, TaskGrant
from client.store import AgentStore
from client.updates import Updates, fetch_task
from client.updating import UpdateReport, run_update
from client.upkeep import report_of
from server.app import conduct
from server.cli.founding import publish
from server.config import Federation, Settings
from server.enroll import record_installed
from server.founding import found
from server.store import Store
from shared import wire
from shared.privacy import PrivacyBudget
from shared.signing import public_key_bytes
from simulations.faults.world import URL, Local
from simulations.loopback import LoopbackGrid
from simulations.rollouts.ground import ROWS, TASK, Columns, draw, own_load

BUDGET = PrivacyBudget(epsilon=8.0, delta=1e-5)
HOUR = 3600.0


@dataclass
class Device:
    """One device, how much more than others it is loaded, and every release that ever answered on it."""

    name: str
    node: int
    home: AgentHome
    own: float
    served: set[int] = field(default_factory=set[int])

    @property
    def place(self) -> TaskHome:
        """What belongs to the one task."""
        return self.home.task(TASK.name)


class Fleet:
    """The federation and its devices."""

    def __init__(self, folder: Path, *, devices: int, rows: int = ROWS) -> None:
        """Found a federation and let `devices` join; each predicts `rows` times a period. `now` is the story's clock."""
        self.now, self._rows = time.time(), rows
        self.random = np.random.default_rng(7)
        self.federation: Federation = found(folder / "federation", Settings(name="works", port=1, admin_port=2))
        self.store = Store(self.federation.database)
        publish(self.federation, self.store, TASK)
        self.devices = [self._join(folder, index) for index in range(devices)]

    def close(self) -> None:
        """Release the store."""
        self.store.close()

    def _join(self, folder: Path, index: int) -> Device:
        """A device as `covey-agent join` leaves it: key, trust, the signed task, the owner's consent; approved."""
        name, home = f"machine-{index:02}", AgentHome(folder / "agents" / f"machine-{index:02}")
        home.key.parent.mkdir(parents=True, mode=0o700)
        key = new_key(home).public_key()
        home.authority.parent.mkdir(parents=True)
        home.authority.write_bytes((self.federation.tls / "ca.crt").read_bytes())
        root = (self.federation.repository / "metadata" / "1.root.json").read_bytes()
        fetch_task(home, base_url=URL, root=root, ca=b"", fetcher=Local(self.federation.repository))
        settings = AgentSettings(
            name=name, coordinator=URL.removeprefix("https://"), federation="works", budget=BUDGET, trainer="light",
            tasks={TASK.name: TaskGrant(data="")},
        )  # fmt: skip
        home.settings_file.write_text(render(settings), encoding="utf-8")
        with closing(AgentStore(home.database)) as store:
            store.agree(TASK.name, fingerprint(TASK))
        self.store.add_invitation(f"token of {name}", 4e9)
        self.store.enrol(f"token of {name}", name, public_key_bytes(key))
        self.store.set_device_state(name, "approved")
        self.store.set_node(name, 1000 + index)
        return Device(name=name, node=1000 + index, home=home, own=own_load(self.random))

    def look(self, device: Device, *, crashes: bool) -> None:
        """One look at the releases, and the report that comes of it; a child of its own tries what `crashes`."""
        report = self._in_a_child(device) if crashes else self._here(device)
        body = wire.to_json(report_of(device.home, report))
        record_installed(self.store, self.store.device(device.name), body)
        device.served.add(current_release(device.place))

    def _here(self, device: Device) -> UpdateReport:
        return Updates(device.home, fetcher=Local(self.federation.repository)).check()

    def _in_a_child(self, device: Device) -> UpdateReport:
        repository, home = str(self.federation.repository), str(device.home.path)
        command = [sys.executable, "-m", "simulations.rollouts.looking", repository, home]
        return run_update(device.home, stopping=Event(), command=command)

    def predict(self, device: Device, *, hours: float) -> None:
        """A period's predictions with their outcomes, in the device's own log."""
        columns, stops = draw(self.random, self._rows, own=device.own)
        with closing(open_log(device.place)) as log:
            log.add([
                Served(
                    id=f"{self.now:.3f}-{row}", at=self.now + hours * HOUR * row / self._rows, version=0, scores=(0.5, 0.5),
                    release=current_release(device.place), record=_record(columns, row), label=str(float(stops[row])),
                )
                for row in range(self._rows)
            ])  # fmt: skip

    def answer_surveys(self) -> None:
        """Conduct every run that is queued: the same ServerApp and ClientApp as over a network."""
        agents = {device.node: device.home.path for device in self.devices}
        for run in self.store.runs("queued"):
            conduct(LoopbackGrid(app, agents), self.store, run)


def _record(columns: Columns, row: int) -> dict[str, float | str]:
    return {
        "load": float(columns["load"][row]),
        "hour": float(columns["hour"][row]),
        "site": str(columns["site"][row]),
    }
