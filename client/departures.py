"""What happens before bytes leave: a line in the audit log, and for a paid reply the coordinator's countersignature."""

import logging
from collections.abc import Callable

from cryptography.hazmat.primitives.asymmetric import ec
from flwr.app import Message
from flwr.common.serde import message_to_proto

from client.audit import AuditLog, Kind
from client.config import AgentHome
from client.contacts import Contacts
from client.sequence import Sequence
from client.store import Charge
from shared import messages
from shared.errors import InputError, NotEligible, WireError
from shared.rounds import RefusalReport
from shared.sequence import PATH, fingerprint_of

log = logging.getLogger(__name__)

Post = Callable[[str, bytes], bytes | None]
"""Sends a body to one of Covey's own routes until it is answered; None where there is no such route."""

_COUNTED_ELSEWHERE = ("push-messages", "push-object", PATH.rpartition("/")[2])


class Departures:
    """Watches the door of one agent; made once, used by every session."""

    def __init__(self, home: AgentHome, *, key: ec.EllipticCurvePrivateKey) -> None:
        """`key` is the device's own, whose sequence the coordinator keeps."""
        self._home, self._device = home, fingerprint_of(key)
        self._audit = AuditLog(home)
        self.contacts = Contacts(self._audit)
        self._sequence: Sequence | None = None

    def reconcile(self, post: Post) -> None:
        """At the start of a session, hold the ledger against what was countersigned.

        Where that cannot be settled, or the vault is locked, every request is declined; the session goes on.
        """
        self._sequence = Sequence(
            self._home, self._audit, device=self._device, post=lambda body: post(PATH, body)
        )  # fmt: skip
        try:
            self._sequence.reconcile()
        except (NotEligible, InputError) as error:
            log.warning("requests are declined until this is settled: %s", error)

    def clear(self, reply: Message) -> None:
        """Let a reply leave: note it, and have its charge countersigned. Returning means that it may be pushed.

        Raise `NotEligible` for a paid reply while the sequence is not settled, and `InputError` while the vault is
        locked; the reply then stays sealed here.
        """
        body = message_to_proto(reply).SerializeToString()
        charge = self._audit.store.charge(reply.metadata.reply_to_message_id)
        kind: Kind = _kind(reply, charge)
        if charge is None or not self._audit.noted(kind, body):
            self._audit.add(kind, task=charge.task if charge else "", purpose=_purpose(reply, charge), content=body)
        if charge is not None and self._sequence is not None:
            self._sequence.countersign()

    def note(self, path: str, size: int) -> None:
        """Count a request; what carries a reply or a report has a line of its own."""
        name = path.rpartition("/")[2]
        if name not in _COUNTED_ELSEWHERE:
            self.contacts.add(name, size)

    def close(self) -> None:
        """Write what was counted, and release the files."""
        self.contacts.flush()
        self._audit.close()


def _kind(reply: Message, charge: Charge | None) -> Kind:
    """What leaves: something that was paid for, a step of secure aggregation that tells of no row, or a refusal."""
    if charge is not None:
        return "training update" if reply.metadata.message_type == "train" else "survey"
    is_step = reply.has_content() and "refusal" not in messages.names(reply.content)
    return "aggregation step" if is_step else "refusal"


def _purpose(reply: Message, charge: Charge | None) -> str:
    if charge is not None:
        return charge.purpose
    if not reply.has_content():
        return f"declined: {reply.error.reason}"
    try:
        return f"declined: {messages.unpack(reply.content, 'refusal', RefusalReport).category}"
    except WireError:
        return "keys, shares or signatures of a sum; nothing of a row"
