"""The soak itself: found a federation, let one device join, ask it all the time, and break things on schedule."""

import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from client.config import AgentHome
from client.ledger import Ledger
from client.store import AgentStore
from server.cli.founding import publish
from server.config import Settings
from server.founding import found
from server.records import ACTIVE
from server.store import Store
from shared import accounting
from shared.errors import InputError
from simulations.demo.stage import Stage, free_ports
from simulations.machines import TASK, Press, write_rows
from simulations.soak import asking
from simulations.soak.device import Device
from simulations.soak.schedule import Act, draw

BUDGET = 50.0
DELTA = 1e-5
START_SECONDS = 120.0
CALM_SECONDS = 10.0
"""How long after a round the agent's memory must be small again."""

_NEVER = float("inf")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """The agent's memory at a moment, and how many seconds ago its last round ended: infinite before the first."""

    at: float
    megabytes: float
    since_round: float


@dataclass(slots=True, kw_only=True)
class Seen:
    """What the soak saw. `owed` and `spent` are epsilon by the coordinator's rounds and by the device's own ledger."""

    seconds: float
    answers: dict[int, tuple[float, ...]]
    asked: list[asking.Asked]
    samples: list[Sample]
    done: Counter[Act]
    returned: int = 0
    owed: float = 0.0
    spent: float = 0.0
    restarts: int = 0


@dataclass(slots=True)
class Soak:
    """One run, in a folder of its own: `rate` questions a second for `seconds`; `say` hears what happens."""

    folder: Path
    seconds: float
    rate: float
    seed: int
    say: Callable[[str], None]
    done: Counter[Act] = field(default_factory=Counter[Act], init=False)
    samples: list[Sample] = field(default_factory=list[Sample], init=False)
    last_round: float = field(default=-_NEVER, init=False)

    def run(self) -> Seen:
        """Play it to the end; raise `CoveyError` if it could not begin."""
        with Stage(self.folder) as stage, closing(self._found(stage)) as store:
            press = Press(stage.federation, seed=self.seed)
            press.publish()
            self._serve(stage)
            device = Device(self._join(stage), self.folder / "logs" / "agent.out")
            device.start()
            try:
                stage.wait("the first answer", lambda: _answers(device.home.socket), seconds=START_SECONDS)
                asked = self._ask_and_break(stage, store, press, device)
            finally:
                device.close()
            return self._sum_up(store, press, device, asked)

    def _found(self, stage: Stage) -> Store:
        port, admin_port = free_ports(2)
        federation = found(stage.federation.home, Settings(name="soak", port=port, admin_port=admin_port))
        store = Store(federation.database)
        publish(federation, store, TASK)
        return store

    def _serve(self, stage: Stage) -> None:
        settings = stage.federation.settings()
        stage.start("coordinator", "server", "--home", str(stage.federation.home), "serve")
        stage.wait("the coordinator's start", lambda: _listens(settings.host, settings.port), seconds=START_SECONDS)

    def _join(self, stage: Stage) -> AgentHome:
        home = stage.agent("press")
        home.path.mkdir(parents=True)
        write_rows(home.path / "rows.parquet")
        stage.covey_agent(
            "join", stage.covey("invite").strip(), "--home", str(home.path), "--name", "press",
            "--data", str(home.path / "rows.parquet"), "--epsilon", str(BUDGET), "--yes",
        )  # fmt: skip
        stage.covey("approve", "press")
        return home

    def _ask_and_break(self, stage: Stage, store: Store, press: Press, device: Device) -> list[asking.Asked]:
        file, started = self.folder / "asked.csv", time.monotonic()
        words = [sys.executable, "-m", "simulations.soak.asking", str(device.home.socket), str(self.rate), str(file)]
        asker = subprocess.Popen(words, env=stage.environment)  # noqa: S603 - our own interpreter and module
        try:
            for moment in draw(self.seconds, seed=self.seed):
                self._watch(store, device, until=started + moment.at)
                self.say(f"{time.monotonic() - started:6.0f} s  {moment.act}")
                self._do(moment.act, stage, press, device)
            self._watch(store, device, until=started + self.seconds)
        finally:
            asker.send_signal(signal.SIGTERM)
            asker.wait(START_SECONDS)
        return asking.read(file)

    def _watch(self, store: Store, device: Device, *, until: float) -> None:
        """Take a sample of the agent's memory each second."""
        while (left := until - time.monotonic()) > 0:
            if any(run.state in ACTIVE for run in store.runs()):
                self.last_round = time.monotonic()
            since = time.monotonic() - self.last_round
            self.samples.append(Sample(at=time.time(), megabytes=device.megabytes(), since_round=since))
            time.sleep(min(left, 1.0))

    def _do(self, act: Act, stage: Stage, press: Press, device: Device) -> None:
        self.done[act] += 1
        if act == "release":
            press.publish()
        elif act == "kill":
            device.kill()
        elif act == "leave":
            stage.end("coordinator")
        elif act == "return":
            self._serve(stage)
        else:
            self._begin_round(stage)

    def _begin_round(self, stage: Stage) -> None:
        """Ask for a round; a coordinator that knows of no device at this moment says so, and the soak goes on."""
        try:
            stage.covey("start", TASK.name, "--rounds", "1", "--quorum", "1", "--deadline", "60", "--detach")
        except InputError as error:
            self.say(f"          no round: {error}")
            self.done["round"] -= 1

    def _sum_up(self, store: Store, press: Press, device: Device, asked: list[asking.Asked]) -> Seen:
        paid = [result.plan.event for result in store.rounds() if result.returned]
        with closing(AgentStore(device.home.database)) as own:
            spent = Ledger(own).spent(DELTA)
        return Seen(
            seconds=self.seconds, answers=press.answers, asked=asked, samples=self.samples, done=self.done,
            returned=len(paid), owed=accounting.epsilon(paid, delta=DELTA), spent=spent.epsilon,
            restarts=device.deaths,
        )  # fmt: skip


def _listens(host: str, port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((host, port)) == 0


def _answers(path: Path) -> bool:
    """Whether the endpoint answers a question with a prediction."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as one:
        one.settimeout(asking.PATIENCE_SECONDS)
        try:
            one.connect(str(path))
            one.sendall(asking.requests()[0])
            return one.recv(65536).startswith(b"HTTP/1.1 200")
        except OSError:
            return False
