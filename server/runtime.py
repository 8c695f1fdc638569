"""A run's messages and replies, whole: one request on loopback where Flower takes one for each part of each message.

Flower's own handlers still decide; what is saved are the nine layers of middleware around each of its requests, and a
node that was woken by a message whose parts were still on their way.
"""

import json
import logging
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

from flwr.proto.message_pb2 import ObjectTree
from flwr.proto.runtime_pb2 import PullAppMessagesRequest, PushAppMessagesRequest
from flwr.supercore.constant import TASK_TOKEN_HEADER
from flwr.supercore.error import FlowerError
from flwr.supercore.inflatable.inflatable_object import iterate_object_tree
from flwr.superlink.servicer.runtime import runtime_handlers
from google.protobuf.message import DecodeError
from google.protobuf.wrappers_pb2 import BytesValue

from server.asgi import Answer
from server.parcels import COLLECT, HAND_OUT, bundle, by_name, unbundle
from shared.errors import WireError

log = logging.getLogger(__name__)

MOST_PARTS, MOST_VISITS = 64, 4096
"""Parts of a reply, and how many places of its tree are looked at: Covey's own have six of each."""

MOST_REPLY_BYTES = 64 * 2**20
"""Of the replies that one answer holds; what is over waits for the next look."""

_PROTOBUF = "application/x-protobuf"


class Runtime:
    """The two requests, for the one process that holds a run's token."""

    def __init__(self, state: Any) -> None:
        """`state` is Flower's `LinkState`."""
        self._state = state
        self._parts: dict[str, list[str]] = {}
        self._handlers: dict[str, Callable[[bytes, Any], bytes]] = {HAND_OUT: self._hand_out, COLLECT: self._collect}

    def __call__(self, path: str, headers: dict[str, str], body: bytes) -> Answer:
        """Answer a request to one of the two routes; whatever goes wrong is an answer too."""
        token = headers.get(TASK_TOKEN_HEADER, "")
        task = self._state.get_task_by_token(token) if token else None
        if task is None:
            return _refusal(401, "token")
        try:
            answer = self._handlers[path](BytesValue.FromString(body).value, task)
        except (DecodeError, WireError, ValueError) as error:
            return _refusal(400, f"malformed: {type(error).__name__}")
        except FlowerError as error:
            return _refusal(409, str(error.code))
        except Exception:
            log.exception("%s failed", path)
            return _refusal(500, "failed")
        return Answer(status=200, body=BytesValue(value=answer).SerializeToString(), media_type=_PROTOBUF)

    def _hand_out(self, body: bytes, task: Any) -> bytes:
        """Keep messages and all their parts; a node that is written to finds its message whole."""
        head, *parts = unbundle(body)
        request, contents = PushAppMessagesRequest.FromString(head), by_name(parts)
        answer = runtime_handlers.push_messages(request, self._state, task)
        for name in answer.objects_to_push:
            self._state.store_object(task.run_id, answer.session_id, name, contents[name])
        return answer.SerializeToString()

    def _collect(self, body: bytes, task: Any) -> bytes:
        """Hand over the replies that are here whole, and forget them."""
        asked = PullAppMessagesRequest.FromString(body).message_ids
        with self._state.lock:
            ripe = PullAppMessagesRequest(message_ids=list(self._ripe(asked)))
            answer = runtime_handlers.pull_messages(ripe, self._state, task)
        heads = zip(answer.messages_list, answer.message_object_trees, strict=True)
        return bundle(self._take(message, tree) for message, tree in heads)

    def _ripe(self, asked: Iterable[str]) -> Iterator[str]:
        """The requests whose replies are whole, as many as one answer holds, and those that nobody answered yet."""
        room = MOST_REPLY_BYTES
        for request in asked:
            reply = self._state.message_ins_id_to_message_res_id.get(request)
            size = self._size(reply) if reply else 0
            if size is not None and (room > 0 or not size):
                room -= size
                yield request

    def _size(self, reply: str) -> int | None:
        """The bytes of a reply; None while a part of it is missing, 0 for one of too many parts, which is unreadable."""
        store = self._state.object_store
        if reply not in store:
            return 0
        names = self._named(reply)
        found = [store.get(name) for name in names] if len(names) <= MOST_PARTS else []
        return sum(map(len, found)) if all(found) else None

    def _named(self, reply: str) -> list[str]:
        """The parts of a reply, found once: a device chooses the form of the tree, and the replies are looked at often."""
        if reply not in self._parts:
            self._parts[reply] = _names(self._state.object_store.get_object_tree(reply))
        return self._parts[reply]

    def _take(self, message: Any, tree: ObjectTree) -> bytes:
        """One reply: its head, then its parts; a reply of too many parts comes without any, and is unreadable."""
        reply, store = message.metadata.message_id, self._state.object_store
        names = self._parts.pop(reply, None) or _names(tree)
        contents = [store.get(name) or b"" for name in names] if len(names) <= MOST_PARTS else []
        store.delete(reply)
        return bundle([message.metadata.SerializeToString(), *contents])


def _names(tree: ObjectTree) -> list[str]:
    """A tree's parts, each once; no further than to see that they are too many."""
    some = islice(iterate_object_tree(tree), MOST_VISITS)
    return list(islice(dict.fromkeys(part.object_id for part in some), MOST_PARTS + 1))


def _refusal(status: int, reason: str) -> Answer:
    return Answer(status=status, body=json.dumps({"reason": reason}).encode(), media_type="application/json")
