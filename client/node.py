"""The device's end of Flower's fleet protocol: pull a message, let the installed app answer, push the reply.

The one client file that knows Flower's internals. It never asks for a run's bundle nor for its configuration,
so neither code nor settings that the coordinator sends can act here (decision 2, privacy rule 18).
"""

import hashlib
import itertools
import logging
import random
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from threading import Event, Thread
from typing import Any, TypeVar, cast

import httpx
from cryptography.hazmat.primitives.asymmetric import ec
from flwr.app import Context, Error, Message, RecordDict
from flwr.app.message import remove_content_from_message
from flwr.common.constant import ErrorCode
from flwr.common.serde import message_from_proto, message_to_proto
from flwr.proto.fleet_pb2 import (
    ActivateNodeRequest,
    DeactivateNodeRequest,
    PullMessagesRequest,
    PullMessagesResponse,
    PushMessagesRequest,
    PushMessagesResponse,
)
from flwr.proto.heartbeat_pb2 import SendNodeHeartbeatRequest
from flwr.proto.message_pb2 import ConfirmMessageReceivedRequest, ObjectTree, PullObjectRequest, PushObjectRequest
from flwr.proto.message_pb2 import Message as MessageProto
from flwr.proto.node_pb2 import Node as NodeProto
from flwr.supercore.inflatable.inflatable_object import (
    InflatableObject,
    get_all_nested_objects,
    get_object_tree,
    iterate_object_tree,
    no_object_id_recompute,
)
from flwr.supercore.inflatable.inflatable_utils import inflate_object_from_contents
from flwr.supercore.protobuf.client import ProtobufCall, ProtobufRequestContext
from flwr.supernode.fleet_http_client import FleetHttpClient
from flwr.supernode.node_auth_http_interceptor import NodeAuthHttpInterceptor

from client.ledger import Ledger
from client.patience import MEANING, Declined, Link, Unrecognised, pause, verdict
from shared.errors import CoveyError, WireError
from shared.signing import public_key_bytes, sign

log = logging.getLogger(__name__)

App = Callable[[Message, Context], Message]
Answer = TypeVar("Answer")

HEARTBEAT_SECONDS = 10.0
"""Flower's least interval; a device that died is noticed, and may come back, after twice this."""

POLL_SECONDS = 1.0
"""The least time between two polls that brought nothing, where the coordinator does not hold them."""

MAX_OBJECTS = 64
MAX_MESSAGE_BYTES = 64 * 2**20
RELEASE_HEADER = "covey-release"


class Stopped(CoveyError):
    """The agent is stopping; whatever was going on is taken up at the next start."""


class CoveyHeaders:
    """Sign each request (privacy rule 20), and read the release hint off each response."""

    def __init__(self, key: ec.EllipticCurvePrivateKey, on_release: Callable[[int], None]) -> None:
        """Sign with `key`; call `on_release` whenever the hint grows."""
        self._key, self._on_release, self._seen = key, on_release, 0

    def intercept(self, context: ProtobufRequestContext, call_next: ProtobufCall) -> httpx.Response:
        """Wrap one request, as Flower's client asks of an interceptor."""
        request = context.request
        signed = sign(
            self._key, method=request.method, path=request.url.path, body=request.content, now=time.time()
        )  # fmt: skip
        request.headers.update(signed)
        response = call_next(context)
        self._notice(response.headers.get(RELEASE_HEADER, ""))
        return response

    def _notice(self, hint: str) -> None:
        """A hint says where to look, never what to believe: a wrong one costs one look at signed metadata."""
        if hint.isascii() and hint.isdigit() and len(hint) < 10 and int(hint) > self._seen:
            self._seen = int(hint)
            self._on_release(self._seen)


