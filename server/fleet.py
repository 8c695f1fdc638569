"""Flower's fleet interface, called directly: its handlers without the nine layers of middleware around them.

The gateway has authenticated the sender by then, for this very request, so that Flower's own check (a signed
timestamp, good for five minutes and any body) has nothing to add. Each request must speak for its sender's
node alone, which Flower does not require of a push. In a profile of the demo those layers were two thirds
of what a message cost the coordinator.
"""

import json
import logging
from collections.abc import Callable
from functools import partial
from typing import Any

from flwr.common.constant import HEARTBEAT_PATIENCE
from flwr.proto.fab_pb2 import GetFabRequest
from flwr.proto.fleet_pb2 import (
    ActivateNodeRequest,
    DeactivateNodeRequest,
    PullMessagesRequest,
    PullMessagesResponse,
    PushMessagesRequest,
)
from flwr.proto.heartbeat_pb2 import SendNodeHeartbeatRequest
from flwr.proto.message_pb2 import ConfirmMessageReceivedRequest, PullObjectRequest, PushObjectRequest
from flwr.proto.run_pb2 import GetRunRequest
from flwr.server.superlink.linkstate.utils import create_message_error_unavailable_res_message
from flwr.supercore.date import now
from flwr.supercore.error import FlowerError
from flwr.supercore.error.catalog import API_ERROR_MAP
from flwr.superlink.servicer.fleet import fleet_handlers
from google.protobuf.message import DecodeError

from server.asgi import Answer
from server.gateway import HUNG_UP, RESTS
from server.records import Device

log = logging.getLogger(__name__)

PROTOBUF, JSON = "application/protobuf", "application/json"

KEEPS_SECONDS = 50.0
"""How long a poll keeps its sender's place, as a heartbeat does: two polls may fail before a device counts as gone."""


