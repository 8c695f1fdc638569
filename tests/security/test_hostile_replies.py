"""One device's reply that cannot be read, or that speaks for another, costs that device and nobody else."""

import hashlib
import time
from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest
from flwr.app import Message, Metadata, RecordDict
from flwr.app.message import make_message, remove_content_from_message
from flwr.common.serde import message_to_proto
from flwr.proto.message_pb2 import ObjectTree
from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects, get_object_tree

from server.exchange import exchange
from server.parcels import COLLECT, bundle
from server.runtime import Runtime
from server.wholegrid import WholeGrid
from shared import messages
from shared.rounds import TrainReport

NODES = {"ada": 11, "ben": 12, "cleo": 13}


def invitation(node: int) -> Message:
    metadata = Metadata(
        run_id=1, message_id=f"{node:064x}", src_node_id=1, dst_node_id=node, reply_to_message_id="", group_id="",
        created_at=time.time(), ttl=600.0, message_type="train",
    )  # fmt: skip
    return make_message(metadata, content=RecordDict())


INVITED = {name: invitation(node) for name, node in NODES.items()}


def report() -> RecordDict:
    update = np.arange(4, dtype=np.float32)
    return messages.pack("report", TrainReport(run_id=1, round_number=1, base_version=1), array=update)


class Reply:
    """What a device pushes: the head that the coordinator held against it, the tree of parts, the parts by name."""

    def __init__(self, name: str) -> None:
        message = Message(report(), reply_to=INVITED[name])
        message.metadata.__dict__["_message_id"] = message.object_id
        self.head = message_to_proto(remove_content_from_message(message))
        self.tree = get_object_tree(message)
        self.parts = {name: part.deflate() for name, part in get_all_nested_objects(message).items()}

    @property
    def name(self) -> str:
        return self.head.metadata.message_id

    def put(self, old: str, content: bytes) -> str:
        """Another content in the place of a part, under its own honest name; whoever holds it is renamed with it."""
        new = hashlib.sha256(content).hexdigest()
        del self.parts[old]
        self.parts[new] = content
        for parent, whole in list(self.parts.items()):
            if old.encode() in whole:
                self.put(parent, whole.replace(old.encode(), new.encode()))
        _rename(self.tree, old, new)
        if self.name == old:
            self.head.metadata.message_id = new
        return new

    def part(self, kind: bytes) -> str:
        return next(name for name, content in self.parts.items() if content.startswith(kind + b" "))


def _rename(tree: ObjectTree, old: str, new: str) -> None:
    if tree.object_id == old:
        tree.object_id = new
    for child in tree.children:
        _rename(child, old, new)


def body_of(reply: Reply, kind: bytes, change: Callable[[bytes], bytes]) -> None:
    """Change a part's body, its length in the head with it."""
    name = reply.part(kind)
    head, _, body = reply.parts[name].partition(b"\0")
    changed = change(body)
    words = head.rsplit(b" ", 1)[0]
    reply.put(name, words + b" %d\0" % len(changed) + changed)


def speaks_for_ben(body: bytes) -> bytes:
    """The head is Ada's own; what lies under it answers Ben's invitation, from Ben's node."""
    from flwr.proto.message_pb2 import Message as Proto

    message = Proto.FromString(body)
    message.metadata.reply_to_message_id = INVITED["ben"].metadata.message_id
    message.metadata.src_node_id = NODES["ben"]
    return message.SerializeToString()


def is_no_message(reply: Reply) -> None:
    record = reply.part(b"RecordDict")
    reply.tree.CopyFrom(next(child for child in reply.tree.children if child.object_id == record))
    reply.head.metadata.message_id = record


def has_no_content(reply: Reply) -> None:
    name = reply.part(b"Message")
    body = reply.parts[name].partition(b"\0")[2]
    reply.put(name, b"Message  %d\0" % len(body) + body)
    del reply.tree.children[:]


def lacks_a_part(reply: Reply) -> None:
    lost = reply.part(b"ConfigRecord")
    reply.tree.CopyFrom(_without(reply.tree, lost))


def _without(tree: ObjectTree, lost: str) -> ObjectTree:
    return ObjectTree(
        object_id=tree.object_id, children=[_without(child, lost) for child in tree.children if child.object_id != lost]
    )


def has_a_part_without_end(reply: Reply) -> None:
    reply.tree.children.extend(ObjectTree(object_id=f"{number:064x}") for number in range(100_000))


