"""Stock Flower beside it: its own `flower-superlink` with SQLite, TLS and node authentication, and nodes of its manners.

The nodes poll every three seconds and drop a reply whose push is answered by an error, as a stock SuperNode does; what
they answer with is as cheap as in our own swarm, in this process's threads and not in one new process a message.
"""

import json
import secrets
import sys
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from server.pki import create_authority, create_server_certificate
from shared.architecture import size
from shared.errors import InputError
from shared.files import write_secret
from simulations.load.ground import free_ports, write_keys
from simulations.load.herd import Process, Swarm, answers, wait
from simulations.load.measure import LEARNT, Say

ROUND_SECONDS = 60.0
"""How long the stock ServerApp waits for a round's replies; a lost one would cost its default of an hour."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stock:
    """What was seen: each round's seconds and its good replies, CPU and memory of the SuperLink, and what was lost.

    `locked` counts how often its log says `database is locked`.
    """

    devices: int
    rounds: tuple[tuple[float, int], ...]
    cpu: float
    megabytes: float
    dropped: int
    locked: int

    @property
    def messages(self) -> int:
        """Replies that arrived."""
        return sum(good for _, good in self.rounds)

    @property
    def seconds(self) -> float:
        """All rounds together."""
        return sum(took for took, _ in self.rounds)

    @property
    def lost(self) -> int:
        """Replies that did not arrive."""
        return self.devices * len(self.rounds) - self.messages


def measure(devices: int, rounds: int, folder: Path, say: Say) -> Stock:
    """Play the same rounds against stock Flower; raise `InputError` if it could not be played."""
    folder.mkdir(parents=True)
    create_authority(folder, name="stock")
    create_server_certificate(folder, hosts=["127.0.0.1"])
    write_secret(folder / "secret", secrets.token_hex(32).encode())
    write_keys(folder / "keys.pem", count=devices)
    port = free_ports(1)[0]
    superlink = _superlink(folder, port)
    try:
        say(f"{devices} stock nodes come")
        with Swarm(_nodes(folder, port, devices), folder / "nodes.log") as nodes:
            return _play(folder, port, superlink, nodes, devices, rounds)
    finally:
        superlink.end()


def _superlink(folder: Path, port: int) -> Process:
    command = [
        str(Path(sys.executable).with_name("flower-superlink")), "--host", "127.0.0.1", "--port", str(port),
        "--ssl-ca-certfile", str(folder / "ca.crt"), "--ssl-certfile", str(folder / "server.crt"),
        "--ssl-keyfile", str(folder / "server.key"), "--enable-supernode-auth", "--database", str(folder / "state.db"),
        "--isolation", "process", "--superexec-auth-secret-file", str(folder / "secret"),
        "--disable-runtime-dependency-installation",
    ]  # fmt: skip
    process = Process(command, folder / "superlink.log")
    wait("the SuperLink's start", lambda: answers("127.0.0.1", port), check=process.require_alive)
    return process


def _nodes(folder: Path, port: int, devices: int) -> list[list[str]]:
    each = -(-devices // 2)
    start = [sys.executable, "-m", "simulations.load.stock_nodes", f"127.0.0.1:{port}", str(folder)]
    return [
        [*start, str(first), str(min(each, devices - first)), str(size(LEARNT))] for first in range(0, devices, each)
    ]


def _play(folder: Path, port: int, superlink: Process, nodes: Swarm, devices: int, rounds: int) -> Stock:
    command = [
        sys.executable, "-m", "simulations.load.stock_app", f"127.0.0.1:{port}", str(folder), str(devices), str(rounds),
        str(size(LEARNT)), str(ROUND_SECONDS),
    ]  # fmt: skip
    app = Process(command, folder / "app.log", listens=True)
    heard = app.popen.stdout
    assert heard is not None
    with closing(heard):
        begun = heard.readline()
        before = superlink.cost()
        lines = heard.read().splitlines()
    app.popen.wait(ROUND_SECONDS)
    if app.popen.returncode or not begun:
        raise InputError(f"stock Flower's rounds did not end; see {app.log}")
    after, count = superlink.cost(), nodes.count()
    return Stock(
        devices=devices, rounds=tuple((took, good) for took, good in map(json.loads, lines)),
        cpu=after.cpu - before.cpu, megabytes=after.megabytes, dropped=count.void,
        locked=superlink.log.read_text(encoding="utf-8", errors="replace").count("database is locked"),
    )  # fmt: skip
