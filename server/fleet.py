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

from flwr.proto.fab_pb2 import GetFabRequest
from flwr.proto.fleet_pb2 import (
    ActivateNodeRequest,
    DeactivateNodeRequest,
    PullMessagesRequest,
    PushMessagesRequest,
)
from flwr.proto.heartbeat_pb2 import SendNodeHeartbeatRequest
from flwr.proto.message_pb2 import ConfirmMessageReceivedRequest, PullObjectRequest, PushObjectRequest
from flwr.proto.run_pb2 import GetRunRequest
from flwr.server.superlink.linkstate.utils import create_message_error_unavailable_res_message
from flwr.supercore.error import FlowerError
from flwr.supercore.error.catalog import API_ERROR_MAP
from flwr.superlink.servicer.fleet import fleet_handlers
from google.protobuf.message import DecodeError

from server.asgi import Answer
from server.records import Device

log = logging.getLogger(__name__)

PROTOBUF, JSON = "application/protobuf", "application/json"


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
        with self._state.lock:
            for message in self._unanswered(node):
                self._recover(message, returning=node in self._returning)
        self._returning.discard(node)
        return fleet_handlers.pull_messages(request=request, state=self._state, store=self._state.object_store)

    def _unanswered(self, node: int) -> list[Any]:
        """What `node` was handed and did not answer; a device does one thing at a time, so its poll says it will not."""
        answered, handed_out = self._state.message_ins_id_to_message_res_id, self._state.message_ins_store.values()
        heads = [(message, message.metadata) for message in handed_out]
        return [m for m, h in heads if h.dst_node_id == node and h.delivered_at and h.message_id not in answered]

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
