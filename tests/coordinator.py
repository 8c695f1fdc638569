"""`covey` and `covey serve` in processes of their own, for tests that need the real thing."""

import re
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx

from server.config import Federation

ROOT = Path(__file__).parents[1]
PATIENCE = 120.0


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found_one:
        return int(found_one.getsockname()[1])


def covey(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "server", "--home", str(home), *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE, check=False)


def until(condition: Callable[[], object], *, every: float = 0.05) -> None:
    ends = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < ends, "what was waited for never came"
        time.sleep(every)


def lives(pid: int) -> bool:
    """Whether a process runs; one that ended and waits to be noticed does not."""
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


class Coordinator:
    """`covey serve` in a process of its own."""

    def __init__(self, federation: Federation, *words: str) -> None:
        self.federation, self.settings = federation, federation.settings()
        command = [sys.executable, "-m", "server", "--home", str(federation.home), "serve", *words]
        self.process = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
        )
        assert self.process.stdout is not None
        self.said = self.process.stdout.readline()

    def client(self, port: int | None = None) -> httpx.Client:
        context = ssl.create_default_context(cafile=str(self.federation.tls / "ca.crt"))
        return httpx.Client(
            base_url=f"https://127.0.0.1:{port or self.settings.port}",
            verify=context,
            timeout=PATIENCE,
            trust_env=False,
        )

    def log(self) -> str:
        return (self.federation.logs / "coordinator.log").read_text()

    def process_of(self, run: int) -> int | None:
        """The newest process of a run, by the coordinator's log."""
        named = re.findall(rf"run {run} is process (\d+)", self.log())
        return int(named[-1]) if named else None

    def end(self, signum: int = signal.SIGTERM) -> tuple[int, str]:
        self.process.send_signal(signum)
        out, err = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, out + err
