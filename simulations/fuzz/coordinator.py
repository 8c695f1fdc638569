"""Targets: what a coordinator makes of whoever reaches its port, of a device's requests to Flower, and of its replies."""

import asyncio
import base64
import json
import logging
import tempfile
import time
from collections.abc import Generator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from flwr.app import Message, Metadata, RecordDict
from flwr.app.message import make_message
from flwr.common.serde import message_to_proto
from flwr.proto.fleet_pb2 import ActivateNodeRequest, DeactivateNodeRequest, PullMessagesRequest, PushMessagesRequest
from flwr.proto.heartbeat_pb2 import SendNodeHeartbeatRequest
from flwr.proto.message_pb2 import ConfirmMessageReceivedRequest, ObjectTree, PullObjectRequest, PushObjectRequest
from flwr.proto.message_pb2 import Metadata as MetadataProto
from flwr.proto.node_pb2 import Node
from flwr.proto.run_pb2 import GetRunRequest
from flwr.server.superlink.linkstate.in_memory_linkstate import InMemoryLinkState
from flwr.supercore.object_store import ObjectStoreFactory
from flwr.superlink.federation import NoOpFederationManager

from server import enroll
from server.config import Federation, Settings
from server.drift import check
from server.exchange import Replies, _sort  # pyright: ignore[reportPrivateUsage]
from server.fleet import Fleet
from server.founding import found
from server.gateway import FLEET, FLEET_ROUTES, Gateway
from server.mailbox import Mailbox
from server.plain import validate
from server.records import Device
from server.replies import read_reply
from server.sequences import Sequences
from server.store import Store
from shared import messages, signing, wire
from shared.architecture import initial_weights, size
from shared.drift import DriftReport
from shared.enrolment import EnrolRequest, InstalledReport
from shared.rounds import RefusalReport, TrainReport
from shared.sequence import PATH as SEQUENCE
from shared.sequence import SEALED_BYTES, SequenceReport, SequenceRequest
from simulations.fuzz import asgi, samples
from simulations.fuzz.documents import simple
from simulations.fuzz.files import tmpfs
from simulations.fuzz.parts import assemble, parts_of
from simulations.fuzz.target import Run, Target, pack, unpack

_SIGNED = {"sign": True}


def targets() -> tuple[Target, ...]:
    """All of them."""
    return (
        Target(
            name="coordinator.request", parts=asgi.PARTS, share=20, seeds=_requests, open=_gateway
        ),
        Target(name="coordinator.fleet", parts=("text", "proto"), share=30, seeds=_calls, open=_fleet),
        simple("coordinator.reply", ("object",) * 6, 30, _replies, _reply),
    )  # fmt: skip


# -- whoever reaches the port -----------------------------------------------------------------


@contextmanager
def _gateway() -> Generator[Run]:
    """The public listener's app, with one approved device whose signature an input may ask for."""
    with tempfile.TemporaryDirectory(prefix="covey-", dir=tmpfs()) as folder, asyncio.Runner() as runner:
        federation = found(Path(folder) / "federation", Settings(name="works"))
        with closing(Store(federation.database)) as store:
            key, device = _device(federation, store)
            gateway = Gateway(
                store=store, fleet=Fleet(_state(device)), mailbox=Mailbox(patience=0.0),
                repository=federation.repository, authority=federation.tls / "ca.crt",
                sequences=Sequences(store, federation.tls),
            )  # fmt: skip
            with _quiet("server.fleet"):
                yield lambda data: runner.run(_ask(gateway, key, data))


def _device(federation: Federation, store: Store) -> tuple[ec.EllipticCurvePrivateKey, Device]:
    key = ec.generate_private_key(ec.SECP256R1())
    token = enroll.invite(federation, store, hours=1).token
    store.enrol(enroll.token_sha256(token), "ada", signing.public_key_bytes(key.public_key()))
    enroll.approve(federation, store, "ada")
    store.set_node("ada", 1)
    return key, store.device("ada")


async def _ask(gateway: Gateway, key: ec.EllipticCurvePrivateKey, data: bytes) -> str:
    """One request; where its headers say `sign`, it is signed as it stands."""

    def add(method: str, path: str, given: asgi.Headers, body: bytes) -> asgi.Headers:
        if not dict(given).get("sign"):
            return given
        return [*signing.sign(key, method=method, path=path, body=body, now=time.time()).items(), *given]

    return await asgi.ask(gateway, data, add)


def _requests() -> Sequence[bytes]:
    sign, bare = json.dumps(_SIGNED).encode(), b"{}"
    lengths = json.dumps(_SIGNED | {"content-length": "2"}).encode()
    blob = base64.b64encode(bytes(SEALED_BYTES)).decode()
    report = SequenceReport(number=4, head="0" * 64, blob=blob)
    public = signing.public_key_bytes(ec.derive_private_key(7, ec.SECP256R1()).public_key()).decode()
    bodies = {
        "/covey/installed": wire.to_json(InstalledReport(release=1, detail="fp32")),
        "/covey/enrol": wire.to_json(EnrolRequest(name="ben", public_key=public, token="t" * 43)),
        SEQUENCE: wire.to_json(SequenceRequest(report=report)),
    }
    posts = [
        pack(b"POST", path.encode(), head, body) for path, body in bodies.items() for head in (sign, bare, lengths)
    ]
    fleet = [pack(b"POST", (FLEET + name).encode(), sign, body) for name, body in _bodies().items()]
    paths = ("/health", "/covey/ca.crt", "/tuf/metadata/1.root.json", "/tuf/metadata/timestamp.json", "/")
    key = {signing.KEY: "AA==", signing.NONCE: "n", signing.TIME: "1800000000", signing.SIGNATURE: "AA=="}
    own = pack(b"POST", b"/covey/installed", json.dumps(key).encode(), b"{}")
    return [*posts, *fleet, own, *(pack(b"GET", path.encode(), bare, b"") for path in paths)]


