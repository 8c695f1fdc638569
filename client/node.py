"""One device in the fleet: pull a message, hand it to the installed app, push the reply.

Code and configuration of the run that sent the message play no part: the app is the one that is installed here.
"""

import logging
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from random import SystemRandom
from threading import Event, Thread

from cryptography.hazmat.primitives.asymmetric import ec
from flwr.app import Context, Error, Message, RecordDict
from flwr.proto.message_pb2 import ObjectTree

from client.departures import Departures
from client.desk import read_sealed
from client.fleet import HEARTBEAT_SECONDS, Fleet
from client.ledger import Ledger
from client.patience import Declined, Link, Stopped, Unrecognised, pause
from shared.errors import InputError, NotEligible, WireError

log = logging.getLogger(__name__)

App = Callable[[Message, Context], Message]

POLL_SECONDS = 1.0
"""The least time between two polls that brought nothing, where the coordinator does not hold them."""

_CLIENT_APP_RAISED_EXCEPTION = 2


class Node:
    """A device's life in the fleet, from its first request to its farewell."""

    def __init__(
        self,
        *,
        coordinator: str,
        trust: ssl.SSLContext,
        key: ec.EllipticCurvePrivateKey,
        app: App,
        agent: Path,
        ledger: Ledger,
        stopping: Event,
        on_release: Callable[[int], None] = lambda _: None,
        on_link: Callable[[Link], None] = lambda _: None,
        departures: Departures | None = None,
    ) -> None:
        """Prepare to speak to `coordinator` (`host:port`) for the agent in a directory; nothing is sent yet."""
        self._app, self._agent, self._ledger, self._stopping = app, agent, ledger, stopping
        self._random, self._departures = SystemRandom(), departures
        self._busy = False
        self._fleet = Fleet(
            coordinator=coordinator, trust=trust, key=key, stopping=stopping, on_release=on_release, on_link=on_link,
            on_sent=departures.note if departures else lambda _path, _bytes: None,
        )  # fmt: skip

    def run(self) -> None:
        """Serve until `stopping` is set; a session that breaks is opened again."""
        while not self._stopping.is_set():
            try:
                self._session()
            except Stopped:
                return
            except (Unrecognised, Declined):
                # A coordinator that was restarted gives this device another number.
                log.info("the coordinator does not recognise the session; opening a new one")
            except Exception:
                log.exception("the session broke; opening a new one")
            self._stopping.wait(pause(3, "unknown", random=self._random))

    def leave(self) -> None:
        """Hang up after `run`; with a goodbye, unless a reply is still owed.

        After a goodbye the coordinator gives up on what this device owes, and a charge would be wasted; without
        one it waits a little longer.
        """
        self._fleet.leave(goodbye=not self._ledger.unsent())

    def _session(self) -> None:
        """Enter, send what an earlier run of the agent sealed, then answer message after message."""
        self._busy = True
        self._fleet.enter()
        ended = Event()
        Thread(target=self._keep_beating, args=(ended,), name="heartbeat", daemon=True).start()
        try:
            if self._departures:
                self._departures.reconcile(self._fleet.post)
            self._send_unsent()
            while True:
                began = time.monotonic()
                self._busy = False
                if not self._serve_waiting():
                    self._stopping.wait(max(0.0, POLL_SECONDS - (time.monotonic() - began)))
        finally:
            ended.set()

    def _keep_beating(self, ended: Event) -> None:
        """Beat while there is work: a poll that rests keeps this device's place by itself."""
        while not ended.wait(HEARTBEAT_SECONDS * (0.6 + 0.2 * self._random.random())):
            if self._stopping.is_set():
                return
            if self._busy:
                self._fleet.beat()

    def _serve_waiting(self) -> int:
        """Answer the messages that wait; returns how many there were."""
        heads = self._fleet.heads()
        self._busy = True
        for head, tree in heads:
            self._serve(head, tree)
        return len(heads)

    def _serve(self, head: Message, tree: ObjectTree) -> None:
        """Fetch one message, let the app answer it, deliver the reply."""
        try:
            reply = self._answer(self._fleet.fetch(head, tree))
        except Declined:
            log.info("message %s was withdrawn", head.metadata.message_id)
            return
        except WireError as error:
            log.warning("message %s cannot be answered: %s", head.metadata.message_id, error)
            reply = _failure(head, "unreadable")
        self._deliver(reply)

    def _answer(self, message: Message) -> Message:
        """Call the app; its exceptions become one fixed word, because their texts may tell of data."""
        context = Context(
            run_id=message.metadata.run_id,
            node_id=self._fleet.node_id,
            node_config={"agent": str(self._agent)},
            state=RecordDict(),
            run_config={},
        )
        try:
            return self._app(message, context)
        except Exception:
            log.exception("the app failed on message %s", message.metadata.message_id)
            return _failure(message, "failed")

    def _send_unsent(self) -> None:
        """Push again, byte for byte, what was sealed and never confirmed."""
        for request, sealed in self._ledger.unsent():
            log.info("sending the sealed reply to %s again", request)
            self._deliver(read_sealed(sealed))

    def _deliver(self, reply: Message) -> None:
        """Push a reply until the coordinator has it, or no longer wants it, and note which in the ledger."""
        request = reply.metadata.reply_to_message_id
        try:
            if self._departures:
                self._departures.clear(reply)
            self._fleet.push(reply)
        except (NotEligible, InputError) as error:
            log.warning("the reply to %s stays here: %s", request, error)
        except Declined as error:
            log.info("the reply to %s is void: %s", request, error)
            self._ledger.mark_void(request)
        else:
            self._ledger.mark_sent(request)


def _failure(message: Message, category: str) -> Message:
    """Reply that there is no answer, with one of a few fixed words."""
    return Message(Error(code=_CLIENT_APP_RAISED_EXCEPTION, reason=category), reply_to=message)
