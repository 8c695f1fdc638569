"""Targets: what a device makes of a message, from Flower's parts to the app's answer, with the ledger held against it.

After each input the ledger holds either nothing new or exactly one charge with its events, and a paid reply has one.
The rows' work is stood in for: no input may decide how much of it there is before it was paid.
"""

import itertools
import json
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, Metadata, RecordDict
from flwr.app.message import make_message
from flwr.common.serde_utils import metadata_from_proto
from flwr.proto.fleet_pb2 import PullMessagesResponse
from flwr.proto.message_pb2 import Metadata as MetadataProto
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from client.app import build_app
from client.config import AgentHome
from client.fleet import _inflate, read_heads  # pyright: ignore[reportPrivateUsage]
from client.work import Work
from shared import messages, wire
from shared.architecture import initial_weights, size
from shared.drift import DriftReport, Histogram, SurveyPlan
from shared.evaluation import EvaluationReport
from shared.privacy import PrivacyBudget
from shared.roster import Roster
from shared.rounds import RoundPlan
from shared.signing import public_key_bytes
from simulations.cohort import found_agent
from simulations.fuzz import samples
from simulations.fuzz.documents import simple
from simulations.fuzz.files import array_parts, make_array, tmpfs
from simulations.fuzz.parts import assemble, parts_of
from simulations.fuzz.target import Broken, Run, Target, pack, unpack

_GRANT = PrivacyBudget(epsilon=1e9, delta=1e-5)
_MOST_CHARGES = 300
"""So many charges make a ledger slow to admit the next; then another device takes its place."""

_PAID = frozenset({"report", "drift", "cells", "masked"})
_KINDS = (
    b"train", b"query.drift", b"query.evaluate", b"query.keys", b"query.shares", b"query.agree", b"query.unmask", b"evaluate",
)  # fmt: skip


def targets() -> tuple[Target, ...]:
    """All of them."""
    return (
        Target(
            name="device.request", parts=("text", "text", "json", "json", "bytes", "json"), share=12, pays=True,
            seeds=_requests, open=_app_of_requests,
        ),
        Target(name="device.message", parts=("object",) * 6, share=15, pays=True, seeds=_messages, open=_app_of_messages),
        simple("device.heads", ("proto",), 20, _heads, _waiting),
    )  # fmt: skip


class Idle:
    """Work that is done at once: what an app computes, without rows."""

    def train(self, *_: Any, **__: Any) -> NDArray[np.float32]:
        """An update of zeros."""
        return np.zeros(size(samples.TASK), dtype=np.float32)

    def contribute(self, *_: Any, **__: Any) -> NDArray[np.float64]:
        """A part of a sum: zeros."""
        return np.zeros(size(samples.TASK))

    def survey(self, *_: Any, **__: Any) -> DriftReport:
        """An answer without histograms."""
        return DriftReport(run_id=1, release=samples.RELEASE, histograms=())

    def evaluate(self, *_: Any, **__: Any) -> EvaluationReport:
        """An answer without cells."""
        return EvaluationReport(run_id=1, version=1, cells=Histogram(name="", edges=(), counts=(), noise=1.0))