class Node:
    """One device in the fleet, from its first request to its farewell."""

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
    ) -> None:
        """Prepare to speak to `coordinator` (`host:port`); nothing is sent before `run`."""
        self._key, self._app, self._agent, self._ledger = key, app, agent, ledger
        self._stopping, self._on_link = stopping, on_link
        self._link: Link = "starting"
        self._node: NodeProto | None = None
        self._random = random.SystemRandom()
        self._fleet = FleetHttpClient(
            f"https://{coordinator}",
            verify=trust,
            interceptors=[NodeAuthHttpInterceptor(key, key.public_key()), CoveyHeaders(key, on_release)],
        )

    def run(self) -> None:
        """Serve until `stopping` is set; a session that breaks is opened again."""
        for attempt in itertools.count():
            try:
                self._session()
            except Stopped:
                return
            except Unrecognised:
                log.info("the coordinator does not recognise the session; opening a new one")
            except Exception:
                log.exception("the session broke; opening a new one")
            if self._stopping.wait(pause(attempt, "unknown", random=self._random)):
                return

    def leave(self) -> None:
        """Say goodbye, so that this device may come back at once; a coordinator that is away is not waited for."""
        node, self._node = self._node, None
        if node is None or self._link != "online":
            return
        try:
            self._fleet.DeactivateNode(DeactivateNodeRequest(node_id=node.node_id))
        except (httpx.HTTPError, ValueError) as error:
            log.info("left without a goodbye: %s", type(error).__name__)

    def _session(self) -> None:
        """Go online, send what an earlier run of the agent sealed, then answer message after message."""
        node = self._activate()
        ended = Event()
        Thread(target=self._beat, args=(node, ended), name="heartbeat", daemon=True).start()
        try:
            self._send_unsent(node)
            while True:
                self._poll(node)
        finally:
            ended.set()

    def _activate(self) -> NodeProto:
        request = ActivateNodeRequest(
            public_key=public_key_bytes(self._key.public_key()), heartbeat_interval=HEARTBEAT_SECONDS
        )
        answer = self._call(self._fleet.ActivateNode, request, reopen=False)
        self._node = NodeProto(node_id=answer.node_id)
        return self._node

    def _beat(self, node: NodeProto, ended: Event) -> None:
        """Keep the device's place in the fleet; a missed beat is made up by the next."""
        request = SendNodeHeartbeatRequest(node=node, heartbeat_interval=HEARTBEAT_SECONDS)
        while not ended.wait(HEARTBEAT_SECONDS * (0.6 + 0.2 * self._random.random())) and not self._stopping.is_set():
            try:
                self._fleet.SendNodeHeartbeat(request)
            except (httpx.HTTPError, ValueError) as error:
                log.debug("heartbeat missed: %s", type(error).__name__)

    def _poll(self, node: NodeProto) -> None:
        began = time.monotonic()
        answer: PullMessagesResponse = self._call(self._fleet.PullMessages, PullMessagesRequest(node=node))
        for head, tree in zip(answer.messages_list, answer.message_object_trees, strict=True):
            self._serve(node, message_from_proto(head), tree)
        if not answer.messages_list:
            self._stopping.wait(max(0.0, POLL_SECONDS - (time.monotonic() - began)))

    def _serve(self, node: NodeProto, head: Message, tree: ObjectTree) -> None:
        """Fetch, answer and reply to one message."""
        try:
            message = self._fetch(node, head, tree)
        except Declined:
            log.info("message %s was withdrawn", head.metadata.message_id)
            return
        except WireError as error:
            log.warning("message %s: %s", head.metadata.message_id, error)
            reply = _failure(head, "unreadable")
        else:
            reply = self._answer(node, message)
        self._deliver(node, reply)

    def _fetch(self, node: NodeProto, head: Message, tree: ObjectTree) -> Message:
        """Pull the objects that make up a message, and put it together; raise `WireError` if it is malformed."""
        run, identity = head.metadata.run_id, head.metadata.message_id
        wanted = {part.object_id for part in iterate_object_tree(tree)}
        if tree.object_id != identity or len(wanted) > MAX_OBJECTS:
            raise WireError(f"its tree of {len(wanted)} objects is not its own")
        contents: dict[str, bytes] = {}
        for name in wanted:
            contents[name] = self._pull(PullObjectRequest(node=node, run_id=run, object_id=name))
            if sum(map(len, contents.values())) > MAX_MESSAGE_BYTES:
                raise WireError(f"it is larger than {MAX_MESSAGE_BYTES} bytes")
        received = ConfirmMessageReceivedRequest(node=node, run_id=run, message_object_id=identity)
        self._call(self._fleet.ConfirmMessageReceived, received)
        return _inflate(identity, contents)

    def _pull(self, request: PullObjectRequest) -> bytes:
        """Fetch one object, which may take a moment to reach the coordinator; its name is its SHA-256."""
        for attempt in range(12):
            answer = self._call(self._fleet.PullObject, request)
            if answer.object_available:
                if hashlib.sha256(answer.object_content).hexdigest() != request.object_id:
                    raise WireError("one of its objects is not what its name says")
                return answer.object_content
            if not answer.object_found or self._stopping.wait(pause(attempt, "rejoining", random=self._random)):
                break
        raise Declined("the message is no longer there")

    def _answer(self, node: NodeProto, message: Message) -> Message:
        """Let the installed app answer; its exceptions become a fixed word, because their texts may tell of data."""
        context = Context(
            run_id=message.metadata.run_id,
            node_id=node.node_id,
            node_config={"agent": str(self._agent)},
            state=RecordDict(),
            run_config={},
        )
        try:
            reply = self._app(message, context)
            if reply.metadata.reply_to_message_id != message.metadata.message_id:
                raise WireError("the app's reply is to another message")
        except Exception:
            log.exception("the app failed on message %s", message.metadata.message_id)
            return _failure(message, "failed")
        return reply

    def _send_unsent(self, node: NodeProto) -> None:
        """Push again, byte for byte, what was sealed and not confirmed."""
        for request, sealed in self._ledger.unsent():
            log.info("sending the sealed reply to %s again", request)
            self._deliver(node, message_from_proto(MessageProto.FromString(sealed)))

    def _deliver(self, node: NodeProto, reply: Message) -> None:
        """Push a reply until the coordinator has all of it, or no longer wants it; then say so in the ledger."""
        request = reply.metadata.reply_to_message_id
        try:
            self._push(node, reply)
        except Declined as error:
            log.info("reply to %s is void: %s", request, error)
            self._ledger.mark_void(request)
        else:
            self._ledger.mark_sent(request)

    def _push(self, node: NodeProto, reply: Message) -> None:
        """Offer a reply and send the parts that the coordinator lacks; pushing twice stores it once."""
        reply.metadata.__dict__["_message_id"] = reply.object_id
        with no_object_id_recompute():
            tree, objects = get_object_tree(reply), get_all_nested_objects(reply)
        # Flower's field for the app's running time stays empty: under Poisson sampling time tells of the rows.
        offer = PushMessagesRequest(
            node=node,
            messages_list=[message_to_proto(remove_content_from_message(reply))],
            message_object_trees=[tree],
        )
        for _ in range(5):
            answer: PushMessagesResponse = self._call(self._fleet.PushMessages, offer)
            if all([self._store(node, reply, answer, name, objects) for name in answer.objects_to_push]):
                return
        raise Declined("the coordinator asked five times and kept nothing")

    def _store(
        self,
        node: NodeProto,
        reply: Message,
        answer: PushMessagesResponse,
        name: str,
        objects: dict[str, InflatableObject],
    ) -> bool:
        """Send one object; `False` when the coordinator's push session is over and another must begin."""
        request = PushObjectRequest(
            node=node,
            run_id=reply.metadata.run_id,
            session_id=answer.session_id,
            object_id=name,
            object_content=objects[name].deflate(),
        )
        return bool(self._call(self._fleet.PushObject, request).stored)

    def _call(self, method: Callable[[Any], Answer], request: object, *, reopen: bool = True) -> Answer:
        """Send one request until the coordinator answers it; raise `Stopped`, `Declined` or `Unrecognised`."""
        for attempt in itertools.count():
            if self._stopping.is_set():
                break
            try:
                answer = method(request)
            except httpx.TransportError:
                link: Link = "unreachable"
            except httpx.HTTPStatusError as error:
                link = verdict(error.response.status_code, error.response.content)
            else:
                self._report("online")
                return answer
            self._report(link)
            if reopen and link == "unknown":
                raise Unrecognised("the coordinator does not know this session")
            self._stopping.wait(pause(attempt, link, random=self._random))
        raise Stopped("the agent is stopping")

    def _report(self, link: Link) -> None:
        if link != self._link:
            self._link = link
            log.info("this device %s", MEANING[link])
            self._on_link(link)


def _inflate(identity: str, contents: dict[str, bytes]) -> Message:
    """Put a message together from its objects; Flower's parsers raise many kinds on hostile bytes."""
    try:
        message = inflate_object_from_contents(identity, contents)
    except Exception as error:  # noqa: BLE001 - the kind does not matter: the message is unreadable
        raise WireError(f"it cannot be read: {type(error).__name__}") from None
    if not isinstance(message, Message):
        raise WireError(f"it is a {type(message).__name__}, not a message")
    message.metadata.__dict__["_message_id"] = identity
    return cast(Message, message)


def _failure(message: Message, category: str) -> Message:
    """Reply that there is no answer, with one of a few fixed words."""
    return Message(Error(code=ErrorCode.CLIENT_APP_RAISED_EXCEPTION, reason=category), reply_to=message)