class Fleet:
    """Flower's fleet requests by name, for senders whose identity is known."""

    def __init__(self, state: Any) -> None:
        """`state` is Flower's `LinkState`."""
        self._state = state
        self._returning: set[int] = set()
        stored = {"state": state, "store": state.object_store}
        handlers: dict[str, tuple[Any, Callable[..., Any]]] = {
            "activate-node": (ActivateNodeRequest, self._activate),
            "deactivate-node": (DeactivateNodeRequest, partial(fleet_handlers.deactivate_node, state=state)),
            "send-node-heartbeat": (SendNodeHeartbeatRequest, partial(fleet_handlers.send_node_heartbeat, state=state)),
            "get-run": (GetRunRequest, partial(fleet_handlers.get_run, state=state)),
            "get-fab": (GetFabRequest, partial(fleet_handlers.get_fab, state=state)),
            "pull-messages": (PullMessagesRequest, self._pull),
            "push-messages": (PushMessagesRequest, partial(fleet_handlers.push_messages, state=state)),
            "pull-object": (PullObjectRequest, partial(fleet_handlers.pull_object, state=state)),
            "push-object": (PushObjectRequest, partial(fleet_handlers.push_object, state=state)),
            "confirm-message-received": (
                ConfirmMessageReceivedRequest, partial(fleet_handlers.confirm_message_received, **stored)
            ),
        }  # fmt: skip
        self._handlers = handlers

    def __call__(self, name: str, body: bytes, device: Device) -> Answer:
        """Answer the request called `name` that `device` signed; whatever goes wrong is an answer too."""
        if name in {RESTS, HUNG_UP}:
            self._follow(name, device)
            return Answer(status=200, body=b"", media_type=PROTOBUF)
        kind, handler = self._handlers[name]
        try:
            request = kind.FromString(body)
        except DecodeError:
            return _refusal(400, "malformed")
        if not _speaks_for(request, device):
            return _refusal(403, "sender")
        try:
            return Answer(status=200, body=handler(request=request).SerializeToString(), media_type=PROTOBUF)
        except FlowerError as error:
            spec = API_ERROR_MAP[error.code]
            log.info("%s of %s: %s", name, device.name, spec.public_message)
            content = json.dumps(error.to_json(spec.public_message)).encode()
            return Answer(status=spec.http_status_code, body=content, media_type=JSON)
        except Exception:
            log.exception("%s of %s failed", name, device.name)
            return _refusal(500, "failed")

    def _follow(self, name: str, device: Device) -> None:
        """A poll that rests keeps its sender's place; a sender that hung up has left it."""
        if name == RESTS:
            self._keep_place(device.node_id)
        else:
            self._state.deactivate_node(device.node_id)

    def _keep_place(self, node: int | None) -> None:
        self._state.acknowledge_node_heartbeat(node, KEEPS_SECONDS / HEARTBEAT_PATIENCE)

    def _activate(self, request: ActivateNodeRequest) -> Any:
        """Let a device in that restarted before its last session lapsed: its signature says that it is the same one."""
        node = self._state.get_node_id_by_public_key(request.public_key)
        if node is not None:
            self._state.deactivate_node(node)
            self._returning.add(node)
        return fleet_handlers.activate_node(request=request, state=self._state)

    def _pull(self, request: PullMessagesRequest) -> Any:
        """Hand out the next message, after what was lost on the way: Flower hands each out once, come what may."""
        node = request.node.node_id
        self._keep_place(node)
        with self._state.lock:
            for message in self._unanswered(node):
                self._recover(message, returning=node in self._returning)
            waiting = next((m for m in self._addressed(node) if not m.metadata.delivered_at), None)
        self._returning.discard(node)
        if waiting is None:
            return PullMessagesResponse()
        mail: Any = _Mail(self._state, waiting)
        return fleet_handlers.pull_messages(request=request, state=mail, store=self._state.object_store)

    def _addressed(self, node: int) -> list[Any]:
        return [m for m in self._state.message_ins_store.values() if m.metadata.dst_node_id == node]

    def _unanswered(self, node: int) -> list[Any]:
        """What `node` was handed and did not answer; a device does one thing at a time, so its poll says it will not."""
        answered, heads = self._state.message_ins_id_to_message_res_id, [(m, m.metadata) for m in self._addressed(node)]
        return [message for message, head in heads if head.delivered_at and head.message_id not in answered]

    def _recover(self, message: Any, *, returning: bool) -> None:
        """Hand a message out again that never arrived whole; a device that died with it has failed it.

        A device that returns has by then sent every reply that it had sealed.
        """
        head, state = message.metadata, self._state
        if head.message_id in state.object_store:
            head.delivered_at = ""
        elif returning:
            failure = create_message_error_unavailable_res_message(head, "node_unavail")
            state._store_generated_message(failure)  # noqa: SLF001
            state.message_res_store[failure.metadata.message_id] = failure
            state.message_ins_id_to_message_res_id[head.message_id] = failure.metadata.message_id


class _Mail:
    """Flower's state for a handler that asks for one node's mail: Flower checks every message of every node for it."""

    def __init__(self, state: Any, message: Any) -> None:
        self._state, self._message = state, message

    def __getattr__(self, name: str) -> Any:
        return getattr(self._state, name)

    def get_message_ins(self, *, node_id: int, limit: int) -> list[Any]:
        """The message, if it still stands; Flower asks for one."""
        identity = self._message.metadata.message_id
        with self._state.lock:
            self._state._check_stored_messages({identity})  # noqa: SLF001
            message = self._state.message_ins_store.get(identity)
            if message is None or message.metadata.dst_node_id != node_id or limit < 1:
                return []
            message.metadata.delivered_at = now().isoformat()
        return [message]


def _speaks_for(request: Any, device: Device) -> bool:
    """Whether every identity in a request is its sender's."""
    if isinstance(request, ActivateNodeRequest):
        return request.public_key == device.public_key
    if isinstance(request, DeactivateNodeRequest):
        return request.node_id == device.node_id
    if isinstance(request, PushMessagesRequest):
        heads = [message.metadata for message in request.messages_list]
        if len(heads) != 1 or len(request.message_object_trees) != 1 or heads[0].src_node_id != device.node_id:
            return False
    return request.node.node_id == device.node_id


def _refusal(status: int, reason: str) -> Answer:
    return Answer(status=status, body=json.dumps({"reason": reason}).encode(), media_type=JSON)
