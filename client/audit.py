"""The audit log: an append-only, hash-chained line for everything that left this device, for its owner to read.

Each line's hash covers the one before, and the purpose as it is sealed, so that the chain can be verified without a
key. The sealed purpose is random to whoever lacks the key: a hash tells nothing of what it covers. What the chain
cannot show is that its end was cut off; the heads that the coordinator countersigned do (client/sequence.py).
"""

import hashlib
import json
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Literal, cast

from client.config import AgentHome
from client.receipts import Anchor, anchors
from client.store import AgentStore
from client.vault import Vault
from shared import accounting
from shared.errors import InputError
from shared.failpoints import reached

Kind = Literal[
    "enrolment",
    "training update",
    "survey",
    "refusal",
    "health report",
    "charge sequence",
    "contact",
    "ledger",
    "aggregation step",
]
"""What left. `contact` sums up requests that carry no content, and `ledger` notes what happened to the ledger itself."""

UNSEEN = (
    "what left before the first line, after a crash within the last hour of polls, or in the newest lines that no "
    "countersigned head covers yet, would not be missed; nor would a log that somebody with the whole disk wrote anew "
    "together with the coordinator"
)

LOST = "(sealed, and its key is gone)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line as it is kept; `sha256` is of the content that left, `purpose` is sealed, `hash` closes the chain."""

    id: int
    at: float
    kind: Kind
    task: str
    size: int
    epsilon: float
    sha256: str
    purpose: bytes
    hash: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditLine:
    """One line as its owner reads it; `epsilon` is what everything had cost when it was written."""

    id: int
    at: float
    kind: Kind
    task: str
    size: int
    purpose: str
    epsilon: float
    sha256: str
    hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Whether the log holds together: `wrong` is the first line that does not fit, 0 if all do, and `why` says how.

    Lines `begins` to `begins + entries - 1` are there; up to `anchored` the coordinator has countersigned them (0: none).
    `unseen` says what no check of the log can show.
    """

    entries: int
    begins: int
    anchored: int
    wrong: int = 0
    why: str = ""
    unseen: str = UNSEEN


class AuditLog:
    """The log of one agent. Safe to use from several threads, and from several processes at once."""

    def __init__(self, home: AgentHome) -> None:
        """Open the agent's database on a connection of its own."""
        self._home = home
        self.lock = threading.RLock()
        self.store = AgentStore(home.database)
        self._vault = Vault.open(home)

    def close(self) -> None:
        """Release the file."""
        self.store.close()

    def add(self, kind: Kind, *, task: str = "", purpose: str, content: bytes = b"", size: int | None = None) -> Entry:
        """Note durably what is about to leave; `size` is what travels where that is more than the content.

        Raise `InputError` while the vault's keyring is locked, or the disk takes nothing: then nothing may leave.
        """
        with self.lock:
            try:
                with self.store.transaction():
                    entry = self.append(kind, task=task, purpose=purpose, content=content, size=size)
            except sqlite3.OperationalError as error:
                raise InputError(f"the audit log cannot be written ({error}); nothing leaves until it can be") from None
            reached("audit.added")
        return entry

    def append(
        self, kind: Kind, *, task: str = "", purpose: str, content: bytes = b"", size: int | None = None
    ) -> Entry:
        """As `add`, inside a transaction of the caller, who holds the lock."""
        number, before = self.head()
        line = Entry(
            id=number + 1, at=time.time(), kind=kind, task=task, size=len(content) if size is None else size,
            epsilon=self._epsilon(), sha256=hashlib.sha256(content).hexdigest() if content else "",
            purpose=self._vault.seal(purpose.encode(), about=f"audit/{number + 1}"), hash=b"",
        )  # fmt: skip
        line = replace(line, hash=_digest(before, line))
        self.store.db.execute(
            "INSERT INTO audit VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (line.id, line.at, kind, task, line.size, line.epsilon, line.sha256, line.purpose, line.hash),
        )
        return line

    def noted(self, kind: Kind, content: bytes) -> bool:
        """Whether these very bytes have a line already: sent again, they tell nothing more."""
        query = "SELECT 1 FROM audit WHERE sha256 = ? AND kind = ?"
        return self.store.db.execute(query, (hashlib.sha256(content).hexdigest(), kind)).fetchone() is not None

    def head(self) -> tuple[int, bytes]:
        """The last line's number and hash; the start's where there is none."""
        row = self.store.db.execute("SELECT id, hash FROM audit ORDER BY id DESC LIMIT 1").fetchone()
        return (int(row["id"]), bytes(row["hash"])) if row else _start(self.store.db)

    def find(self, digest: bytes) -> int | None:
        """The line that has this hash; the erased start counts."""
        query = "SELECT id FROM audit WHERE hash = ? UNION ALL SELECT entry FROM audit_start WHERE hash = ?"
        row = self.store.db.execute(query, (digest, digest)).fetchone()
        return int(row[0]) if row else None

    def entries(self) -> Iterator[Entry]:
        """Every line that is kept, oldest first."""
        return (_entry(row) for row in self.store.db.execute("SELECT * FROM audit ORDER BY id"))

    def verify(self) -> Verdict:
        """Follow the chain, and hold it against the heads that the coordinator countersigned."""
        start, before = _start(self.store.db)
        held = {anchor.entry: anchor for anchor in anchors(self.store, self._home) if anchor.entry > start}
        last, anchored, wrong, why = start, 0, 0, ""
        try:
            for entry in self.entries():
                why = why or _misfit(entry, last, before, held.get(entry.id))
                wrong = wrong or (entry.id if why else 0)
                anchored = entry.id if entry.id in held and not why else anchored
                last, before = entry.id, entry.hash
        except sqlite3.Error as error:
            wrong, why = wrong or last + 1, why or f"line {last + 1} cannot be read: {error}"
        cut = max(held, default=0)
        if not why and cut > last:
            wrong, why = last + 1, f"lines {last + 1} to {cut} were removed: line {cut} was countersigned"
        return Verdict(entries=last - start, begins=start + 1, anchored=anchored, wrong=wrong, why=why)

    def lines(self) -> list[AuditLine]:
        """Every line, readable, oldest first; raise `InputError` while the vault's keyring is locked."""
        return [self._line(entry) for entry in self.entries()]

    def _line(self, entry: Entry) -> AuditLine:
        return AuditLine(
            id=entry.id, at=entry.at, kind=entry.kind, task=entry.task, size=entry.size, epsilon=entry.epsilon,
            purpose=_purpose(self._vault, entry), sha256=entry.sha256, hash=entry.hash.hex(),
        )  # fmt: skip

    def _epsilon(self) -> float:
        """What everything has cost; without a policy that names a delta, at the one that tasks use."""
        try:
            delta = self._home.settings().budget.delta
        except InputError:
            delta = 1e-5
        return accounting.epsilon(self.store.events(), delta=delta)


