"""Flower's fleet protocol, as one device speaks it: the client file that knows Flower's internals.

It never asks for a run's bundle nor for its configuration, so neither code nor settings that the coordinator
sends can act here (decision 2, privacy rule 18). Every request is repeated until the coordinator answers it.
"""

import hashlib
import itertools
import logging
import ssl
import time
from collections.abc import Callable
from random import SystemRandom
from threading import Event
from typing import Any, TypeVar

import httpx
from cryptography.hazmat.primitives.asymmetric import ec
from flwr.app import Message
from flwr.app.message import remove_content_from_message
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
from flwr.proto.node_pb2 import Node
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

from client.patience import MEANING, Declined, Link, Stopped, Unrecognised, pause, rest, verdict
from shared.errors import WireError
from shared.signing import public_key_bytes, sign

log = logging.getLogger(__name__)

Answer = TypeVar("Answer")

HEARTBEAT_SECONDS = 10.0
"""Flower's least interval; a device that died is noticed, and may come back, after twice this."""

OWN_SECONDS = 30.0
"""How long one of Covey's own requests waits for its answer, as Flower's do."""

MAX_OBJECTS = 64
MAX_MESSAGE_BYTES = 64 * 2**20
RELEASE_HEADER = "covey-release"


class CoveyHeaders:
    """Sign each request (privacy rule 20), and read the release hint off each response."""

    def __init__(
        self, key: ec.EllipticCurvePrivateKey, on_release: Callable[[int], None], on_sent: Callable[[str, int], None]
    ) -> None:
        """Sign with `key`; call `on_release` whenever the hint grows, and `on_sent` for each request that leaves."""
        self._key, self._on_release, self._on_sent, self._seen = key, on_release, on_sent, 0

    def intercept(self, context: ProtobufRequestContext, call_next: ProtobufCall) -> httpx.Response:
        """Wrap one request, as Flower's client asks of an interceptor."""
        request, now = context.request, time.time()
        path, body = request.url.path, request.content
        request.headers.update(sign(self._key, method=request.method, path=path, body=body, now=now))
        self._on_sent(path, _size(request))
        response = call_next(context)
        self._notice(response.headers.get(RELEASE_HEADER, ""))
        return response

    def _notice(self, hint: str) -> None:
        """Pass a hint on; it says where to look, never what to believe."""
        if hint.isascii() and hint.isdigit() and len(hint) < 10 and int(hint) > self._seen:
            self._seen = int(hint)
            self._on_release(self._seen)