# -- a device's requests to Flower ------------------------------------------------------------


def _state(device: Device) -> InMemoryLinkState:
    state = InMemoryLinkState(NoOpFederationManager(), ObjectStoreFactory().store())
    state.create_node("owner", "owner", device.public_key, 30.0)
    return state


@contextmanager
def _quiet(name: str) -> Generator[None]:
    """What Flower's own handlers raise is logged and answered with 500 there, on purpose: that is no finding."""
    log = logging.getLogger(name)
    log.disabled, before = True, log.disabled
    try:
        yield
    finally:
        log.disabled = before


@contextmanager
def _fleet() -> Generator[Run]:
    device = Device(name="ada", public_key=b"ada", state="approved", node_id=1, enrolled_at=0.0)
    fleet = Fleet(_state(device))

    def run(data: bytes) -> str:
        name, body = unpack(data, 2)
        known = name.decode("utf-8", "replace")
        if FLEET + known not in FLEET_ROUTES:
            return "no route"
        answer = fleet(known, body, device)
        return f"{known} {answer.status} {answer.body[:30] if answer.status != 200 else b''!r}"

    with _quiet("server.fleet"), _quiet("flwr"):
        yield run


def _calls() -> Sequence[bytes]:
    return [pack(name.encode(), body) for name, body in _bodies().items()]


def _bodies() -> dict[str, bytes]:
    """One good body for each of Flower's routes."""
    who, update = Node(node_id=1), messages.pack("report", TrainReport(run_id=1, round_number=1, base_version=1))
    head = {"run_id": 1, "message_id": "a" * 64, "src_node_id": 1, "dst_node_id": 1, "reply_to_message_id": "b" * 64}
    metadata = Metadata(**head, group_id="", created_at=1.8e9, ttl=60.0, message_type="train")  # type: ignore[arg-type]
    reply = message_to_proto(make_message(metadata, content=update))
    tree = ObjectTree(object_id="a" * 64, children=[ObjectTree(object_id="c" * 64)])
    requests = {
        "activate-node": ActivateNodeRequest(public_key=b"ada", heartbeat_interval=30.0),
        "deactivate-node": DeactivateNodeRequest(node_id=1),
        "send-node-heartbeat": SendNodeHeartbeatRequest(node=who, heartbeat_interval=30.0),
        "get-run": GetRunRequest(node=who, run_id=1),
        "pull-messages": PullMessagesRequest(node=who),
        "push-messages": PushMessagesRequest(node=who, messages_list=[reply], message_object_trees=[tree]),
        "pull-object": PullObjectRequest(node=who, run_id=1, object_id="a" * 64),
        "push-object": PushObjectRequest(
            node=who, run_id=1, object_id="a" * 64, object_content=b"ConfigRecord  0\0", session_id="s"
        ),
        "confirm-message-received": ConfirmMessageReceivedRequest(node=who, run_id=1, message_object_id="a" * 64),
    }
    return {name: request.SerializeToString() for name, request in requests.items()}


# -- a device's replies, as a run reads them --------------------------------------------------


def _replies() -> Sequence[bytes]:
    array = initial_weights(samples.TASK)
    report = TrainReport(run_id=7, round_number=3, base_version=2)
    contents = (
        messages.pack("report", report, array=array),
        messages.pack("refusal", RefusalReport(category="budget")),
        messages.pack("drift", DriftReport(run_id=8, release=samples.RELEASE, histograms=())),
    )
    return [_packed(content) for content in contents]


def _packed(content: RecordDict) -> bytes:
    head = {
        "run_id": 1,
        "message_id": "",
        "src_node_id": 2,
        "dst_node_id": 1,
        "reply_to_message_id": "m",
        "group_id": "",
    }
    metadata = Metadata(**head, created_at=1.8e9, ttl=60.0, message_type="train")  # type: ignore[arg-type]
    message: Message = make_message(metadata, content=content)
    return pack(*parts_of(message))


def _reply(data: bytes) -> str:
    """Flower's parts and the head that was held against the sender: sorted, and read as an update and as counts."""
    identity, contents = assemble(unpack(data, 6))
    metadata = MetadataProto(
        run_id=1, message_id=identity, src_node_id=2, dst_node_id=1, reply_to_message_id="m", message_type="train"
    )
    replies = Replies()
    _sort(replies, "ada", read_reply(metadata, contents))
    if not replies.contents:
        return f"{replies.refusals} {replies.failures}"
    content = replies.contents["ada"]
    if "drift" in messages.names(content):
        check(messages.unpack(content, "drift", DriftReport), samples.TASK, samples.survey_plan())
        return "counts"
    updates, _ = validate(replies, samples.round_plan(), size(samples.TASK))
    return "an update" if updates else str(replies.failures["ada"])[:20]
