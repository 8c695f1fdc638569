"""The bytes of weights and of the optimizer's state, each kept once under its own SHA-256."""

import hashlib
import sqlite3
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager

from server.store.rows import Rows
from shared.database import transaction

NOTHING = hashlib.sha256(b"").hexdigest()
"""The address of no bytes at all: any other address that holds none was collected."""


class BlobRows(Rows):
    """What is kept by content; rows that name an address stay when its bytes are dropped."""

    def blob_sizes(self) -> dict[str, int]:
        """How many bytes lie under each address, 0 where they were collected."""
        return {row["sha256"]: row["bytes"] for row in self._all("SELECT sha256, length(data) AS bytes FROM blobs")}

    def blobs(self) -> Iterator[tuple[str, bytes]]:
        """Every address with its bytes as they lie there, unchecked; one at a time, since there may be many."""
        for address in sorted(self.blob_sizes()):
            row = self._one("SELECT data FROM blobs WHERE sha256 = ?", address)
            if row is not None:
                yield address, bytes(row["data"])

    def momenta(self) -> dict[str, set[int]]:
        """The runs whose rounds name each address as their optimizer's state."""
        found: dict[str, set[int]] = {}
        for row in self._all("SELECT DISTINCT run_id, momentum_sha256 FROM rounds WHERE momentum_sha256 IS NOT NULL"):
            found.setdefault(row["momentum_sha256"], set()).add(row["run_id"])
        return found

    def drop_blobs(self, addresses: Iterable[str]) -> None:
        """Drop the bytes under these addresses; the addresses stay, so that rows still say what was there."""
        for address in addresses:
            self._do("UPDATE blobs SET data = X'' WHERE sha256 = ?", address)

    def compact(self) -> bool:
        """Give what was dropped back to the disk; False while another process holds the file."""
        try:
            self._db.execute("VACUUM")
        except sqlite3.OperationalError:
            return False
        return True

    @contextmanager
    def alone(self) -> Generator[None]:
        """Let no other process write until this is done: what is read inside stays true."""
        with transaction(self._db):
            yield
