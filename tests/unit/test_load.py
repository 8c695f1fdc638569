"""A run's messages and replies travel whole, a poll keeps its sender's place, and the rows say what a load missed."""

import asyncio
import math
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, RecordDict
from flwr.app.message import remove_content_from_message
from flwr.common.serde import message_from_proto, message_to_proto, run_from_proto
from flwr.proto.fleet_pb2 import (
    ActivateNodeRequest,
    PullMessagesRequest,
    PullMessagesResponse,
    PushMessagesRequest,
    PushMessagesResponse,
)
from flwr.proto.message_pb2 import (
    ConfirmMessageReceivedRequest,
    PullObjectRequest,
    PullObjectResponse,
    PushObjectRequest,
)
from flwr.proto.node_pb2 import Node
from flwr.proto.runtime_pb2 import PullAppMessagesRequest
from flwr.supercore.constant import TASK_TOKEN_HEADER
from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects, get_object_tree, iterate_object_tree
from flwr.supercore.task_identity import TaskIdentity
from google.protobuf.wrappers_pb2 import BytesValue
from hypothesis import given
from hypothesis import strategies as st

from server.config import Settings
from server.founding import found
from server.gateway import HUNG_UP, RESTS, Gateway
from server.mailbox import Mailbox
from server.parcels import COLLECT, HAND_OUT, bundle, by_name, unbundle
from server.records import Device
from server.superlink import SuperLink
from server.wholegrid import WholeGrid
from shared.errors import WireError
from simulations.load.measure import Load, Wanted
from simulations.load.rows import rows_of
from simulations.load.stock import Stock


@given(st.lists(st.binary(max_size=300), max_size=20))
def test_a_bundle_holds_what_was_put_in(parts: list[bytes]) -> None:
    assert unbundle(bundle(parts)) == parts


@given(st.lists(st.binary(min_size=1, max_size=50), min_size=1, max_size=5), st.integers(min_value=1, max_value=50))
def test_a_bundle_that_was_cut_short_is_refused(parts: list[bytes], missing: int) -> None:
    body = bundle(parts)
    cut = body[: -min(missing, len(parts[-1]) + 3)]
    with pytest.raises(WireError):
        unbundle(cut)


class Neighbour(WholeGrid):
    """The run's process, beside its coordinator: what it asks is answered without a network."""

    def __init__(self, link: SuperLink) -> None:
        run = link.start_run()
        super().__init__("127.0.0.1:1", token=run.token)
        self.link, self.token = link, run.token
        state = link._state
        task = state.get_task_by_token(run.token)
        state.activate_task(task.task_id)
        TaskIdentity.task_id, TaskIdentity.run_id, TaskIdentity.node_id = task.task_id, run.id, 1
        from flwr.common.serde import run_to_proto

        self.set_run(run_from_proto(run_to_proto(state.get_run_info(run_ids=[run.id])[0])))

    def _ask(self, path: str, body: bytes) -> bytes:
        request = BytesValue(value=body).SerializeToString()
        answer = self.link._runtime(path, {TASK_TOKEN_HEADER: self.token}, request)
        assert answer.status == 200, answer.body
        return BytesValue.FromString(answer.body).value


class Phone:
    """A node that speaks Flower's fleet protocol to its coordinator's handlers."""

    def __init__(self, link: SuperLink) -> None:
        key = ec.generate_private_key(ec.SECP256R1()).public_key()
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        public = key.public_bytes(serialization.Encoding.PEM, form)
        self.link, self.id = link, link.create_node("phone", public)
        self.node = Node(node_id=self.id)
        self.device = Device(name="phone", public_key=public, state="approved", node_id=self.id, enrolled_at=0.0)
        self.say("activate-node", ActivateNodeRequest(public_key=public, heartbeat_interval=10.0))

    def say(self, name: str, request: object) -> bytes:
        answer = self.link.fleet(name, request.SerializeToString(), self.device)  # type: ignore[attr-defined]
        assert answer.status == 200, answer.body
        return answer.body

    def poll(self) -> PullMessagesResponse:
        return PullMessagesResponse.FromString(self.say("pull-messages", PullMessagesRequest(node=self.node)))

    def online_for(self) -> float:
        return float(self.link._state.nodes[self.id].online_until) - time.time()


@pytest.fixture(scope="module")
def link(tmp_path_factory: pytest.TempPathFactory) -> SuperLink:
    return SuperLink(found(tmp_path_factory.mktemp("whole") / "federation", Settings(name="whole")))


@pytest.fixture
def identity() -> Iterator[None]:
    """Flower keeps a task's identity in the process; give it back."""
    names = ("task_id", "run_id", "node_id")
    before = {name: TaskIdentity.__dict__.get(f"_{name}") for name in names}
    yield
    for name, value in before.items():
        setattr(TaskIdentity, f"_{name}", value)


def content(value: float) -> RecordDict:
    array = ArrayRecord({"flat": Array(np.full(50, value, np.float32))})
    return RecordDict({"plan": ConfigRecord({"json": b"{}"}), "array": array})


