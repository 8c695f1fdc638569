"""Replies as a run's process takes them up: one that cannot be read costs its sender, never the run.

Flower's own grid reads all replies that wait in one go and raises at the first that does not hold together, so that one
device could end every campaign. It also believes what a reply's content says of whom it answers; only the head was held
against its sender.
"""

import logging
from collections.abc import Iterable
from typing import Any

from flwr.app import Error, Message
from flwr.app.message import make_message
from flwr.common.serde_utils import metadata_from_proto
from flwr.proto.message_pb2 import ConfirmMessageReceivedRequest, ObjectTree
from flwr.proto.message_pb2 import Metadata as MetadataProto
from flwr.proto.runtime_pb2 import PullAppMessagesRequest
from flwr.supercore.inflatable.inflatable_object import iterate_object_tree
from flwr.supercore.inflatable.inflatable_protobuf_utils import make_pull_object_fn_protobuf
from flwr.supercore.inflatable.inflatable_utils import (
    ObjectPullError,
    inflate_object_from_contents,
    pull_objects,
)
from flwr.superlink.grid import HttpGrid

from shared.errors import WireError

log = logging.getLogger(__name__)

MAX_OBJECTS = 64
"""Parts of one reply; Covey's own have six."""

UNREADABLE = 1001
"""Beside Flower's own codes: the reply is here, and is none."""


class CarefulGrid(HttpGrid):
    """Flower's grid, but each reply is read by itself."""

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """The replies to `message_ids` that are there; one that cannot be read is an error of its sender's."""
        answer = self._runtime_client.PullMessages(PullAppMessagesRequest(message_ids=message_ids))
        waiting = zip(answer.messages_list, answer.message_object_trees, strict=True)
        return [self._take(reply.metadata, tree) for reply, tree in waiting]

    def _take(self, head: MetadataProto, tree: ObjectTree) -> Message:
        """Fetch one reply's parts, say that they are here, and read them."""
        client, run = self._runtime_client, self.run.run_id
        pull: Any = make_pull_object_fn_protobuf(
            pull_object_protobuf=client.PullObject, node=self.node, run_id=run
        )  # fmt: skip
        try:
            contents = pull_objects(_names(tree), pull)
        except (ObjectPullError, WireError) as error:
            return _unreadable(head, str(error))
        received = ConfirmMessageReceivedRequest(node=self.node, run_id=run, message_object_id=head.message_id)
        client.ConfirmMessageReceived(received)
        return read_reply(head, contents)


def read_reply(head: MetadataProto, contents: dict[str, bytes]) -> Message:
    """A reply from its parts by name, under the head that was held against its sender; an error if it is none.

    Flower's parsers raise many kinds on hostile bytes; which one does not matter.
    """
    try:
        found = inflate_object_from_contents(head.message_id, contents)
    except Exception as error:  # noqa: BLE001 - see above
        return _unreadable(head, type(error).__name__)
    if not isinstance(found, Message) or not (found.has_error() or found.has_content()):
        return _unreadable(head, f"it is a {type(found).__name__} without content")
    content, error = (None, found.error) if found.has_error() else (found.content, None)
    return make_message(metadata_from_proto(head), content=content, error=error)


def _names(tree: ObjectTree) -> list[str]:
    names = list(dict.fromkeys(part.object_id for part in iterate_object_tree(tree)))
    if len(names) > MAX_OBJECTS:
        raise WireError(f"it has {len(names)} parts")
    return names


def _unreadable(head: MetadataProto, why: str) -> Message:
    log.warning("the reply of node %d cannot be read: %s", head.src_node_id, why)
    return make_message(metadata_from_proto(head), error=Error(code=UNREADABLE, reason="unreadable"))
