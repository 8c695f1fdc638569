"""The agent's store: one SQLite file, and every line of SQL that the device has.

Commits are durable against power loss (`synchronous = FULL`): a charge that was not written did not happen.
"""

import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from shared.database import connect, transaction
from shared.privacy import SampledGaussian

ChargeState = Literal["charged", "sealed", "sent", "void"]

MIGRATIONS = (
    """
    CREATE TABLE charges (
        id INTEGER PRIMARY KEY AUTOINCREMENT, request TEXT NOT NULL UNIQUE, task TEXT NOT NULL,
        purpose TEXT NOT NULL, state TEXT NOT NULL, charged_at REAL NOT NULL, sealed_at REAL, sent_at REAL, reply BLOB
    );
    CREATE TABLE events (
        charge INTEGER NOT NULL REFERENCES charges(id), noise_multiplier REAL NOT NULL,
        sample_rate REAL NOT NULL, steps INTEGER NOT NULL
    );
    CREATE TABLE consents (
        task TEXT NOT NULL, sha256 TEXT NOT NULL, agreed_at REAL NOT NULL, PRIMARY KEY (task, sha256)
    );
    CREATE TABLE refusals (
        id INTEGER PRIMARY KEY AUTOINCREMENT, at REAL NOT NULL, task TEXT NOT NULL, category TEXT NOT NULL,
        detail TEXT NOT NULL
    );
    """,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """One line of the ledger: a request that was paid for, and how far its reply got."""

    id: int
    request: str
    task: str
    purpose: str
    state: ChargeState
    charged_at: float
    sealed_at: float | None
    sent_at: float | None
    reply: bytes | None


class AgentStore:
    """Reads and writes the agent's records."""

    def __init__(self, path: Path | str) -> None:
        """Open or create the file at `path` (`:memory:` in tests)."""
        self._db = connect(path, MIGRATIONS, synchronous="FULL")

    def close(self) -> None:
        """Release the file."""
        self._db.close()

    def transaction(self) -> Any:
        """All of it or none of it, with the write lock held."""
        return transaction(self._db)

    def add_charge(self, request: str, task: str, purpose: str, events: tuple[SampledGaussian, ...]) -> None:
        """Write a charge and what it costs; call inside `transaction`."""
        cursor = self._db.execute(
            "INSERT INTO charges (request, task, purpose, state, charged_at) VALUES (?, ?, ?, 'charged', ?)",
            (request, task, purpose, time.time()),
        )
        rows = [(cursor.lastrowid, e.noise_multiplier, e.sample_rate, e.steps) for e in events]
        self._db.executemany("INSERT INTO events VALUES (?, ?, ?, ?)", rows)

    def charge(self, request: str) -> Charge | None:
        """The charge made for a request, if any."""
        row = cast(
            "sqlite3.Row | None", self._db.execute("SELECT * FROM charges WHERE request = ?", (request,)).fetchone()
        )
        return Charge(**dict(row)) if row else None

    def charges(self) -> list[Charge]:
        """The whole ledger, oldest first."""
        return [Charge(**dict(row)) for row in self._db.execute("SELECT * FROM charges ORDER BY id")]

    def events(self) -> list[SampledGaussian]:
        """Everything ever charged, equal mechanisms merged: the input of an accountant."""
        rows = self._db.execute(
            "SELECT noise_multiplier, sample_rate, sum(steps) AS steps FROM events GROUP BY noise_multiplier, sample_rate"
        )
        return [SampledGaussian(**dict(row)) for row in rows]

    def events_of(self, charge: int) -> list[SampledGaussian]:
        """What one charge paid for."""
        query = "SELECT noise_multiplier, sample_rate, steps FROM events WHERE charge = ?"
        return [SampledGaussian(**dict(row)) for row in self._db.execute(query, (charge,))]

    def seal(self, request: str, reply: bytes) -> int:
        """Keep the reply's bytes; returns how many charges moved from `charged` to `sealed`."""
        return self._db.execute(
            "UPDATE charges SET state = 'sealed', reply = ?, sealed_at = ? WHERE request = ? AND state = 'charged'",
            (reply, time.time(), request),
        ).rowcount

    def close_charge(self, request: str, state: Literal["sent", "void"]) -> None:
        """The coordinator has the reply, or no longer wants it; its bytes are not needed any more."""
        self._db.execute(
            "UPDATE charges SET state = ?, sent_at = ?, reply = NULL WHERE request = ? AND state = 'sealed'",
            (state, time.time(), request),
        )

    def agree(self, task: str, sha256: str) -> None:
        """The owner agrees to a task as it reads under this digest."""
        self._db.execute("INSERT OR REPLACE INTO consents VALUES (?, ?, ?)", (task, sha256, time.time()))

    def withdraw(self, task: str) -> None:
        """The owner no longer agrees to a task."""
        self._db.execute("DELETE FROM consents WHERE task = ?", (task,))

    def agreed(self, task: str, sha256: str) -> bool:
        """Whether the owner agreed to the task as it reads under this digest."""
        query = "SELECT 1 FROM consents WHERE task = ? AND sha256 = ?"
        return self._db.execute(query, (task, sha256)).fetchone() is not None

    def add_refusal(self, task: str, category: str, detail: str) -> None:
        """Remember, on the device only, why it declined."""
        self._db.execute(
            "INSERT INTO refusals (at, task, category, detail) VALUES (?, ?, ?, ?)",
            (time.time(), task, category, detail),
        )

    def refusals(self) -> list[dict[str, Any]]:
        """Every refusal, oldest first: `at`, `task`, `category`, `detail`."""
        return [dict(row) for row in self._db.execute("SELECT at, task, category, detail FROM refusals ORDER BY id")]
