"""Who has mail: lets a node's poll rest at the coordinator until there is something to fetch."""

import asyncio
from collections.abc import Iterable


class Mailbox:
    """Nodes that a message waits for, and the polls that rest here; lives on one event loop.

    A poll that came back empty-handed costs a few milliseconds of a core, so an idle fleet polls once
    per `patience`, and a node that was written to is woken at once. A device waits 30 seconds for an answer.
    """

    def __init__(self, *, patience: float = 24.0) -> None:
        """`patience` is the longest that a poll may rest, in seconds."""
        self._patience = patience
        self._waiting: dict[int, set[asyncio.Event]] = {}
        self._full: set[int] = set()
        self._closed = False

    def deliver(self, nodes: Iterable[int]) -> None:
        """A message now waits for each of `nodes`."""
        for node in nodes:
            self._full.add(node)
            self._wake(node)

    def empty(self, node: int) -> None:
        """The node fetched, and nothing was left."""
        self._full.discard(node)

    def ring(self) -> None:
        """Let every resting poll go on: a release, a task or a device's state changed."""
        for node in tuple(self._waiting):
            self._wake(node)

    def close(self) -> None:
        """Let every poll go on, now and from now on: the coordinator stops."""
        self._closed = True
        self.ring()

    def would_rest(self, node: int) -> bool:
        """Whether a poll of `node` has to wait now."""
        return not (self._closed or node in self._full)

    async def rest(self, node: int) -> None:
        """Return once `node` has mail, somebody rings, or `patience` is over."""
        if not self.would_rest(node):
            return
        event = asyncio.Event()
        self._waiting.setdefault(node, set()).add(event)
        try:
            await asyncio.wait_for(event.wait(), timeout=self._patience)
        except TimeoutError:
            pass
        finally:
            self._forget(node, event)

    def _wake(self, node: int) -> None:
        for event in self._waiting.get(node, ()):
            event.set()

    def _forget(self, node: int, event: asyncio.Event) -> None:
        self._waiting[node].discard(event)
        if not self._waiting[node]:
            del self._waiting[node]
