"""`covey-agent` in processes of its own, for tests that need real devices; a recorded one notes what it is sent."""

import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from coordinator import PATIENCE, ROOT, covey, until

from client.config import AgentHome

RECORDED = Path(__file__).with_name("recorded.py")


class Push(NamedTuple):
    """One reply on its way out: whose answer it is, and the SHA-256 of its bytes."""

    request: str
    sha256: str


def covey_agent(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "client", *words, "--home", str(home)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE, check=False)


class Agent:
    """One device: its directory, and its process while it runs."""

    def __init__(self, home: Path, *, recorded: bool = False) -> None:
        self.home, self.name = home, home.name
        self._command = [sys.executable, str(RECORDED)] if recorded else [sys.executable, "-m", "client"]
        self.process: subprocess.Popen[bytes] | None = None

    def join(self, federation: Path, data: Path, *, epsilon: float) -> str:
        """Follow a new invitation; returns what was said."""
        invited = covey(federation, "invite")
        assert invited.returncode == 0, invited.stderr
        joined = self.says(
            "join", invited.stdout.strip(), "--data", str(data), "--epsilon", str(epsilon), "--name", self.name, "--yes"
        )
        approved = covey(federation, "approve", self.name)
        assert approved.returncode == 0, approved.stderr
        return joined

    def start(self) -> None:
        AgentHome(self.home).link_file.unlink(missing_ok=True)
        command = [*self._command, "run", "--home", str(self.home)]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL, env=environment)

    def send(self, signum: int) -> None:
        assert self.process is not None
        self.process.send_signal(signum)

    def end(self, signum: int = signal.SIGTERM) -> None:
        """End the process, a frozen one too; an agent that does not run is fine."""
        if self.process is not None:
            self.send(signal.SIGCONT)
            self.send(signum)
            assert self.process.wait(PATIENCE) == (0 if signum == signal.SIGTERM else -signum)
            self.process = None

    def says(self, *words: str) -> str:
        """What a command prints; it must succeed."""
        done = covey_agent(self.home, *words)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def shows(self, *words: str) -> Any:
        """What a command prints as JSON."""
        return json.loads(self.says(*words, "--json"))

    def wait_for_link(self, link: str) -> None:
        """Wait until the running agent says that it stands so with the coordinator."""
        file = AgentHome(self.home).link_file
        until(lambda: file.exists() and file.read_text() == link)

    @property
    def asked(self) -> list[str]:
        """The requests that reached a recorded agent, in order."""
        return [request for kind, request, _ in self._record() if kind == "asked"]

    @property
    def pushed(self) -> list[Push]:
        """What a recorded agent sent or tried to send, in order."""
        return [Push(request, sha256) for kind, request, sha256 in self._record() if kind == "pushed"]

    def _record(self) -> list[list[str]]:
        file = self.home / "record"
        return [line.split(" ") for line in file.read_text().splitlines()] if file.exists() else []


def end_all(agents: list[Agent]) -> None:
    """End all at once, because each says goodbye in its own time."""
    with ThreadPoolExecutor(max_workers=8) as side_by_side:
        list(side_by_side.map(Agent.end, agents))
