"""This device's part in the fleet while the agent runs: its key, its trust, its node, and the child that trains."""

import ssl
from collections.abc import Callable
from threading import Event
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric import ec

from client import coordinator
from client.config import AgentHome, TaskHome
from client.enrol import load_key
from client.ledger import Ledger
from client.patience import Link
from client.store import AgentStore
from client.worker import Worker

if TYPE_CHECKING:
    from client.node import App, Node


class Membership:
    """Made once; `run` may be called again after it raised."""

    def __init__(
        self,
        home: AgentHome,
        app: "App | None",
        *,
        stopping: Event,
        on_release: Callable[[int], None],
        on_link: Callable[[Link], None],
    ) -> None:
        """`app` answers in place of the installed one, in tests."""
        self._home, self._app, self._stopping = home, app, stopping
        self._on_release, self._on_link = on_release, on_link
        self._worker: Worker | None = None
        self._node: Node | None = None

    def run(self) -> None:
        """Serve the fleet until the stop; raise `InputError` where key, trust or ledger cannot be used."""
        key, trust = identity(self._home)
        store = AgentStore(self._home.database)
        store.require_whole()
        store.seal_clear()
        from client.app import build_app
        from client.departures import Departures
        from client.node import Node

        departures = Departures(self._home, key=key)
        self._worker = Worker(self._home, on_stopped=self._remember)
        self._node = Node(
            coordinator=self._home.settings().coordinator, trust=trust, key=key,
            app=self._app or build_app(self._worker), agent=self._home.path.resolve(), ledger=Ledger(store),
            stopping=self._stopping, on_release=self._on_release, on_link=self._on_link,
            departures=departures,
        )  # fmt: skip
        try:
            self._node.run()
        finally:
            self._worker.close()
            departures.close()

    def leave(self) -> None:
        """Say goodbye to the fleet, and stop what is being computed."""
        if self._worker is not None:
            self._worker.close()
        if self._node is not None:
            self._node.leave()

    def make_room(self) -> None:
        """Let a training child go that only waits, before another child needs the memory."""
        if self._worker is not None:
            self._worker.rest()

    def _remember(self, place: TaskHome, why: str) -> None:
        """Keep for the owner that a request was cut short; nobody else hears of it."""
        store = AgentStore(self._home.database)
        store.add_refusal(place.name, "cut-short", why)
        store.close()


def identity(home: AgentHome) -> tuple[ec.EllipticCurvePrivateKey, ssl.SSLContext]:
    """The device's key, and whom it trusts; raise `InputError` where either is missing."""
    return load_key(home), coordinator.trust_only(coordinator.authority(home))
