"""The agent under test: its socket is held as a service manager holds it, and a process that died is started again."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from threading import Event, Thread

import psutil

from client.config import AgentHome

RESTART_SECONDS = 0.1
"""What systemd waits unless its unit says otherwise (`RestartSec=`)."""

BACKLOG = 4096
UPDATE_SECONDS = 60
_TAKE_OVER = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.execve(sys.argv[2], sys.argv[2:], {**os.environ, "LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1"})
"""
"""As a service manager does: the socket is the process's third file (sd_listen_fds(3))."""


class Device:
    """One agent, kept alive until `close`."""

    def __init__(self, home: AgentHome, log: Path) -> None:
        """Hold the socket; what the agent prints goes to `log`."""
        self.home, self._log = home, log
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.bind(str(home.socket))
        self.socket.listen(BACKLOG)
        self.process: subprocess.Popen[bytes] | None = None
        self.kills = self.deaths = 0
        self._closing = Event()
        self._keeper = Thread(target=self._keep, name="keeper", daemon=True)

    def start(self) -> None:
        """Start the agent, and again whenever it ends."""
        self.process = self._launch()
        self._keeper.start()

    def kill(self) -> None:
        """End it as a power cut would."""
        self.kills += 1
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)

    def megabytes(self) -> float:
        """The agent's own memory, without its children; 0 while it is down."""
        try:
            return psutil.Process(self.process.pid).memory_info().rss / 2**20 if self.process else 0.0
        except psutil.Error:
            return 0.0

    def close(self) -> None:
        """End the agent politely, and let go of the socket."""
        self._closing.set()
        self._keeper.join()
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.socket.close()

    def _keep(self) -> None:
        while not self._closing.wait(0.02):
            if self.process is not None and self.process.poll() is not None:
                self.deaths += 1
                time.sleep(RESTART_SECONDS)
                self.process = self._launch()

    def _launch(self) -> subprocess.Popen[bytes]:
        words = [sys.executable, "-m", "client", "run", "--home", str(self.home.path)]
        words += ["--update-seconds", str(UPDATE_SECONDS)]
        held = self.socket.fileno()
        take = [sys.executable, "-ISc", _TAKE_OVER, str(held)]
        with self._log.open("ab") as output:
            return subprocess.Popen(  # noqa: S603 - our own interpreter and module
                [*take, *words], pass_fds=[held], stdout=output, stderr=output,
                stdin=subprocess.DEVNULL, env=os.environ | {"OMP_NUM_THREADS": "1"},
            )  # fmt: skip
