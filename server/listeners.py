"""TLS listeners: a socket that is bound before anything starts, and uvicorn without its own signal handling."""

import asyncio
import errno
import os
import socket
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import uvicorn

from server.asgi import App
from server.config import Federation
from shared.errors import InputError

GRACE_SECONDS = 2
"""How long requests in flight may take once the coordinator stops."""


class _Server(uvicorn.Server):
    """Leaves SIGINT and SIGTERM to the service."""

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        """Capture none."""
        yield


class Listener:
    """One app on one bound socket."""

    def __init__(self, federation: Federation, app: App, bound: socket.socket, *, lifespan: bool = False) -> None:
        """`lifespan` runs the app's own startup and shutdown."""
        config: Any = uvicorn.Config(
            app, lifespan="on" if lifespan else "off", log_config=None, access_log=False, server_header=False,
            ssl_certfile=federation.tls / "server.crt", ssl_keyfile=federation.tls / "server.key",
            timeout_graceful_shutdown=GRACE_SECONDS, timeout_keep_alive=30, ws="none",
        )  # fmt: skip
        self._server, self._socket = _Server(config), bound
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Accept connections; returns when it does, or raises what the app's startup raised."""
        self._task = asyncio.create_task(self._server.serve(sockets=[self._socket]))
        while not self._server.started:
            if self._task.done():
                self._task.result()
                raise RuntimeError("a listener ended before it started")
            await asyncio.sleep(0.01)

    def take_up(self, federation: Federation) -> None:
        """Show new connections the certificate that lies there now; those that are open keep theirs."""
        if context := self._server.config.ssl:
            context.load_cert_chain(federation.tls / "server.crt", federation.tls / "server.key")

    async def stop(self) -> None:
        """Finish what is in flight and close."""
        self._server.should_exit = True
        if self._task is not None:
            await self._task


def bind(host: str, port: int) -> socket.socket:
    """A socket bound to `host` and `port`, or `InputError` that says why not."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        bound = socket.socket(family, kind, protocol)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
    except OSError as error:
        why = "is taken by another process" if error.errno == errno.EADDRINUSE else _reason(error)
        raise InputError(f"port {port} on {host} {why}; change it in federation.toml") from None
    return bound


def _reason(error: OSError) -> str:
    return f"cannot be used: {os.strerror(error.errno) if error.errno and error.errno > 0 else error}"