def whole(kind: bytes, content: bytes) -> Callable[[Reply], None]:
    def spoil(reply: Reply) -> None:
        reply.put(reply.part(kind), content)

    return spoil


HOSTILE: dict[str, Callable[[Reply], None]] = {
    "a message that is no protobuf": lambda reply: body_of(reply, b"Message", lambda _: b"\xff" * 20),
    "an empty message": lambda reply: body_of(reply, b"Message", lambda _: b""),
    "a part of a kind that is none": whole(b"ConfigRecord", b"Code  3\0abc"),
    "a part without a head": whole(b"ConfigRecord", b"abc"),
    "a head in another alphabet": whole(b"ConfigRecord", b"\xff\xfe  3\0abc"),
    "a document that is no protobuf": lambda reply: body_of(reply, b"ConfigRecord", lambda _: b"\xff" * 20),
    "a list of records that is none": lambda reply: body_of(reply, b"RecordDict", lambda _: b"[]"),
    "a list of arrays that is none": lambda reply: body_of(reply, b"ArrayRecord", lambda _: b'{"flat": 1}'),
    "an array that is none": lambda reply: body_of(reply, b"Array", lambda _: b"["),
    "an array of a shape without end": lambda reply: body_of(
        reply, b"Array", lambda body: body.replace(b"[4]", b"[4000000000]")
    ),
    "no message": is_no_message,
    "no content and no error": has_no_content,
    "a part that is not there": lacks_a_part,
    "parts without end": has_a_part_without_end,
    "an answer in another's name": lambda reply: body_of(reply, b"Message", speaks_for_ben),
}


class Link:
    """The run's side of a SuperLink that holds the replies, and counts the objects that were looked up."""

    def __init__(self, replies: list[Reply]) -> None:
        self._replies, self.pulled = replies, 0
        self._parts = {name: content for reply in replies for name, content in reply.parts.items()}
        self._runtime = Runtime(SimpleNamespace(object_store=self))

    def get(self, name: str) -> bytes | None:
        self.pulled += 1
        return self._parts.get(name)

    def delete(self, name: str) -> None:
        pass

    def collect(self, path: str, _body: bytes) -> bytes:
        assert path == COLLECT
        replies, self._replies = self._replies, []
        return bundle(self._runtime._take(reply.head, reply.tree) for reply in replies)


def grid(link: Link) -> WholeGrid:
    made = WholeGrid("127.0.0.1:1", token="token")
    made._ask = link.collect  # type: ignore[method-assign]
    made.push_messages = lambda messages: [message.metadata.message_id for message in messages]  # type: ignore[method-assign]
    return made


@pytest.mark.parametrize("case", HOSTILE)
def test_a_reply_that_is_none_costs_its_sender_alone(case: str) -> None:
    replies = {name: Reply(name) for name in NODES}
    HOSTILE[case](replies["ada"])
    link = Link(list(replies.values()))
    found = exchange(grid(link), INVITED, goal=3, deadline_seconds=5.0, watch=lambda _: True)
    assert sorted({*found.contents, *found.failures}) == sorted(NODES)
    for name in ("ben", "cleo"):
        assert messages.unpack(found.contents[name], "report", TrainReport).round_number == 1
        assert messages.unpack_array(found.contents[name], size=4).tolist() == [0, 1, 2, 3]
    if "ada" in found.contents:
        # Her answer holds together and is taken as hers, whatever it says of itself; its shape is checked later.
        assert case in {"an answer in another's name", "an array of a shape without end"}
    assert link.pulled < 100


def test_an_answer_in_anothers_name_is_its_senders() -> None:
    """Ben has not answered yet: Ada cannot answer for him."""
    reply = Reply("ada")
    HOSTILE["an answer in another's name"](reply)
    found = exchange(grid(Link([reply])), INVITED, goal=1, deadline_seconds=0.1, watch=lambda _: True)
    assert list(found.contents) == ["ada"]
    assert found.failures == {"ben": "no answer in time", "cleo": "no answer in time"}


def test_replies_that_hold_are_taken_as_they_are() -> None:
    link = Link([Reply(name) for name in NODES])
    found = exchange(grid(link), INVITED, goal=3, deadline_seconds=5.0, watch=lambda _: True)
    assert sorted(found.contents) == sorted(NODES)
    assert not found.failures
