"""Flower's grid over two requests of ours: a round's messages leave in one, and the replies that wait come in one."""

from collections.abc import Iterable
from typing import Any

from flwr.app import Message
from flwr.app.message import remove_content_from_message
from flwr.common.serde import message_to_proto
from flwr.proto.message_pb2 import Metadata as MetadataProto
from flwr.proto.runtime_pb2 import PullAppMessagesRequest, PushAppMessagesRequest, PushAppMessagesResponse
from flwr.supercore.inflatable.inflatable_object import (
    InflatableObject,
    get_all_nested_objects,
    get_object_tree,
    no_object_id_recompute,
)
from flwr.superlink.grid import HttpGrid
from google.protobuf.wrappers_pb2 import BytesValue

from server.parcels import COLLECT, HAND_OUT, bundle, by_name, unbundle
from server.replies import read_reply


class WholeGrid(HttpGrid):
    """A run's process as the coordinator's neighbour: nothing travels part by part between the two."""

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Send messages; returns their ids, an empty one for a message that no node can get."""
        waiting = list(messages)
        if not waiting:
            return []
        request = PushAppMessagesRequest()
        parts: dict[str, InflatableObject] = {}
        with no_object_id_recompute():
            for message in waiting:
                message.metadata.__dict__["_message_id"] = message.object_id
                self._check_message(message)
                request.messages_list.append(message_to_proto(remove_content_from_message(message)))
                request.message_object_trees.append(get_object_tree(message))
                parts |= get_all_nested_objects(message)
            body = bundle([request.SerializeToString(), *(part.deflate() for part in parts.values())])
        return PushAppMessagesResponse.FromString(self._ask(HAND_OUT, body)).message_ids

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """The replies to `message_ids` that are there; one that cannot be read is an error of its sender's."""
        request = PullAppMessagesRequest(message_ids=message_ids)
        return [_read(reply) for reply in unbundle(self._ask(COLLECT, request.SerializeToString()))]

    def _ask(self, path: str, body: bytes) -> bytes:
        client: Any = self._runtime_client
        answer = client._unary_unary(  # noqa: SLF001 - Flower's client knows the token, and has no public verb for others' routes
            path=path, rpc_method=path, request=BytesValue(value=body), response_type=BytesValue
        )
        return answer.value


def _read(reply: bytes) -> Message:
    head, *parts = unbundle(reply)
    return read_reply(MetadataProto.FromString(head), by_name(parts))
