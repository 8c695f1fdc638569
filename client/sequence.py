"""The charge sequence that the coordinator countersigns: how a ledger that was restored from an old copy is noticed.

After a charge and before its reply leaves, the device reports the charge's number, the head of the audit log and its
totals, sealed. At each start of a session it asks what the coordinator countersigned last. If that is ahead, or a
head that this log does not hold, the ledger here is an old copy: what it lacks is charged from the totals before
anything else. If they cannot be opened, this device declines everything until its owner says otherwise (rule 11).
"""

import base64
import logging
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from client import campaigns, receipts, totals
from client.audit import AuditLog
from client.config import AgentHome
from client.store import AgentStore
from client.vault import SealError, Vault
from shared import sequence as wire_types
from shared import wire
from shared.errors import InputError, NotEligible, WireError
from shared.failpoints import reached
from shared.sequence import SEALED_BYTES, Receipt, SequenceAnswer, SequenceReport, SequenceRequest

log = logging.getLogger(__name__)

Post = Callable[[bytes], bytes | None]
"""Sends a body to `/covey/sequence` until it is answered; None from a coordinator that takes no such thing."""

_OVERHEAD = 53
_GRANT = "`covey-agent ledger --accept-loss`"


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How the sequence stands: the ledger's number, the largest that was countersigned (None: none ever was).

    `declines` says why this device takes no part until that is settled; `note` what its owner should know.
    """

    number: int
    countersigned: int | None
    declines: str
    note: str


class Sequence:
    """One device's side of the sequence; made once a session, used by one thread."""

    def __init__(self, home: AgentHome, audit: AuditLog, *, device: str, post: Post) -> None:
        """`device` is `shared.sequence.fingerprint_of` its key; nothing is sent yet."""
        self._home, self._audit, self._device, self._post = home, audit, device, post
        self._store, self._vault = audit.store, Vault.open(home)
        self._known: int | None = None

    def reconcile(self) -> None:
        """Hold the ledger against what the coordinator countersigned last; for the start of a session.

        Raise `NotEligible` where that cannot be settled: then `check` makes every request declined.
        """
        answer = self._ask(SequenceRequest())
        if answer is None:
            self._without_route()
            return
        self._settle(answer)
        self.countersign()

    def countersign(self) -> None:
        """Have the newest charge countersigned, if it is not yet; nothing that was charged may leave before.

        Raises as `reconcile`, and `InputError` while the vault's keyring is locked.
        """
        for _ in range(2):
            check(self._store)
            report = self._report()
            if report is None:
                return
            reached("sequence.reported")
            answer = self._ask(SequenceRequest(report=report))
            if answer is None:
                self._without_route()
                return
            self._settle(answer)
        if self._report_is_due():
            raise self._unsettled("the coordinator answers with another sequence each time; ask its operator")

    def _report_is_due(self) -> bool:
        number, signed = _number(self._store), receipts.newest(self._store)
        known = signed if self._known is None else self._known
        return signed is None or known is None or number > min(signed, known)

    def _report(self) -> SequenceReport | None:
        """The newest charge, noted in the audit log as something that leaves; None if nothing is due."""
        with self._audit.lock, self._store.transaction():
            if not self._report_is_due():
                return None
            number = _number(self._store)
            data = totals.pack(totals.read(self._store), size=SEALED_BYTES - _OVERHEAD)
            blob = base64.b64encode(self._vault.seal(data, about=_about(number))).decode()
            draft = SequenceReport(number=number, head="0" * 64, blob=blob)
            size = len(wire.to_json(SequenceRequest(report=draft)))
            # The head that is countersigned is this very line's, which no copy from before the charge can hold.
            line = self._audit.append(
                "charge sequence", purpose=f"charge {number}, to be countersigned", content=blob.encode(), size=size
            )
        return replace(draft, head=line.hash.hex())

    def _ask(self, request: SequenceRequest) -> SequenceAnswer | None:
        body = self._post(wire.to_json(request))
        if body is None:
            return None
        try:
            answer = wire.from_json(SequenceAnswer, body, what="the countersigned sequence")
            self._verify(answer)
        except (WireError, ValueError) as error:
            raise self._unsettled(
                f"the coordinator's countersignature does not hold: {error}; ask its operator"
            ) from None
        return answer

    def _verify(self, answer: SequenceAnswer) -> None:
        if answer.receipt is None:
            return
        authority = self._home.authority.read_bytes()
        wire_types.verify(answer.receipt, device=self._device, authority=authority, now=datetime.now(UTC))
        if wire_types.blob_digest(answer.blob) != answer.receipt.blob_sha256:
            raise WireError("its totals are not those that were countersigned")
        if not (0 <= answer.receipt.number < wire_types.MOST // 2 and wire_types.is_digest(answer.receipt.head)):
            raise WireError("it is over what no device reports")

    def _settle(self, answer: SequenceAnswer) -> None:
        """Make the ledger here agree with what was countersigned last."""
        try:
            with self._audit.lock, self._store.transaction():
                self._agree(answer)
        except _BehindError as behind:
            raise self._unsettled(str(behind), behind.number) from None
        if answer.receipt is not None:
            reached("sequence.countersigned")

    def _agree(self, answer: SequenceAnswer) -> None:
        signed = receipts.newest(self._store)
        self._known = answer.receipt.number if answer.receipt else -1
        if signed is not None and self._known < signed:
            # Its backup was restored, or it lies; this ledger holds all that it ever countersigned, so it goes on.
            self._remark(f"the coordinator went back from charge {signed} to {max(self._known, 0)}; ask its operator")
        elif answer.receipt is not None:
            self._take(answer.receipt, answer.blob)
        self._set(unsettled="")

    def _take(self, receipt: Receipt, blob: str) -> None:
        """Keep a receipt for this very log; for any other one, charge what the ledger here lacks."""
        number, accepted = self._store.db.execute("SELECT number, accepted FROM sequence").fetchone()
        entry = self._audit.find(bytes.fromhex(receipt.head))
        if entry is not None and receipt.number <= number:
            receipts.keep(self._store, receipt, entry=entry)
            self._hold_to_totals(receipt.number, blob)
        elif receipt.number > accepted:
            self._recover(receipt.number, self._open(receipt.number, blob))

    def _hold_to_totals(self, number: int, blob: str) -> None:
        """Charge again what somebody took out of a ledger whose log is whole; unreadable totals show nothing."""
        try:
            found = self._open(number, blob)
        except _BehindError:
            return
        if totals.missing(found[1], totals.read(self._store, up_to=number), level=found[0]):
            self._recover(number, found)

    def _open(self, number: int, blob: str) -> tuple[int, list[totals.Total]]:
        old = "this ledger is an old copy"
        try:
            return totals.unpack(self._vault.unseal(wire_types.decoded(blob), about=_about(number)))
        except (SealError, WireError, ValueError):
            what = f"the coordinator countersigned charge {number}, and what was charged since cannot be read"
            raise _BehindError(f"{old}: {what}; {_GRANT} grants the budget anew", number) from None
        except InputError as error:
            raise _BehindError(f"{old}, and what it lacks cannot be read yet: {error}", 0) from None

    def _recover(self, number: int, found: tuple[int, list[totals.Total]]) -> None:
        """Charge what the totals have and this ledger lacks; charges that nobody countersigned are our own."""
        level, theirs = found
        lacking = totals.missing(theirs, totals.read(self._store, up_to=receipts.newest(self._store)), level=level)
        ahead = max(number, _number(self._store)) + 1
        for task in sorted({total.task for total in lacking}):
            ours = [total for total in lacking if total.task == task]
            self._store.add_settled(
                f"recovered/{ahead}/{task}", task, "recovered: this ledger lacked it",
                [total.cost for total in ours], at=max(t.day for t in ours) * totals.DAY, sequence=ahead,
            )  # fmt: skip
        campaigns.forget(self._store)
        self._store.db.execute("UPDATE sequence SET number = ?", (ahead,))
        self._audit.append("ledger", purpose=f"the ledger lacked what was charged up to {number}, and took it over")
        log.warning("the ledger lacked charges up to number %d; they are charged again here", number)

    def _without_route(self) -> None:
        """A coordinator of an earlier Covey countersigns nothing; one that did once must go on."""
        if receipts.newest(self._store) is not None:
            raise self._unsettled("the coordinator countersigned charges before and does not now; ask its operator")
        self._set(unsettled="")

    def _unsettled(self, why: str, behind: int = 0) -> NotEligible:
        """Note durably that every request must be declined, and why."""
        log.error("%s", why)
        self._set(unsettled=why, behind=behind)
        return NotEligible(why)

    def _set(self, *, unsettled: str, behind: int = 0) -> None:
        self._store.db.execute("UPDATE sequence SET unsettled = ?, behind = ?", (unsettled, behind))

    def _remark(self, what: str) -> None:
        log.warning("%s", what)
        self._store.db.execute("UPDATE sequence SET note = ?", (what,))


class _BehindError(Exception):
    """The coordinator is ahead, and what it holds cannot be opened."""

    def __init__(self, why: str, number: int) -> None:
        super().__init__(why)
        self.number = number


def check(store: AgentStore) -> None:
    """Raise `NotEligible` while the ledger is known to be an old copy; to be asked before each charge."""
    unsettled = str(store.db.execute("SELECT unsettled FROM sequence").fetchone()[0])
    if unsettled:
        raise NotEligible(unsettled)


def standing(home: AgentHome) -> Standing:
    """How the sequence of an agent stands."""
    with closing(AgentStore(home.database)) as store:
        row = store.db.execute("SELECT number, unsettled, note FROM sequence").fetchone()
        return Standing(
            number=row["number"], countersigned=receipts.newest(store), declines=row["unsettled"], note=row["note"]
        )


def accept_loss(home: AgentHome) -> int:
    """The owner grants the budget anew over the ledger as it is; returns the number whose charges are given up.

    Raise `InputError` if nothing is lost.
    """
    with closing(AuditLog(home)) as audit, audit.store.transaction():
        db = audit.store.db
        behind = int(db.execute("SELECT behind FROM sequence").fetchone()[0])
        if not behind:
            raise InputError(
                "there is no loss to accept: this ledger is not known to be an old copy that cannot be mended"
            )
        db.execute(
            "UPDATE sequence SET number = max(number, behind) + 1, accepted = behind, unsettled = '', behind = 0"
        )  # fmt: skip
        audit.append("ledger", purpose=f"its owner gave up what was charged up to {behind} and cannot be read")
    return behind


def _number(store: AgentStore) -> int:
    return int(store.db.execute("SELECT number FROM sequence").fetchone()[0])


def _about(number: int) -> str:
    return f"sequence/{number}"
