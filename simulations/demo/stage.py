"""The stage: the federation's and the agents' real commands, run as processes and ended by id."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Self

from client.config import AgentHome
from server.config import Federation
from server.store import Store
from shared.errors import InputError


class Stage:
    """Runs `covey` and `covey-agent`, keeps the long-running ones, and ends them when the story does."""

    def __init__(self, folder: Path) -> None:
        """Play in `folder`."""
        self.folder = folder
        self.federation = Federation(folder / "federation")
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.environment = os.environ | {"FLWR_TELEMETRY_ENABLED": "0", "OMP_NUM_THREADS": "1"}

    def __enter__(self) -> Self:
        """Raise the curtain."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End every process that was started here, agents first."""
        for name in reversed(list(self.processes)):
            self.end(name)

    @cached_property
    def store(self) -> Store:
        """The coordinator's store, read as the terminal UI reads it."""
        return Store(self.federation.database)

    def agent(self, device: str) -> AgentHome:
        """Name a device's own directory."""
        return AgentHome(self.folder / "devices" / device)

    def covey(self, *arguments: str) -> str:
        """Run an operator's command and return what it printed."""
        return self._command("server", "--home", str(self.federation.home), *arguments)

    def covey_agent(self, *arguments: str) -> str:
        """Run a device owner's command and return what it printed."""
        return self._command("client", *arguments)

    def side_by_side(self, acts: Sequence[Callable[[], object]]) -> None:
        """Do several things at once, two at a time; the first failure is raised."""
        with ThreadPoolExecutor(max_workers=2) as pool:
            for future in [pool.submit(act) for act in acts]:
                future.result()

    def start(self, name: str, module: str, *arguments: str) -> int:
        """Start a long-running process under `name` and return its pid; its output goes to a log file."""
        log = self.folder / "logs" / f"{name}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                [sys.executable, "-m", module, *arguments], stdout=output, stderr=output, env=self.environment
            )
        self.processes[name] = process
        return process.pid

    def end(self, name: str) -> None:
        """End one process politely, then firmly."""
        process = self.processes.pop(name)
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def wait(self, what: str, ready: Callable[[], bool], *, seconds: float) -> None:
        """Wait until `ready`, or raise `InputError` that says what did not happen, or who died."""
        end = time.monotonic() + seconds
        while not ready():
            self._check_alive()
            if time.monotonic() > end:
                raise InputError(f"{what} did not happen within {seconds:.0f} s; logs are in {self.folder / 'logs'}")
            time.sleep(0.1)

    def _check_alive(self) -> None:
        for name, process in self.processes.items():
            if process.poll() is not None:
                raise InputError(
                    f"{name} ended early (code {process.returncode}); see {self.folder / 'logs' / name}.log"
                )

    def _command(self, module: str, *arguments: str) -> str:
        done = subprocess.run(  # noqa: S603 - our own interpreter and module
            [sys.executable, "-m", module, *arguments],
            capture_output=True,
            text=True,
            env=self.environment,
            check=False,
        )
        if done.returncode:
            raise InputError(
                (done.stderr or done.stdout).strip().splitlines()[-1] if done.stderr or done.stdout else ""
            )
        return done.stdout


def free_ports(count: int) -> list[int]:
    """Find ports that nobody listens on."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(s.getsockname()[1]) for s in sockets]
    for s in sockets:
        s.close()
    return ports
