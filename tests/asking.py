"""The local endpoint, asked over its real socket; and releases that are put in place by hand."""

import hashlib
import http.client
import json
import socket
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from machines import small_task
from releasing import AGENT_TOML, some_weights

from client.config import AgentHome, TaskHome
from client.installed import SelfTest, file_of, point_to
from server.export import export
from shared import wire
from shared.models import Artifact, Release
from shared.tasks import Task, Window


def make_home(folder: Path, task: Task | None = None, *, releases: int = 1) -> AgentHome:
    """An agent's home in which the first release serves; each has weights of its own."""
    home = AgentHome(folder)
    folder.mkdir(exist_ok=True)
    home.settings_file.write_text(AGENT_TOML, encoding="utf-8")
    for number in range(1, releases + 1):
        put_release(home.task("machines"), number, task=task)
    if releases:
        point_to(home.task("machines"), 1)
    return home


def put_release(place: TaskHome, number: int, *, task: Task | None = None, model: bytes | None = None) -> None:
    """A whole release's directory, as an update leaves it."""
    task = task or small_task()
    model = model or export(task, some_weights(task, seed=number), version=number)
    directory = place.releases / str(number)
    directory.mkdir(parents=True)
    files = {"fp32": model, "task": wire.to_json(task)}
    for name, data in files.items():
        file_of(directory, name).write_bytes(data)
    artifacts = {
        name: Artifact(path=name, sha256=hashlib.sha256(data).hexdigest(), bytes=len(data))
        for name, data in files.items()
    }
    release = Release(
        number=number, task=task.name, revision=1, version=number, trained_on=Window(), artifacts=artifacts
    )
    (directory / "release.json").write_bytes(wire.to_json(release))
    (directory / "selftest.json").write_bytes(wire.to_json(SelfTest(precision="fp32", fp32_us=1.0, int8_us=1.0)))


@dataclass(frozen=True)
class Reply:
    """What came back."""

    status: int
    media_type: str
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Asker:
    """Asks at a socket file, or at a port of loopback, each time over a new connection."""

    place: Path | int

    def ask(self, path: str, body: Any = None, **headers: str) -> Reply:
        """POST what is given as JSON (bytes as they are), or GET without a body."""
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        fields = {"content-type": "application/json"} | {name.replace("_", "-"): text for name, text in headers.items()}
        connection = http.client.HTTPConnection("localhost", timeout=30)
        connection.sock = connect(self.place)
        with closing(connection):
            connection.request("GET" if body is None else "POST", path, data, fields)
            answer = connection.getresponse()
            return Reply(answer.status, answer.getheader("content-type", ""), answer.read())


def connect(place: Path | int) -> socket.socket:
    if isinstance(place, int):
        return socket.create_connection(("127.0.0.1", place), timeout=30)
    one = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    one.settimeout(30)
    one.connect(str(place))
    return one


def say(place: Path | int, raw: bytes) -> bytes:
    """Send bytes as they are, and read until the other side hangs up or falls silent."""
    with connect(place) as one:
        one.sendall(raw)
        one.settimeout(2)
        found = b""
        try:
            while part := one.recv(65536):
                found += part
        except (TimeoutError, ConnectionResetError):
            pass
        return found
