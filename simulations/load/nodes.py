"""One device of the swarm: the embedded node of `client/node.py`, whose app answers without training.

Its ledger lives in memory, its replies are sealed once, and it reports its charges as a real device does, so that a
message costs the coordinator what it costs in deployment. No example exists here, so nothing private can leave.
"""

import base64
import hashlib
import os
import ssl
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event

import numpy as np
from cryptography.hazmat.primitives.asymmetric import ec
from flwr.app import Context, Message
from flwr.common.serde import message_to_proto

from client.departures import Departures, Post
from client.desk import read_sealed
from client.ledger import Ledger
from client.node import Node
from shared import messages, wire
from shared.rounds import RoundPlan, TrainReport
from shared.sequence import PATH, SEALED_BYTES, SequenceReport, SequenceRequest


@dataclass(slots=True)
class Tally:
    """What the nodes of one process did; safe to use from several threads.

    `requests` counts by the path's last word, `asked` holds when each round's message reached each node (Unix
    seconds), `answered` counts replies that the coordinator confirmed, `void` those that it no longer wanted.
    """

    size: int
    requests: Counter[str] = field(default_factory=Counter[str])
    asked: dict[str, list[float]] = field(default_factory=dict[str, list[float]])
    again: int = 0
    answered: int = 0
    void: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, path: str) -> None:
        """Count one request."""
        with self.lock:
            self.requests[path.rpartition("/")[2]] += 1


class Sealed(Ledger):
    """A ledger in memory that charges nothing: it keeps each reply's bytes until the coordinator confirmed them."""

    def __init__(self, tally: Tally) -> None:
        """Nothing was asked yet."""
        self._tally = tally
        self.number = 0
        self.replies: dict[str, bytes] = {}
        self.done: set[str] = set()

    def keep(self, request: str, reply: bytes) -> None:
        """Seal a reply."""
        self.number += 1
        self.replies[request] = reply

    def mark_sent(self, request: str) -> None:
        """Count it, and let its bytes go."""
        self._close(request)
        with self._tally.lock:
            self._tally.answered += 1

    def mark_void(self, request: str) -> None:
        """Count it, and let its bytes go."""
        self._close(request)
        with self._tally.lock:
            self._tally.void += 1

    def unsent(self) -> list[tuple[str, bytes]]:
        """Sealed replies that never got through."""
        return list(self.replies.items())

    def _close(self, request: str) -> None:
        self.replies.pop(request, None)
        self.done.add(request)


class Door(Departures):
    """Lets replies leave after a countersignature, as a device's own does, and counts every request."""

    def __init__(self, tally: Tally, ledger: Sealed) -> None:
        """Nothing was countersigned yet."""
        self._tally, self._ledger, self._countersigned = tally, ledger, 0
        self._post: Post | None = None

    def reconcile(self, post: Post) -> None:
        """Ask what was countersigned last."""
        self._post = post
        post(PATH, wire.to_json(SequenceRequest()))

    def clear(self, reply: Message) -> None:  # noqa: ARG002 - the base class holds the reply against its log
        """Report the newest charge, if it was not yet."""
        if self._post is None or self._countersigned >= self._ledger.number:
            return
        number = self._countersigned = self._ledger.number
        head = hashlib.sha256(str(number).encode()).hexdigest()
        blob = base64.b64encode(os.urandom(SEALED_BYTES)).decode()
        self._post(PATH, wire.to_json(SequenceRequest(report=SequenceReport(number=number, head=head, blob=blob))))

    def note(self, path: str, size: int) -> None:  # noqa: ARG002 - the coordinator counts bytes
        """Count a request."""
        self._tally.note(path)

    def close(self) -> None:
        """Nothing was opened."""


class Answering:
    """The app: a valid update, drawn once for this device and moved a little each round, sealed before it leaves."""

    def __init__(self, ledger: Sealed, tally: Tally, *, seed: int) -> None:
        """`seed` tells this device's updates from the others'."""
        drawn = np.random.default_rng(seed).normal(0.0, 1.0, tally.size)
        self._update = (drawn / np.linalg.norm(drawn)).astype(np.float32)
        self._ledger, self._tally = ledger, tally

    def __call__(self, message: Message, context: Context) -> Message:  # noqa: ARG002 - Flower's app gets a context
        """Answer a plan; the same request gets the same bytes again."""
        request = message.metadata.message_id
        plan = messages.unpack(message.content, "plan", RoundPlan)
        with self._tally.lock:
            self._tally.asked.setdefault(f"{plan.run_id}.{plan.number}", []).append(time.time())
            self._tally.again += request in self._ledger.done or request in self._ledger.replies
        if request not in self._ledger.replies:
            self._ledger.keep(request, message_to_proto(self._answer(message, plan)).SerializeToString())
        return read_sealed(self._ledger.replies[request])

    def _answer(self, message: Message, plan: RoundPlan) -> Message:
        update = self._update.copy()
        update[0] = plan.number / 1000
        report = TrainReport(run_id=plan.run_id, round_number=plan.number, base_version=plan.base_version)
        reply = Message(messages.pack("report", report, array=update), reply_to=message)
        reply.metadata.created_at, reply.metadata.ttl = message.metadata.created_at, message.metadata.ttl
        return reply


def make_node(
    coordinator: str, trust: ssl.SSLContext, key: ec.EllipticCurvePrivateKey, tally: Tally, *, seed: int,
    stopping: Event,
) -> Node:  # fmt: skip
    """A node of the swarm that will speak to `coordinator` (`host:port`)."""
    ledger = Sealed(tally)
    return Node(
        coordinator=coordinator, trust=trust, key=key, app=Answering(ledger, tally, seed=seed), agent=Path("swarm"),
        ledger=ledger, stopping=stopping, departures=Door(tally, ledger),
    )  # fmt: skip
