"""The countersignatures that this device keeps: each says that the coordinator has seen a head of the audit log."""

from dataclasses import dataclass

from client.config import AgentHome
from client.store import AgentStore
from shared import wire
from shared.errors import WireError
from shared.sequence import Receipt, verify

MOST = 100
"""How many receipts are kept; the newest covers every line before it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchor:
    """A line of the audit log whose hash was countersigned; `signed` says whether the signature holds."""

    number: int
    entry: int
    head: bytes
    signed: bool


def keep(store: AgentStore, receipt: Receipt, *, entry: int) -> None:
    """Keep a receipt that was verified, with the line that its head is the hash of; call inside a transaction."""
    body = wire.to_json(receipt).decode()
    store.db.execute("INSERT OR REPLACE INTO receipts VALUES (?, ?, ?)", (receipt.number, entry, body))
    store.db.execute("DELETE FROM receipts WHERE number <= (SELECT max(number) FROM receipts) - ?", (MOST,))


def newest(store: AgentStore) -> int | None:
    """The largest number that was countersigned, if any was."""
    return store.db.execute("SELECT max(number) FROM receipts").fetchone()[0]


def anchors(store: AgentStore, home: AgentHome) -> list[Anchor]:
    """Every receipt that is kept, held against the federation's authority where that is still here."""
    try:
        authority = home.authority.read_bytes()
    except OSError:
        authority = b""
    rows = store.db.execute("SELECT * FROM receipts ORDER BY number")
    return [_anchor(row["number"], row["entry"], row["body"], authority) for row in rows]


def _anchor(number: int, entry: int, body: str, authority: bytes) -> Anchor:
    try:
        receipt = wire.from_json(Receipt, body.encode(), what=f"receipt {number}")
        if authority:
            verify(receipt, device=receipt.device, authority=authority)
        head = bytes.fromhex(receipt.head)
    except (WireError, ValueError):
        return Anchor(number=number, entry=entry, head=b"", signed=False)
    return Anchor(number=number, entry=entry, head=head, signed=True)
