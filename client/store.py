"""The agent's store: one SQLite file with the ledger, consents, refusals, and (client/audit.py) the audit log.

Commits are durable against power loss (`synchronous = FULL`): a charge that was not written did not happen. Replies
and the words of refusals are sealed by the vault; rows of an earlier Covey stay readable until `seal_clear`.
"""

import logging
import sqlite3
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from client.config import AgentHome
from client.lifetimes import Alive
from client.schema import MIGRATIONS
from client.vault import SealError, Vault
from shared.database import connect, transaction
from shared.errors import InputError
from shared.privacy import Cost, Level, SampledGaussian, Trust

log = logging.getLogger(__name__)

ChargeState = Literal["charged", "sealed", "sent", "void"]

MOST_REFUSALS = 1000
"""How many refusals are kept; a coordinator may cause as many as it likes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """One line of the ledger: a request that was paid for, and how far its reply got.

    `reply` is as it is kept, sealed where `encrypted`; `AgentStore.reply` opens it. `sequence` counts charges. `dated`,
    `rows_from` and `rows_until` are which rows it was for, and None if any.
    """

    id: int
    request: str
    task: str
    purpose: str
    state: ChargeState
    charged_at: float
    sealed_at: float | None
    sent_at: float | None
    reply: bytes | None
    encrypted: int = 0
    sequence: int = 0
    dated: str | None = None
    rows_from: int | None = None
    rows_until: int | None = None

    @property
    def alive(self) -> Alive | None:
        """The rows that were charged; None if any row was."""
        if self.dated is None or self.rows_from is None or self.rows_until is None:
            return None
        return Alive(column=self.dated, start=self.rows_from, end=self.rows_until)


@dataclass(frozen=True, slots=True, kw_only=True)
class Consent:
    """What an owner agreed to, when (Unix time), as it read; `withdrawn_at` once that ended."""

    task: str
    sha256: str
    agreed_at: float
    words: str
    withdrawn_at: float | None


class AgentStore:
    """Reads and writes the agent's records."""

    def __init__(self, path: Path | str) -> None:
        """Open or create the file at `path`; the vault is the agent's whose directory that is.

        `:memory:`, in tests, has no vault: what no disk keeps is not sealed.
        """
        self.db = connect(path, MIGRATIONS, synchronous="FULL")
        self.db.execute("PRAGMA secure_delete = ON")
        self.vault = None if str(path) == ":memory:" else Vault.open(AgentHome(Path(path).parent))

    def close(self) -> None:
        """Release the file."""
        self.db.close()

    def require_whole(self) -> None:
        """Raise `InputError` if the file is damaged: one that cannot tell what was spent must not be charged."""
        try:
            found = str(self.db.execute("PRAGMA quick_check(1)").fetchone()[0])
        except sqlite3.DatabaseError as error:
            found = str(error)
        if found != "ok":
            raise InputError(
                f"the ledger agent.db is damaged ({found.splitlines()[0]}); put a copy of it back, or move it away: what "
                "the coordinator countersigned is then charged again"
            )

    def transaction(self) -> Any:
        """All of it or none of it, with the write lock held."""
        return transaction(self.db)

    def add_charge(
        self, request: str, task: str, purpose: str, cost: Cost, *, at: float | None = None, alive: Alive | None = None
    ) -> None:
        """Write a charge and what it costs, by default now and for any row; call inside `transaction`.

        This raises the sequence.
        """
        self.db.execute("UPDATE sequence SET number = number + 1")
        rows = (alive.column, alive.start, alive.end) if alive else (None, None, None)
        cursor = self.db.execute(
            "INSERT INTO charges (request, task, purpose, state, charged_at, sequence, dated, rows_from, rows_until) "
            "VALUES (?, ?, ?, 'charged', ?, (SELECT number FROM sequence), ?, ?, ?)",
            (request, task, purpose, time.time() if at is None else at, *rows),
        )
        self._add_events(cursor.lastrowid, (cost,))

    def add_settled(
        self, request: str, task: str, purpose: str, costs: Iterable[Cost], *, at: float, sequence: int
    ) -> None:
        """Write a charge whose reply is no longer owed; call inside `transaction`."""
        cursor = self.db.execute(
            "INSERT INTO charges (request, task, purpose, state, charged_at, sequence) VALUES (?, ?, ?, 'void', ?, ?)",
            (request, task, purpose, at, sequence),
        )
        self._add_events(cursor.lastrowid, costs)

    def _add_events(self, charge: int | None, costs: Iterable[Cost]) -> None:
        rows = [
            (charge, event.noise_multiplier, event.sample_rate, event.steps, level, cost.trust)
            for cost in costs
            for level, event in cost.lines()
        ]
        self.db.executemany("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?)", rows)

    def charge(self, request: str) -> Charge | None:
        """The charge made for a request, if any."""
        row = cast(
            "sqlite3.Row | None", self.db.execute("SELECT * FROM charges WHERE request = ?", (request,)).fetchone()
        )
        return Charge(**dict(row)) if row else None

    def charges(self) -> list[Charge]:
        """The whole ledger, oldest first."""
        return [Charge(**dict(row)) for row in self.db.execute("SELECT * FROM charges ORDER BY id")]

    def reply(self, charge: Charge) -> bytes | None:
        """A charge's reply as it is to leave; None without one, or once the key that sealed it is gone.

        Raise `InputError` while the keyring that holds the key is locked.
        """
        if charge.reply is None or not charge.encrypted or self.vault is None:
            return charge.reply
        try:
            return self.vault.unseal(charge.reply, about=f"replies/{charge.request}")
        except SealError as error:
            log.warning("the reply to %s is lost: %s", charge.request, error)
            return None

    def events(
        self, *, task: str | None = None, since: float | None = None, level: Level = "record"
    ) -> list[SampledGaussian]:
        """What was charged at a level, for one task or all, since a time or ever; equal mechanisms merged.

        A release that trusts nobody costs the same at `record` level and `alone`.
        """
        rows = self.db.execute(
            "SELECT noise_multiplier, sample_rate, sum(steps) AS steps FROM costs JOIN charges ON charges.id = charge "
            "WHERE level = :level AND (:task IS NULL OR task = :task) AND (:since IS NULL OR charged_at >= :since) "
            "GROUP BY noise_multiplier, sample_rate",
            {"task": task, "since": since, "level": level},
        )
        return [SampledGaussian(**dict(row)) for row in rows]

    def count(self, *, task: str | None = None) -> int:
        """How many charges there are, of one task or of all."""
        query = "SELECT count(*) FROM charges WHERE ? IS NULL OR task = ?"
        return int(self.db.execute(query, (task, task)).fetchone()[0])

    def events_of(self, charge: int, *, level: Level = "record") -> list[SampledGaussian]:
        """What one charge paid for at a level."""
        query = "SELECT noise_multiplier, sample_rate, steps FROM costs WHERE charge = ? AND level = ?"
        return [SampledGaussian(**dict(row)) for row in self.db.execute(query, (charge, level))]

    def trusts(self, *, charge: int | None = None) -> frozenset[Trust]:
        """Against whom what was charged holds: of one charge, or of all."""
        query = "SELECT DISTINCT trust FROM events WHERE ? IS NULL OR charge = ?"
        return frozenset(row["trust"] for row in self.db.execute(query, (charge, charge)))

    def seal(self, request: str, reply: bytes) -> int:
        """Keep the reply's bytes, sealed; returns how many charges moved from `charged` to `sealed`."""
        kept = self.vault.seal(reply, about=f"replies/{request}") if self.vault else reply
        return self.db.execute(
            "UPDATE charges SET state = 'sealed', reply = ?, encrypted = ?, sealed_at = ? "
            "WHERE request = ? AND state = 'charged'",
            (kept, int(self.vault is not None), time.time(), request),
        ).rowcount

    def close_charge(self, request: str, state: Literal["sent", "void"]) -> None:
        """The coordinator has the reply, or no longer wants it; its bytes are not needed any more."""
        self.db.execute(
            "UPDATE charges SET state = ?, sent_at = ?, reply = NULL WHERE request = ? AND state = 'sealed'",
            (state, time.time(), request),
        )

    def agree(self, task: str, sha256: str, *, words: str = "") -> None:
        """The owner agrees to a task as it reads under this digest; `words` are what was shown.

        Each time is a line of its own, so that what was agreed to and withdrawn before stays on record.
        """
        self.db.execute(
            "INSERT INTO consents (task, sha256, agreed_at, words) VALUES (?, ?, ?, ?)",
            (task, sha256, time.time(), words),
        )

    def withdraw(self, task: str) -> int:
        """The owner no longer agrees to a task; returns how many consents that ended."""
        query = "UPDATE consents SET withdrawn_at = ? WHERE task = ? AND withdrawn_at IS NULL"
        return self.db.execute(query, (time.time(), task)).rowcount

    def agreed(self, task: str, sha256: str) -> bool:
        """Whether the owner agrees to the task as it reads under this digest."""
        query = "SELECT 1 FROM consents WHERE task = ? AND sha256 = ? AND withdrawn_at IS NULL"
        return self.db.execute(query, (task, sha256)).fetchone() is not None

    def consents(self) -> list[Consent]:
        """Everything that was ever agreed to, oldest first."""
        query = "SELECT task, sha256, agreed_at, words, withdrawn_at FROM consents ORDER BY id"
        return [Consent(**dict(row)) for row in self.db.execute(query)]

    def add_refusal(self, task: str, category: str, detail: str) -> None:
        """Remember, on the device only, why it declined; the oldest make room."""
        at = time.time()
        with self.transaction():
            self.db.execute(
                "INSERT INTO refusals (at, task, category, detail) VALUES (?, ?, ?, ?)",
                (at, task, category, self._sealed_words(detail, at, task)),
            )
            self.db.execute(
                "DELETE FROM refusals WHERE id <= (SELECT max(id) FROM refusals) - ?", (MOST_REFUSALS,)
            )  # fmt: skip

    def refusals(self) -> list[dict[str, Any]]:
        """The refusals that are kept, oldest first: `at`, `task`, `category`, `detail`."""
        rows = self.db.execute("SELECT at, task, category, detail FROM refusals ORDER BY id")
        return [{**dict(row), "detail": self._words(row["detail"], row["at"], row["task"])} for row in rows]

    def seal_clear(self) -> None:
        """Seal what an earlier Covey kept in clear; raise `InputError` while the vault's keyring is locked."""
        if self.vault is None:
            return
        with self.transaction():
            clear = self.db.execute("SELECT request, reply FROM charges WHERE reply IS NOT NULL AND NOT encrypted")
            replies = [
                (self.vault.seal(row["reply"], about=f"replies/{row['request']}"), row["request"]) for row in clear
            ]
            self.db.executemany("UPDATE charges SET reply = ?, encrypted = 1 WHERE request = ?", replies)
            found = self.db.execute("SELECT * FROM refusals WHERE typeof(detail) = 'text' AND detail != ''").fetchall()
            words = [(self._sealed_words(row["detail"], row["at"], row["task"]), row["id"]) for row in found]
            self.db.executemany("UPDATE refusals SET detail = ? WHERE id = ?", words)
        if replies or words:
            self.db.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _sealed_words(self, detail: str, at: float, task: str) -> bytes | str:
        """A locked keyring costs the words of a refusal, not the refusal."""
        if self.vault is None:
            return detail
        try:
            return self.vault.seal(detail.encode(), about=f"refusals/{task}/{at!r}")
        except InputError:
            return ""

    def _words(self, kept: bytes | str, at: float, task: str) -> str:
        if isinstance(kept, str) or self.vault is None:
            return str(kept)
        try:
            return self.vault.unseal(kept, about=f"refusals/{task}/{at!r}").decode()
        except InputError:
            return "(sealed, and its key is not at hand)"
