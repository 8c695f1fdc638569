"""Flower hands a message out once. A device that never got it gets it again; one that died with it has failed it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from coordinator import free_port
from cryptography.hazmat.primitives.asymmetric import ec
from flwr.app import ArrayRecord, Message, RecordDict
from flwr.app.message import remove_content_from_message
from flwr.common.constant import SUPERLINK_NODE_ID
from flwr.proto.fleet_pb2 import ActivateNodeRequest, PullMessagesRequest, PullMessagesResponse
from flwr.proto.message_pb2 import ConfirmMessageReceivedRequest
from flwr.proto.node_pb2 import Node
from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects, get_object_tree
from flwr.supercore.task_identity import TaskIdentity

from server.config import Settings
from server.founding import found
from server.records import Device
from server.superlink import SuperLink
from shared.signing import public_key_bytes

NODE_UNAVAILABLE = 5


class World:
    """Flower's state with a run and a device in it that is online and was sent one message."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        settings = Settings(name="test", port=free_port(), admin_port=free_port())
        link = SuperLink(found(folder / "federation", settings))
        key = public_key_bytes(ec.generate_private_key(ec.SECP256R1()).public_key())
        node = link.create_node("ada", key)
        self.ada = Device(name="ada", public_key=key, state="approved", node_id=node, enrolled_at=0.0)
        self.fleet, self.state = link.fleet, link._state
        self.activate()
        self.run = link.start_run().id
        self.state.activate_task(self.state.get_run_info(run_ids=[self.run])[0].primary_task_id)
        for name, value in {"_run_id": self.run, "_task_id": 1, "_node_id": SUPERLINK_NODE_ID}.items():
            monkeypatch.setattr(TaskIdentity, name, value)
        self.message = self._send()

    def _send(self) -> str:
        message: Any = Message(RecordDict({"array": ArrayRecord([np.zeros(4)])}), self.ada.node_id or 0, "train")
        message.metadata.__dict__["_message_id"] = message.object_id
        session, tree = self.state.start_session(self.run), get_object_tree(message)
        stored, _ = self.state.store_message_and_object_tree(remove_content_from_message(message), tree, session)
        assert stored
        for name, part in get_all_nested_objects(message).items():
            self.state.store_object(self.run, session, name, part.deflate())
        return str(message.object_id)

    def activate(self) -> None:
        request = ActivateNodeRequest(public_key=self.ada.public_key, heartbeat_interval=30.0)
        assert self.fleet("activate-node", request.SerializeToString(), self.ada).status == 200

    def poll(self) -> list[str]:
        request = PullMessagesRequest(node=Node(node_id=self.ada.node_id))
        answer = self.fleet("pull-messages", request.SerializeToString(), self.ada)
        assert answer.status == 200
        found = PullMessagesResponse.FromString(answer.body).messages_list
        return [message.metadata.message_id for message in found]

    def confirm(self) -> None:
        node = Node(node_id=self.ada.node_id)
        request = ConfirmMessageReceivedRequest(node=node, run_id=self.run, message_object_id=self.message)
        assert self.fleet("confirm-message-received", request.SerializeToString(), self.ada).status == 200

    def failures(self) -> list[int]:
        """The error codes that the run process finds in place of an answer."""
        return [int(reply.error.code) for reply in self.state.get_message_res({self.message}, self.run)]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(tmp_path, monkeypatch)


def test_a_message_whose_answer_was_lost_is_handed_out_again_until_it_arrived(world: World) -> None:
    assert [world.poll() for _ in range(3)] == [[world.message]] * 3
    world.confirm()
    assert (world.poll(), world.failures()) == ([], [])


def test_a_restarted_device_gets_what_it_never_got(world: World) -> None:
    world.poll()
    world.activate()
    assert (world.poll(), world.failures()) == ([world.message], [])


def test_a_device_that_died_with_a_message_has_failed_it_once_it_is_back(world: World) -> None:
    world.poll()
    world.confirm()
    world.activate()
    assert world.failures() == []
    assert (world.poll(), world.failures()) == ([], [NODE_UNAVAILABLE])
    assert (world.poll(), world.failures()) == ([], [])