@pytest.mark.usefixtures("identity")
def test_messages_and_replies_travel_whole(link: SuperLink) -> None:
    grid, phone = Neighbour(link), Phone(link)
    (request,) = grid.push_messages([Message(content(1.0), phone.id, "train")])
    waiting = phone.poll()
    (head,), (tree,) = waiting.messages_list, waiting.message_object_trees
    run = head.metadata.run_id
    for part in iterate_object_tree(tree):
        ask = PullObjectRequest(node=phone.node, run_id=run, object_id=part.object_id)
        assert PullObjectResponse.FromString(phone.say("pull-object", ask)).object_available

    phone.say(
        "confirm-message-received",
        ConfirmMessageReceivedRequest(node=phone.node, run_id=run, message_object_id=tree.object_id),
    )
    received = message_from_proto(head)
    received.metadata.__dict__["_message_id"] = tree.object_id
    reply = Message(content(2.0), reply_to=received)
    reply.metadata.__dict__["_message_id"] = reply.object_id
    parts = get_all_nested_objects(reply)
    bare = message_to_proto(remove_content_from_message(reply))
    offer = PushMessagesRequest(node=phone.node, messages_list=[bare], message_object_trees=[get_object_tree(reply)])
    lacking = PushMessagesResponse.FromString(phone.say("push-messages", offer))
    for name in lacking.objects_to_push:
        assert grid.pull_messages([request]) == []
        body = parts[name].deflate()
        put = PushObjectRequest(
            node=phone.node, run_id=run, session_id=lacking.session_id, object_id=name, object_content=body
        )  # fmt: skip
        phone.say("push-object", put)
    (found_one,) = grid.pull_messages([request])
    assert found_one.metadata.reply_to_message_id == request
    assert found_one.content.array_records["array"]["flat"].numpy().tolist() == [2.0] * 50
    assert link._state.num_message_ins() == link._state.num_message_res() == len(link._state.object_store) == 0


def test_without_the_runs_token_nothing_is_handed_over(link: SuperLink) -> None:
    body = BytesValue(value=PullAppMessagesRequest(message_ids=["x"]).SerializeToString()).SerializeToString()
    for headers in ({}, {TASK_TOKEN_HEADER: ""}, {TASK_TOKEN_HEADER: "guessed"}):
        assert link._runtime(COLLECT, headers, body).status == 401


@pytest.mark.usefixtures("identity")
@pytest.mark.parametrize("body", [b"\xff", BytesValue(value=b"\0\0\0\x09x").SerializeToString(), b""])
def test_a_malformed_bundle_is_an_answer_not_a_crash(link: SuperLink, body: bytes) -> None:
    grid = Neighbour(link)
    assert link._runtime(HAND_OUT, {TASK_TOKEN_HEADER: grid.token}, body).status in (400, 500)


def test_a_poll_keeps_its_senders_place_and_a_broken_line_gives_it_up(link: SuperLink) -> None:
    phone = Phone(link)
    assert phone.online_for() < 21
    phone.link.fleet(RESTS, b"", phone.device)
    assert 40 < phone.online_for() <= 50, "it rests for longer than a heartbeat holds"
    phone.link.fleet(HUNG_UP, b"", phone.device)
    phone.poll()
    assert 40 < phone.online_for() <= 50
    phone.link.fleet(HUNG_UP, b"", phone.device)
    assert phone.online_for() <= 0
    phone.poll()
    assert phone.online_for() > 40


async def test_a_poll_whose_sender_hangs_up_ends_at_once() -> None:
    mailbox, gone = Mailbox(patience=600.0), asyncio.Event()

    async def receive() -> dict[str, object]:
        await gone.wait()
        return {"type": "http.disconnect"}

    told = Gateway.__new__(Gateway)
    told._mailbox = mailbox
    resting = asyncio.create_task(told._rest(7, receive))
    await asyncio.sleep(0)
    gone.set()
    assert not await resting
    mailbox.deliver([7])
    assert await told._rest(7, receive)


def test_parts_go_by_the_hash_of_what_they_are() -> None:
    assert by_name([b"a"]) == {"ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb": b"a"}


def test_what_was_missed_is_said() -> None:
    wanted = Wanted(devices=1000, cohort=10, rounds=200, idle_seconds=5.0)
    load = Load(
        wanted=wanted, rounds=(), asked_after=(math.inf, math.inf), idle_share=0.2, idle_requests=1.0,
        coordinator_cpu=1.0, run_cpu=1.0, requests=1, lost=3, again=0, memory={0: 100.0, 100: 100.0, 200: 150.0},
    )  # fmt: skip
    stock = Stock(devices=50, rounds=((10.0, 45),), cpu=1.0, megabytes=1.0, dropped=5, locked=2)
    missed = {row["name"].split(": ")[1] for row in rows_of([load], stock) if row["meets"] is False}
    assert missed == {"idle, share of a core", "growth from half-way on", "failed rounds", "lost replies"}
    assert stock.lost == 5


def test_a_keys_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    from simulations.load.ground import read_keys, write_keys

    keys = write_keys(tmp_path / "keys.pem", count=3)
    assert [key.private_numbers() for key in read_keys(tmp_path / "keys.pem")] == [
        key.private_numbers() for key in keys
    ]
