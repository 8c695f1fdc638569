"""The endpoint's process part: listeners on a loop in a thread of its own, which starts and stops with the agent."""

import asyncio
import logging
import socket
from collections.abc import Generator
from contextlib import contextmanager
from threading import Event, Thread
from typing import Any, Self

import uvicorn
import uvloop

from client.config import AgentHome
from client.serving import sockets
from client.serving.app import Endpoint
from client.serving.headers import CappedProtocol
from client.serving.metrics import Counts
from client.serving.pool import Pool
from client.serving.routes import Routes

log = logging.getLogger(__name__)

GRACE_SECONDS = 2
"""How long requests in flight may take once the service stops."""

KEEP_ALIVE_SECONDS = 60
MOST_CONNECTIONS = 512


class _Server(uvicorn.Server):
    """Leaves the signals to the agent."""

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        """Capture none."""
        yield


class PredictionService:
    """Answers predictions on the agent's socket until it is stopped."""

    def __init__(self, home: AgentHome, *, port: int | None = None, record: bool = True) -> None:
        """`port` also listens on loopback, behind the token in `agent.token`; `record` keeps answers for outcomes."""
        self.home, self._port, self._record = home, port, record
        self._own: tuple[int, int] | None = None
        self._servers: list[_Server] = []
        self._ended = Event()
        self.listening: list[socket.socket] = []

    def start(self) -> None:
        """Listen, and return once requests are answered; raise `InputError` if that cannot be.

        Sockets that a service manager passed are taken before any is made.
        """
        self.listening = sockets.passed() or self._listen()
        self.pool = Pool(self.home, record=self._record)
        counts = Counts()
        routes = Routes(self.pool, counts).table()
        self._servers = [self._server(one, counts, routes) for one in self.listening]
        self._thread = Thread(target=self._run, name="predictions", daemon=True)
        self._thread.start()
        self.pool.start()
        while not all(server.started for server in self._servers) and not self._ended.wait(0.002):
            pass

    def stop(self) -> None:
        """Finish what is in flight, within two seconds, and close."""
        for server in self._servers:
            server.should_exit = True
        self._thread.join(GRACE_SECONDS + 1)
        self.pool.stop()
        if self._own is not None and _inode(self.home) == self._own:
            self.home.socket.unlink(missing_ok=True)

    def reload(self) -> None:
        """Look at once whether another release serves."""
        self.pool.reload()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _listen(self) -> list[socket.socket]:
        own = sockets.listen_at(self.home.socket)
        self._own = _inode(self.home)
        return [own] if self._port is None else [own, sockets.listen_on(self._port)]

    def _server(self, bound: socket.socket, counts: Counts, routes: Any) -> _Server:
        token = None if bound.family == socket.AF_UNIX else sockets.token(self.home.path / "agent.token")
        config: Any = uvicorn.Config(
            Endpoint(self.pool, counts, routes, token=token), http=CappedProtocol, ws="none", lifespan="off",
            interface="asgi3", log_config=None, log_level="warning", access_log=False, server_header=False, date_header=False,
            proxy_headers=False, timeout_graceful_shutdown=GRACE_SECONDS, timeout_keep_alive=KEEP_ALIVE_SECONDS,
            limit_concurrency=MOST_CONNECTIONS,
        )  # fmt: skip
        return _Server(config)

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(self._serve())
        except Exception:
            log.exception("the prediction service ended")
        finally:
            self._ended.set()

    async def _serve(self) -> None:
        pairs = zip(self._servers, self.listening, strict=True)
        await asyncio.gather(*(server.serve(sockets=[bound]) for server, bound in pairs))


def _inode(home: AgentHome) -> tuple[int, int] | None:
    try:
        found = home.socket.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
