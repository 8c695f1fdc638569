"""What the serving benchmark runs beside itself: a service in a process of its own, and callers that waste no time."""

import hashlib
import json
import os
import select
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil

from client.config import AgentHome, TaskHome
from client.installed import SelfTest, file_of, point_to
from server.export import export
from shared import wire
from shared.architecture import size
from shared.models import Artifact, Release
from shared.tasks import Task, Window

POLICY = 'name = "bench"\ncoordinator = "none"\nfederation = "bench"\n\n[budget]\nepsilon = 1.0\ndelta = 1e-5\n'

SERVICE = """
import sys; from pathlib import Path
from client.config import AgentHome
from client.serving.service import PredictionService
service = PredictionService(AgentHome(Path(sys.argv[1])), record=sys.argv[2] == "record")
service.start(); print("ready", flush=True); sys.stdin.read(); service.stop()
"""

PREDICT = """
import json, sys; from pathlib import Path
from client.inference import Predictor
print(Predictor(Path(sys.argv[1]), sys.argv[2]).predict(json.loads(sys.argv[3])).label, flush=True)
print(next(line for line in open("/proc/self/status") if line.startswith("VmRSS")).split()[1], flush=True)
"""

TRAIN = """
import os; os.nice(10)
from simulations.benchmarks.light_training import light
descend = light("mlp"); descend(); print("ready", flush=True)
while True: descend()
"""


def make_home(folder: Path, task: Task, *, names: list[str], releases: int) -> AgentHome:
    """An agent's home with tasks of these names, each with so many releases, of which the first serves."""
    home = AgentHome(folder)
    folder.mkdir(parents=True)
    policy = "".join(f'\n[tasks.{name}]\ndata = ""\n' for name in names)
    home.settings_file.write_text(POLICY + policy, encoding="utf-8")
    for name in names:
        for number in range(1, releases + 1):
            put_release(home.task(name), task, number)
        point_to(home.task(name), 1)
    return home


def put_release(place: TaskHome, task: Task, number: int) -> None:
    """A release's directory, as an update leaves it."""
    directory = place.releases / str(number)
    directory.mkdir(parents=True)
    weights = np.random.default_rng(number).normal(0, 0.3, size(task)).astype(np.float32)
    files = {"fp32": export(task, weights, version=number), "task": wire.to_json(task)}
    artifacts = {
        name: Artifact(path=name, sha256=hashlib.sha256(data).hexdigest(), bytes=len(data))
        for name, data in files.items()
    }
    for name, data in files.items():
        file_of(directory, name).write_bytes(data)
    release = Release(
        number=number, task=task.name, revision=1, version=number, trained_on=Window(), artifacts=artifacts
    )
    (directory / "release.json").write_bytes(wire.to_json(release))
    (directory / "selftest.json").write_bytes(wire.to_json(SelfTest(precision="fp32", fp32_us=1.0, int8_us=1.0)))


def pin(core: int) -> Callable[[], None]:
    """What keeps a process on one core, where there are several."""
    cores = sorted(os.sched_getaffinity(0))
    return lambda: os.sched_setaffinity(0, {cores[core % len(cores)]})


@contextmanager
def beside(code: str, *arguments: str, core: int | None) -> Generator["subprocess.Popen[str]"]:
    """A child that runs `code` from its first line of output to the end of the block."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    child = subprocess.Popen(  # noqa: S603 - our own code, in our own interpreter
        [sys.executable, "-c", code, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env=environment, preexec_fn=None if core is None else pin(core),  # noqa: PLW1509 - no thread runs yet
    )  # fmt: skip
    try:
        assert child.stdout is not None
        child.stdout.readline()
        yield child
    finally:
        child.kill()
        child.communicate()


def resident_mb(process: int) -> float:
    """What a process holds in memory now."""
    return psutil.Process(process).memory_info().rss / 2**20


def processor_seconds(process: int) -> float:
    """What a process has used of the processor so far."""
    used = psutil.Process(process).cpu_times()
    return used.user + used.system


class Caller:
    """Open connections to a service's socket, with one request waiting on each."""

    def __init__(self, home: AgentHome, path: str, record: dict[str, float], *, connections: int) -> None:
        body = json.dumps(record).encode()
        head = (
            f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        self.request = head.encode() + body
        self.sockets = [_connect(home) for _ in range(connections)]

    def times_us(self, number: int) -> list[float]:
        """How long single requests take, one after the other on the first connection."""
        return [self._one() for _ in range(number)]

    def answers(self, number: int) -> Iterator[bytes]:
        """As many answers, asked for on all connections at once, as fast as they come."""
        for one in self.sockets:
            one.sendall(self.request)
        left, waiting = number - len(self.sockets), number
        poll = select.poll()
        by_number = {one.fileno(): one for one in self.sockets}
        for one in self.sockets:
            poll.register(one, select.POLLIN)
        while waiting > 0 and (ready := poll.poll(5000)):
            waiting -= len(ready)
            for descriptor, _ in ready:
                yield _whole(by_number[descriptor])
                if left > 0:
                    by_number[descriptor].sendall(self.request)
                    left -= 1

    def close(self) -> None:
        """Hang up."""
        for one in self.sockets:
            one.close()

    def _one(self) -> float:
        one = self.sockets[0]
        started = time.perf_counter_ns()
        one.sendall(self.request)
        _whole(one)
        return (time.perf_counter_ns() - started) / 1000


def judge(answers: Iterator[bytes], expected: dict[int, dict[str, float]], number: int) -> Counter[str]:
    """How many answers were right, failed, or mixed releases; what never came counts as failed."""
    found: Counter[str] = Counter()
    for answer in answers:
        found[_verdict(answer, expected)] += 1
    found["failed"] += number - found.total()
    return found


def _verdict(answer: bytes, expected: dict[int, dict[str, float]]) -> str:
    head, _, body = answer.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200"):
        return "failed"
    found = json.loads(body)
    whole = found["scores"] == expected[found["release"]] and found["model_version"] == found["release"]
    return "right" if whole else "mixed"


def _whole(one: socket.socket) -> bytes:
    """One answer with all of its body; what there is of it if the other side hangs up."""
    found = one.recv(65536)
    while found and _missing(found):
        if not (more := one.recv(65536)):
            break
        found += more
    return found


def _missing(answer: bytes) -> bool:
    head, end, body = answer.partition(b"\r\n\r\n")
    _, _, length = head.partition(b"content-length: ")
    return not end or len(body) < int(length.partition(b"\r\n")[0])


def _connect(home: AgentHome) -> socket.socket:
    one = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    one.settimeout(30)
    one.connect(str(home.socket))
    return one