class Fleet:
    """The coordinator as a device sees it: messages to fetch, replies to push, a place in the fleet to keep."""

    def __init__(
        self,
        *,
        coordinator: str,
        trust: ssl.SSLContext,
        key: ec.EllipticCurvePrivateKey,
        stopping: Event,
        on_release: Callable[[int], None],
        on_link: Callable[[Link], None],
        on_sent: Callable[[str, int], None] = lambda _path, _bytes: None,
    ) -> None:
        """Prepare to speak to `coordinator` (`host:port`); nothing is sent yet.

        `on_sent` hears of each request: its path, and its bytes with headers.
        """
        self._public_key = public_key_bytes(key.public_key())
        self._stopping, self._on_link = stopping, on_link
        self._link: Link = "starting"
        self._why = ""
        self._node = Node()
        self._random = SystemRandom()
        self._http = FleetHttpClient(
            f"https://{coordinator}",
            verify=trust,
            interceptors=[NodeAuthHttpInterceptor(key, key.public_key()), CoveyHeaders(key, on_release, on_sent)],
        )
        self._key, self._on_sent = key, on_sent
        self._own = httpx.Client(base_url=f"https://{coordinator}", verify=trust, timeout=OWN_SECONDS, trust_env=False)

    @property
    def node_id(self) -> int:
        """Flower's number for this device; 0 before `enter`."""
        return self._node.node_id

    def enter(self) -> None:
        """Take this device's place; waits for approval, and until an earlier process's place has lapsed."""
        request = ActivateNodeRequest(public_key=self._public_key, heartbeat_interval=HEARTBEAT_SECONDS)
        self._node = Node(node_id=self._call(self._http.ActivateNode, request, reopen=False).node_id)

    def beat(self) -> None:
        """Keep the place once; a beat that is missed is made up by the next."""
        request = SendNodeHeartbeatRequest(node=self._node, heartbeat_interval=HEARTBEAT_SECONDS)
        try:
            self._http.SendNodeHeartbeat(request)
        except (httpx.HTTPError, ValueError) as error:
            log.debug("heartbeat missed: %s", type(error).__name__)

    def leave(self, *, goodbye: bool) -> None:
        """Hang up; with a goodbye the place is given back at once. An absent coordinator is not waited for."""
        try:
            if goodbye and self._link == "online":
                self._http.DeactivateNode(DeactivateNodeRequest(node_id=self.node_id))
        except (httpx.HTTPError, ValueError) as error:
            log.info("left without a goodbye: %s", type(error).__name__)
        finally:
            self._http.close()
            self._own.close()

    def heads(self) -> list[tuple[Message, ObjectTree]]:
        """Messages that wait for this device: without content, each with the names of its parts."""
        return read_heads(self._call(self._http.PullMessages, PullMessagesRequest(node=self._node)))

    def fetch(self, head: Message, tree: ObjectTree) -> Message:
        """Pull the parts of a message and put it together; raise `WireError` if it is malformed."""
        run, identity = head.metadata.run_id, head.metadata.message_id
        wanted = {part.object_id for part in iterate_object_tree(tree)}
        if tree.object_id != identity or len(wanted) > MAX_OBJECTS:
            raise WireError(f"its tree of {len(wanted)} objects is not its own")
        contents: dict[str, bytes] = {}
        for name in wanted:
            contents[name] = self._pull(PullObjectRequest(node=self._node, run_id=run, object_id=name))
            if sum(map(len, contents.values())) > MAX_MESSAGE_BYTES:
                raise WireError(f"it is larger than {MAX_MESSAGE_BYTES} bytes")
        received = ConfirmMessageReceivedRequest(node=self._node, run_id=run, message_object_id=identity)
        self._call(self._http.ConfirmMessageReceived, received)
        return _inflate(identity, contents)

    def push(self, reply: Message) -> None:
        """Push a reply until the coordinator has all of it; pushing twice stores it once."""
        reply.metadata.__dict__["_message_id"] = reply.object_id
        with no_object_id_recompute():
            tree, parts = get_object_tree(reply), get_all_nested_objects(reply)
        # Flower's field for the app's running time stays empty: under Poisson sampling time tells of the rows.
        offer = PushMessagesRequest(
            node=self._node,
            messages_list=[message_to_proto(remove_content_from_message(reply))],
            message_object_trees=[tree],
        )
        for _ in range(5):
            answer: PushMessagesResponse = self._call(self._http.PushMessages, offer)
            lacking = {name: parts[name] for name in answer.objects_to_push}
            # Nothing lacking means that an earlier offer arrived, its answer was lost, and the coordinator is already
            # waiting for the parts: Flower then finds the session, whose name was lost too, by each part's name.
            stored = self._store(reply.metadata.run_id, answer.session_id if lacking else "", lacking or parts)
            if stored or not lacking:
                return
        raise Declined("the coordinator asked five times and kept nothing")

    def post(self, path: str, body: bytes) -> bytes | None:
        """Send a body to one of Covey's own routes until it is answered; None if it is declined, or unknown there."""
        try:
            return self._call(lambda sent: self._post(path, sent), body)
        except Declined as error:
            log.info("%s: %s", path, error)
            return None

    def _post(self, path: str, body: bytes) -> bytes:
        headers = sign(self._key, method="POST", path=path, body=body, now=time.time())
        request = self._own.build_request("POST", path, content=body, headers=headers)
        self._on_sent(path, _size(request))
        return self._own.send(request).raise_for_status().content

    def _store(self, run: int, session: str, parts: dict[str, InflatableObject]) -> bool:
        """Send parts of a reply; `False` when the coordinator did not wait for one of them (any more)."""
        stored = True
        for name, part in parts.items():
            request = PushObjectRequest(
                node=self._node, run_id=run, session_id=session, object_id=name, object_content=part.deflate()
            )
            stored = self._call(self._http.PushObject, request).stored and stored
        return stored

    def _pull(self, request: PullObjectRequest) -> bytes:
        """Fetch one part, which may take a moment to reach the coordinator; its name is its SHA-256."""
        for attempt in range(12):
            answer = self._call(self._http.PullObject, request)
            if answer.object_available:
                return _verified(request.object_id, answer.object_content)
            if not answer.object_found or self._stopping.wait(pause(attempt, "rejoining", random=self._random)):
                break
        raise Declined("the message is no longer there")

    def _call(self, method: Callable[[Any], Answer], request: object, *, reopen: bool = True) -> Answer:
        """Send one request until the coordinator answers it; raise `Stopped`, `Declined` or `Unrecognised`."""
        for attempt in itertools.count():
            if self._stopping.is_set():
                break
            try:
                answer = method(request)
            except httpx.TransportError as error:
                link: Link = "unreachable"
                why = str(error)
            except httpx.HTTPStatusError as error:
                link, why = verdict(error.response.status_code, error.response.content), ""
            else:
                self._report("online")
                return answer
            self._report(link, why)
            if reopen and link == "unknown":
                raise Unrecognised("the coordinator does not know this session")
            rest(self._stopping, pause(attempt, link, random=self._random))
        raise Stopped("the agent is stopping")

    def _report(self, link: Link, why: str = "") -> None:
        """Say how this device stands, and why nothing was answered: a certificate that is refused looks like no network."""
        if (link, why) != (self._link, self._why):
            self._why = why
            log.info("this device %s%s", MEANING[link], f" ({why})" if why else "")
        if link != self._link:
            self._link = link
            self._on_link(link)


def _size(request: httpx.Request) -> int:
    """The bytes of a request, without what TLS adds."""
    return len(request.content) + sum(len(name) + len(value) + 4 for name, value in request.headers.raw)


def read_heads(answer: PullMessagesResponse) -> list[tuple[Message, ObjectTree]]:
    """The messages of an answer, each with the names of its parts; raise `WireError` if one cannot be read."""
    try:
        heads = map(message_from_proto, answer.messages_list)
        return list(zip(heads, answer.message_object_trees, strict=True))
    except Exception as error:  # noqa: BLE001 - Flower's parsers raise many kinds on hostile bytes
        raise WireError(f"the list of messages cannot be read: {type(error).__name__}") from None


def _verified(name: str, content: bytes) -> bytes:
    if hashlib.sha256(content).hexdigest() != name:
        raise WireError("one of its parts is not what its name says")
    return content


def _inflate(identity: str, contents: dict[str, bytes]) -> Message:
    """Put a message together from its parts; Flower's parsers raise many kinds on hostile bytes."""
    try:
        message = inflate_object_from_contents(identity, contents)
    except Exception as error:  # noqa: BLE001 - the kind does not matter: the message is unreadable
        raise WireError(f"it cannot be read: {type(error).__name__}") from None
    if not isinstance(message, Message):
        raise WireError(f"it is a {type(message).__name__}, not a message")
    message.metadata.__dict__["_message_id"] = identity
    return message
