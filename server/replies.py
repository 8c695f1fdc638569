"""Replies as a run's process takes them up: one that cannot be read costs its sender, never the run.

Flower's own grid reads all replies that wait in one go and raises at the first that does not hold together, so that one
device could end every campaign. It also believes what a reply's content says of whom it answers; only the head was held
against its sender.
"""

import logging

from flwr.app import Error, Message
from flwr.app.message import make_message
from flwr.common.serde_utils import metadata_from_proto
from flwr.proto.message_pb2 import Metadata as MetadataProto
from flwr.supercore.inflatable.inflatable_utils import (
    inflate_object_from_contents,
)

log = logging.getLogger(__name__)

UNREADABLE = 1001
"""Beside Flower's own codes: the reply is here, and is none."""


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


def _unreadable(head: MetadataProto, why: str) -> Message:
    log.warning("the reply of node %d cannot be read: %s", head.src_node_id, why)
    return make_message(metadata_from_proto(head), error=Error(code=UNREADABLE, reason="unreadable"))
