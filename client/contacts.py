"""Requests that carry nothing of the owner's, polls, heartbeats and looks for releases: one line an hour at most."""

import logging
import sqlite3
import threading
import time
from collections import Counter

from client.audit import AuditLog
from shared.errors import InputError

log = logging.getLogger(__name__)

EVERY_SECONDS = 3600.0


class Contacts:
    """Counts requests in memory and sums them up in the audit log; safe to use from several threads."""

    def __init__(self, audit: AuditLog) -> None:
        """Nothing was counted yet."""
        self._audit, self._lock = audit, threading.Lock()
        self._counts: Counter[str] = Counter()
        self._bytes = 0
        self._since = time.monotonic()

    def add(self, kind: str, size: int) -> None:
        """Count one request of `size` bytes; every hour, write the line."""
        with self._lock:
            self._counts[kind] += 1
            self._bytes += size
            due = time.monotonic() - self._since >= EVERY_SECONDS
        if due:
            self.flush()

    def flush(self) -> None:
        """Write what was counted; a locked keyring or a full disk puts that off."""
        with self._lock:
            counts, size = Counter(self._counts), self._bytes
            if not counts:
                return
            self._since = time.monotonic()
            words = ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items()))
            try:
                self._audit.add("contact", purpose=words, size=size)
            except (InputError, sqlite3.Error) as error:
                log.warning("the requests of this hour are not in the audit log yet: %s", error)
                return
            self._counts.clear()
            self._bytes = 0
