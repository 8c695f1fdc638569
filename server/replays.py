"""Nonces that were seen: a signed request is worth one request."""

import hashlib


class Replays:
    """Remembers each (key, nonce) for `seconds` or longer, which must cover the window in which a signature is valid.

    Each is 16 bytes of its hash, in one of two generations: the older one is forgotten whole, once everything in it is
    old enough. The memory starts empty with the process: after a restart only TLS keeps a captured request of the last
    five minutes from being sent once more.
    """

    def __init__(self, *, seconds: float) -> None:
        """An empty memory."""
        self._seconds = seconds
        self._young: set[bytes] = set()
        self._old: set[bytes] = set()
        self._since = 0.0

    def seen(self, key: bytes, nonce: str, *, now: float) -> bool:
        """Whether this nonce came from this key before; from now on it did."""
        self._forget(now)
        entry = hashlib.sha256(key + b"/" + nonce.encode()).digest()[:16]
        if entry in self._young or entry in self._old:
            return True
        self._young.add(entry)
        return False

    def _forget(self, now: float) -> None:
        """Begin a generation once the young one has lasted as long as anything must be remembered."""
        if now - self._since >= self._seconds:
            self._old = self._young if now - self._since < 2 * self._seconds else set()
            self._young, self._since = set(), now
