"""Nonces that were seen: a signed request is worth one request."""

from collections import deque


class Replays:
    """Remembers each (key, nonce) for `seconds`, which must cover the window in which a signature is valid.

    The memory starts empty with the process: after a restart only TLS keeps a captured request of the last
    five minutes from being sent once more.
    """

    def __init__(self, *, seconds: float) -> None:
        """An empty memory."""
        self._seconds = seconds
        self._seen: set[tuple[bytes, str]] = set()
        self._oldest: deque[tuple[float, tuple[bytes, str]]] = deque()

    def seen(self, key: bytes, nonce: str, *, now: float) -> bool:
        """Whether this nonce came from this key before; from now on it did."""
        self._forget(now - self._seconds)
        entry = (key, nonce)
        if entry in self._seen:
            return True
        self._seen.add(entry)
        self._oldest.append((now, entry))
        return False

    def _forget(self, before: float) -> None:
        while self._oldest and self._oldest[0][0] < before:
            self._seen.discard(self._oldest.popleft()[1])