def listing(home: AgentHome) -> list[AuditLine]:
    """Everything that left this device, oldest first, readable; raises as `AuditLog.lines`."""
    with closing(AuditLog(home)) as log:
        return log.lines()


def verify(home: AgentHome) -> Verdict:
    """Whether the log of an agent holds together."""
    with closing(AuditLog(home)) as log:
        return log.verify()


def note(home: AgentHome, kind: Kind, *, task: str = "", purpose: str, content: bytes = b"") -> None:
    """Write one line, as `AuditLog.add`."""
    with closing(AuditLog(home)) as log:
        log.add(kind, task=task, purpose=purpose, content=content)


def _misfit(entry: Entry, last: int, before: bytes, anchor: Anchor | None) -> str:
    """Why a line does not fit behind the one before; empty if it does."""
    if entry.id != last + 1:
        return f"lines {last + 1} to {entry.id - 1} are missing"
    whole = isinstance(entry.purpose, bytes) and isinstance(entry.hash, bytes)  # pyright: ignore[reportUnnecessaryIsInstance]
    if not whole or _digest(before, entry) != entry.hash:
        return f"line {entry.id} was changed, or the one before it is another"
    if anchor and not anchor.signed:
        return f"the countersignature over line {entry.id} does not hold"
    if anchor and anchor.head != entry.hash:
        return f"line {entry.id} is not the one that the coordinator countersigned: the log was written anew"
    return ""


def _digest(before: bytes, entry: Entry) -> bytes:
    fields = (
        entry.id, entry.at, entry.kind, entry.task, entry.size, entry.epsilon, entry.sha256, entry.purpose.hex()
    )  # fmt: skip
    return hashlib.sha256(before + json.dumps(fields, separators=(",", ":"), default=repr).encode()).digest()


def _start(db: sqlite3.Connection) -> tuple[int, bytes]:
    row = db.execute("SELECT entry, hash FROM audit_start").fetchone()
    return int(row["entry"]), bytes(row["hash"])


def _entry(row: sqlite3.Row) -> Entry:
    return Entry(**cast(dict[str, object], dict(row)))  # type: ignore[arg-type]


def _purpose(vault: Vault, entry: Entry) -> str:
    from client.vault import SealError

    try:
        return vault.unseal(entry.purpose, about=f"audit/{entry.id}").decode()
    except SealError:
        return LOST
