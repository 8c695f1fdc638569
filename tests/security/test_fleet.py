"""Flower's own handlers, called directly: each request speaks for its sender alone, and errors are answers."""

import json

import pytest
from flwr.proto.fleet_pb2 import ActivateNodeRequest, DeactivateNodeRequest, PullMessagesRequest, PushMessagesRequest
from flwr.proto.heartbeat_pb2 import SendNodeHeartbeatRequest
from flwr.proto.message_pb2 import Message, Metadata, ObjectTree, PullObjectRequest
from flwr.proto.node_pb2 import Node
from flwr.server.superlink.linkstate.in_memory_linkstate import InMemoryLinkState
from flwr.supercore.object_store import ObjectStoreFactory
from flwr.superlink.federation import NoOpFederationManager

from server.fleet import Fleet
from server.records import Device


def device(name: str, node: int) -> Device:
    return Device(name=name, public_key=name.encode(), state="approved", node_id=node, enrolled_at=0.0)


class World:
    """Flower's state with two nodes, and the direct interface to it."""

    def __init__(self) -> None:
        self.state = InMemoryLinkState(NoOpFederationManager(), ObjectStoreFactory().store())
        nodes = [self.state.create_node("a", "b", name.encode(), 30.0) for name in ("ada", "ben")]
        self.ada, self.ben = device("ada", nodes[0]), device("ben", nodes[1])
        self.fleet = Fleet(self.state)

    def activate(self, who: Device) -> int:
        body = ActivateNodeRequest(public_key=who.public_key, heartbeat_interval=30.0).SerializeToString()
        return self.fleet("activate-node", body, who).status


@pytest.fixture
def world() -> World:
    return World()


def test_a_device_comes_online_and_polls(world: World) -> None:
    assert world.activate(world.ada) == 200
    poll = PullMessagesRequest(node=Node(node_id=world.ada.node_id)).SerializeToString()
    answer = world.fleet("pull-messages", poll, world.ada)
    assert (answer.status, answer.body) == (200, b"")


def test_a_restarted_device_is_let_in_again_at_once(world: World) -> None:
    assert [world.activate(world.ada) for _ in range(3)] == [200, 200, 200]


def push(who: Device, *, claims: int, messages: int = 1) -> bytes:
    heads = [Message(metadata=Metadata(src_node_id=claims, run_id=1))] * messages
    trees = [ObjectTree(object_id="x")] * messages
    request = PushMessagesRequest(node=Node(node_id=who.node_id), messages_list=heads, message_object_trees=trees)
    return request.SerializeToString()


def test_no_request_may_name_another_node(world: World) -> None:
    other, me = Node(node_id=world.ben.node_id), world.ada
    attempts = {
        "activate-node": ActivateNodeRequest(public_key=b"ben", heartbeat_interval=30.0).SerializeToString(),
        "deactivate-node": DeactivateNodeRequest(node_id=world.ben.node_id or 0).SerializeToString(),
        "send-node-heartbeat": SendNodeHeartbeatRequest(node=other, heartbeat_interval=30.0).SerializeToString(),
        "pull-messages": PullMessagesRequest(node=other).SerializeToString(),
        "pull-object": PullObjectRequest(node=other, run_id=1, object_id="x").SerializeToString(),
        "push-messages": push(me, claims=world.ben.node_id or 0),
    }
    for name, body in attempts.items():
        answer = world.fleet(name, body, me)
        assert (answer.status, json.loads(answer.body)) == (403, {"reason": "sender"}), name


@pytest.mark.parametrize("messages", [0, 2])
def test_a_push_holds_exactly_one_message(world: World, messages: int) -> None:
    body = push(world.ada, claims=world.ada.node_id or 0, messages=messages)
    assert world.fleet("push-messages", body, world.ada).status == 403


def test_a_push_to_no_run_is_an_answer_not_a_crash(world: World) -> None:
    answer = world.fleet("push-messages", push(world.ada, claims=world.ada.node_id or 0), world.ada)
    assert 400 <= answer.status <= 500
    assert b"Traceback" not in answer.body


def test_bytes_that_are_no_protobuf_are_refused(world: World) -> None:
    assert world.fleet("pull-messages", b"\xff\xff\xff", world.ada).status == 400