class Device:
    """An agent in a folder, its app, and its ledger as an outsider reads it."""

    def __init__(self, home: AgentHome, work: Work | None = None) -> None:
        """Found the agent; its owner agrees to everything that the task may ask."""
        found_agent(home, samples.TASK, name="press", data=home.path.with_suffix(".parquet"), budget=_GRANT)
        trusting = home.settings_file.read_text(encoding="utf-8").replace('trust = "sums"', 'trust = "coordinator"')
        home.settings_file.write_text(trusting, encoding="utf-8")
        place = home.task(samples.TASK.name)
        place.releases.mkdir(parents=True)
        (place.releases / "current").write_text(str(samples.RELEASE), encoding="ascii")
        keys = [ec.derive_private_key(number, ec.SECP256R1()) for number in range(1, 6)]
        home.key.parent.mkdir(exist_ok=True)
        home.key.write_bytes(keys[0].private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        names = {f"device-{number}": public_key_bytes(key.public_key()).decode() for number, key in enumerate(keys)}
        home.roster.write_bytes(wire.to_json(Roster(number=1, devices=names)))
        self.home, self.charges = home, 0
        self._app, self._db = build_app(work or Idle()), sqlite3.connect(home.database)

    def close(self) -> None:
        """Let the ledger go."""
        self._db.close()

    def answer(self, message: Message) -> str:
        """Let the app answer, hold the ledger against the answer, and say in a word what it was."""
        before, reserved = self._last(), self._reserved()
        context = Context(
            run_id=1, node_id=1, node_config={"agent": str(self.home.path)}, state=RecordDict(), run_config={}
        )  # fmt: skip
        reply = self._app(message=message, context=context)
        names = sorted(messages.names(reply.content))
        category = ""
        if names == ["refusal"]:
            category = str(json.loads(cast(bytes, reply.content.config_records["refusal"]["json"]))["category"])
        self._hold(message, paid=bool(_PAID & set(names)), before=before, reserved=reserved)
        return f"{message.metadata.message_type} {names} {category}"

    def _hold(self, message: Message, *, paid: bool, before: int, reserved: set[str]) -> None:
        """Raise `Broken` unless there is no new charge, or one with its events."""
        query = "SELECT id, request, state FROM charges WHERE id > ?"
        new: list[tuple[int, str, str]] = self._db.execute(query, (before,)).fetchall()
        request = message.metadata.message_id
        if not new:
            if paid and not self._db.execute("SELECT 1 FROM charges WHERE request = ?", (request,)).fetchone():
                raise Broken("charge", "a paid reply left without a charge")
            return
        self.charges += len(new)
        if len(new) > 1 or new[0][1] != request:
            raise Broken("charge", f"one message made {len(new)} charges")
        if paid and new[0][2] != "sealed":
            raise Broken("charge", f"a paid reply left while its charge was {new[0][2]}")
        lines = "SELECT level, noise_multiplier, sample_rate, steps FROM events WHERE charge = ?"
        found = Counter(self._db.execute(lines, (new[0][0],)).fetchall())
        if found != _owed(message, reserved):
            raise Broken("charge", f"a charge has the events {sorted(found)}, not those of its plan")

    def _last(self) -> int:
        return int(self._db.execute("SELECT coalesce(max(id), 0) FROM charges").fetchone()[0])

    def _reserved(self) -> set[str]:
        return {str(row[0]) for row in self._db.execute("SELECT campaign FROM reservations")}


def _owed(message: Message, reserved: set[str]) -> Counter[tuple[Any, ...]]:
    """What a message's plan costs, line by line: nothing for a round of a campaign that was paid for whole before."""
    if message.metadata.message_type == "train":
        plan = messages.unpack(message.content, "plan", RoundPlan)
        lines = [] if plan.campaign in reserved else list(plan.cost.lines())
    else:
        survey = messages.unpack(message.content, "survey", SurveyPlan)
        lines = [("record", event) for event in survey.events]
    return Counter((level, e.noise_multiplier, e.sample_rate, e.steps) for level, e in lines)


@contextmanager
def devices() -> Generator[Any]:
    """Gives the device that answers next: a fresh one whenever the last has charged enough."""
    with tempfile.TemporaryDirectory(prefix="covey-", dir=tmpfs()) as folder:
        numbers, held = itertools.count(), SimpleNamespace(device=None)

        def device() -> Device:
            if held.device is None or held.device.charges >= _MOST_CHARGES:
                if held.device is not None:
                    held.device.close()
                held.device = Device(AgentHome(Path(folder) / str(next(numbers))))
            return held.device

        yield device
        if held.device is not None:
            held.device.close()


@contextmanager
def _app_of_requests() -> Generator[Run]:
    numbers = itertools.count()
    with devices() as device:
        yield lambda data: _request(device(), data, next(numbers))


def _request(device: Device, data: bytes, number: int) -> str:
    """A message whose parts hold together, with a plan, an array and a head that need not."""
    kind, name, document, words, payload, head = unpack(data, 6)
    content = RecordDict({name.decode("utf-8", "replace"): ConfigRecord({"json": document})})
    array = make_array(words, payload)
    if array is not None:
        content["array"] = ArrayRecord({"flat": array})
    try:
        said = cast(dict[str, Any], json.loads(head))
        again = bool(said.pop("again", False))
        proto = MetadataProto(**said, message_type=kind.decode("utf-8", "replace"))
        proto.message_id = proto.message_id if again else f"{proto.message_id}/{number}"
        message = make_message(metadata_from_proto(proto), content=content)
    except (ValueError, TypeError, RecursionError, AttributeError):
        return "no head that a message can have"
    try:
        return device.answer(message)
    except ValueError as error:
        # Flower's own dispatch, before Covey's app is asked.
        if "No " in str(error) and "function registered" in str(error):
            return "nothing answers to that"
        raise


def _requests() -> Sequence[bytes]:
    words, payload = array_parts()
    head = json.dumps(
        {"message_id": "m", "run_id": 1, "src_node_id": 1, "dst_node_id": 2, "created_at": 1.8e9, "ttl": 60.0}
    )
    again = json.dumps(json.loads(head) | {"again": True})
    plans = [wire.to_json(plan) for plan in samples.round_plans()]
    surveys = [wire.to_json(survey) for survey in (samples.survey_plan(), samples.survey_plan(features=False))]
    return [
        *(pack(b"train", b"plan", plan, words, payload, it.encode()) for plan in plans for it in (head, again)),
        *(pack(b"query.drift", b"survey", plan, words, payload, it.encode()) for plan in surveys for it in (head, again)),
        pack(b"query.evaluate", b"evaluation", wire.to_json(samples.evaluation_plan()), words, payload, head.encode()),
        *(pack(kind, b"plan", plans[0], words, payload, head.encode()) for kind in _KINDS),
    ]  # fmt: skip


@contextmanager
def _app_of_messages() -> Generator[Run]:
    with devices() as device:
        yield lambda data: _message(device(), data)


def _message(device: Device, data: bytes) -> str:
    """Flower's parts, as they come off the network under their honest names, put together and answered."""
    identity, contents = assemble(unpack(data, 6))
    try:
        return device.answer(_inflate(identity, contents))
    except ValueError as error:
        if "function registered" in str(error):
            return "nothing answers to that"
        raise


def _messages() -> Sequence[bytes]:
    array = initial_weights(samples.TASK)
    head = {
        "run_id": 1,
        "message_id": "",
        "src_node_id": 1,
        "dst_node_id": 2,
        "reply_to_message_id": "",
        "group_id": "",
    }
    found: list[bytes] = []
    for kind, content in (
        ("train", messages.pack("plan", samples.round_plan(), array=array)),
        ("query.drift", messages.pack("survey", samples.survey_plan(), array=array)),
        ("query.evaluate", messages.pack("evaluation", samples.evaluation_plan(), array=array)),
    ):
        metadata = Metadata(**head, created_at=1.8e9, ttl=60.0, message_type=kind)  # type: ignore[arg-type]
        found.append(pack(*parts_of(make_message(metadata, content=content))))
    return found


def _waiting(data: bytes) -> str:
    """What a device reads of the list of messages that wait for it."""
    try:
        answer = PullMessagesResponse.FromString(data)
    except DecodeError:
        return "no protobuf"  # Flower's client says so, and the session is opened anew
    return f"{len(read_heads(answer))} heads"


def _heads() -> Sequence[bytes]:
    from flwr.common.serde import message_to_proto
    from flwr.supercore.inflatable.inflatable_object import get_object_tree

    head = {
        "run_id": 1,
        "message_id": "a" * 64,
        "src_node_id": 1,
        "dst_node_id": 2,
        "reply_to_message_id": "",
        "group_id": "",
    }
    metadata = Metadata(**head, created_at=1.8e9, ttl=60.0, message_type="train")  # type: ignore[arg-type]
    message = make_message(metadata, content=messages.pack("plan", samples.round_plan()))
    tree = get_object_tree(message)
    one = PullMessagesResponse(messages_list=[message_to_proto(message)], message_object_trees=[tree])
    bare = PullMessagesResponse(
        messages_list=[message_to_proto(make_message(metadata, content=RecordDict()))], message_object_trees=[tree]
    )
    return [one.SerializeToString(), bare.SerializeToString(), b""]
