"""The parent's side of a load: the coordinator's process, the swarm's processes, and what they cost."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import psutil

from server.config import Federation
from shared.errors import InputError

START_SECONDS = 60.0
QUIET = {
    "FLWR_TELEMETRY_ENABLED": "0", "FLWR_DISABLE_UPDATE_CHECK": "1", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What a process has used by a moment: CPU seconds and resident megabytes; `at` is in Unix seconds."""

    at: float
    cpu: float
    megabytes: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """What the swarm did so far; `asked` maps `run.round` to the moments at which its message reached a node."""

    requests: Counter[str]
    asked: dict[str, list[float]]
    again: int
    answered: int
    void: int

    @property
    def total(self) -> int:
        """All requests."""
        return sum(self.requests.values())


class Process:
    """One process that was started here, and is ended by its id."""

    def __init__(self, command: Sequence[str], log: Path, *, listens: bool = False) -> None:
        """Start it; what it says on stderr goes to `log`. `listens` keeps its stdin and stdout for us."""
        log.parent.mkdir(parents=True, exist_ok=True)
        pipe = subprocess.PIPE if listens else subprocess.DEVNULL
        with log.open("ab") as output:
            self.popen = subprocess.Popen(  # noqa: S603 - our own interpreter and modules
                command, stdin=pipe, stdout=subprocess.PIPE if listens else output, stderr=output, text=True,
                env=os.environ | QUIET,
            )  # fmt: skip
        self.log = log
        self._known = psutil.Process(self.popen.pid)

    def cost(self) -> Cost:
        """Its own use, without its children's."""
        self.require_alive()
        with self._known.oneshot():
            used, memory = self._known.cpu_times(), self._known.memory_info()
        return Cost(at=time.time(), cpu=used.user + used.system, megabytes=memory.rss / 2**20)

    def children_cpu(self) -> float:
        """CPU seconds of its children: those that run and those that it has buried."""
        buried = self._known.cpu_times()
        running = 0.0
        for child in self._known.children():
            with suppress(psutil.Error):
                used = child.cpu_times()
                running += used.user + used.system
        return running + buried.children_user + buried.children_system

    def require_alive(self) -> None:
        """Raise `InputError` that names its log if it ended."""
        if self.popen.poll() is not None:
            raise InputError(f"a process ended early (code {self.popen.returncode}); see {self.log}")

    def end(self, signum: int = signal.SIGTERM, *, patience: float = 15.0) -> None:
        """Send a signal and wait; SIGKILL after `patience` seconds."""
        with suppress(ProcessLookupError):
            self.popen.send_signal(signum)
        try:
            self.popen.wait(patience)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()
        for pipe in (self.popen.stdin, self.popen.stdout):
            if pipe is not None:
                pipe.close()


class Coordinator(Process):
    """`covey serve`, listening when this returns."""

    def __init__(self, federation: Federation) -> None:
        settings = federation.settings()
        command = [sys.executable, "-m", "server", "--home", str(federation.home), "serve"]
        super().__init__(command, federation.logs / "serve.out")
        wait("the coordinator's start", lambda: answers(settings.host, settings.port), check=self.require_alive)


class Swarm:
    """The nodes, in a few processes."""

    def __init__(self, commands: Sequence[Sequence[str]], log: Path) -> None:
        """Start one process a command."""
        self._processes = [Process(command, log, listens=True) for command in commands]

    def __enter__(self) -> Self:
        """Nothing more to do."""
        return self

    def __exit__(self, *_: object) -> None:
        """End every process."""
        for process in self._processes:
            process.end(signal.SIGKILL)

    def count(self) -> Count:
        """Ask each process what its nodes did, and add it up."""
        requests: Counter[str] = Counter()
        asked: dict[str, list[float]] = {}
        plain: Counter[str] = Counter()
        for process in self._processes:
            said = _ask(process)
            requests.update(said["requests"])
            plain.update({name: said[name] for name in ("again", "answered", "void")})
            for name, moments in said["asked"].items():
                asked.setdefault(name, []).extend(moments)
        return Count(
            requests=requests, asked=asked, again=plain["again"], answered=plain["answered"], void=plain["void"]
        )

    def require_alive(self) -> None:
        """Raise `InputError` if a part of the swarm ended."""
        for process in self._processes:
            process.require_alive()


def _ask(process: Process) -> dict[str, dict[str, list[float]]]:
    said, heard = process.popen.stdin, process.popen.stdout
    assert said is not None
    assert heard is not None
    try:
        said.write("count\n")
        said.flush()
        return json.loads(heard.readline())
    except (BrokenPipeError, ValueError):
        raise InputError(f"a part of the swarm ended early; see {process.log}") from None


def wait(
    what: str, ready: Callable[[], object], *, check: Callable[[], None], seconds: float = START_SECONDS,
    every: float = 0.05,
) -> None:  # fmt: skip
    """Wait until `ready`, calling `check` at each look; raise `InputError` that says what did not happen."""
    end = time.monotonic() + seconds
    while not ready():
        check()
        if time.monotonic() > end:
            raise InputError(f"{what} did not happen within {seconds:.0f} s")
        time.sleep(every)


def answers(host: str, port: int) -> bool:
    """Whether somebody listens there."""
    import socket

    with socket.socket() as probe:
        return probe.connect_ex((host, port)) == 0
