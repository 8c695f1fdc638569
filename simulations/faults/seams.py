"""Where a life touches the network, a local stand-in: the coordinator's end of the wire, and where releases come from."""

import hashlib
import os
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from threading import Event
from typing import Any

from flwr.app import Message, RecordDict
from flwr.common.serde import message_to_proto
from flwr.supercore.task_identity import TaskIdentity

import client.membership
import client.node
import client.upkeep
from client.config import AgentHome
from client.patience import Stopped
from client.updates import Updates
from client.updating import UpdateReport
from client.work import InProcess, Weights
from server.sequences import Sequences
from server.store import Store
from shared import messages, wire
from shared.architecture import initial_weights
from shared.drift import DriftReport, SurveyPlan
from shared.failpoints import reached
from shared.privacy import SampledGaussian
from shared.rounds import RoundPlan
from shared.tasks import Window
from simulations.faults.world import NAME, Local, Place
from simulations.machines import TASK

Ask = tuple[str, str]
"""A request's name, and what is asked: `train`, or `survey RELEASE`."""

KINDS = {"report": "train", "drift": "survey", "refusal": "refusal"}


@dataclass(slots=True)
class Outside:
    """The world around one device: what it will be asked, and events that a script may wait for."""

    place: Place
    asks: list[Ask]
    may_update: Event = field(default_factory=Event)
    updated: Event = field(default_factory=Event)
    served: Event = field(default_factory=Event)
    hurt: Event = field(default_factory=Event)


class Wire:
    """The coordinator as `client.fleet.Fleet` shows it: each request once, every answer noted outside the device."""

    outside: Outside

    def __init__(self, *, key: Any, stopping: Event, **_: Any) -> None:
        """Nothing is asked yet."""
        del key
        self._stopping = stopping
        self.node_id = 1

    def enter(self) -> None:
        """Take the place."""
        TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 1, 1, 1

    def beat(self) -> None:
        """Nobody misses a beat."""

    def leave(self, *, goodbye: bool) -> None:
        """Hang up."""

    def heads(self) -> list[tuple[Message, Any]]:
        """The next request; after the last one, wait for the stop."""
        if self.outside.asks:
            return [(_message(*self.outside.asks.pop(0)), None)]
        self.outside.served.set()
        self._stopping.wait()
        raise Stopped("the agent is stopping")

    def fetch(self, head: Message, tree: Any) -> Message:
        """Requests come whole."""
        del tree
        return head

    def push(self, reply: Message) -> None:
        """Take an answer, and note it durably."""
        body = message_to_proto(reply).SerializeToString(deterministic=True)
        names = messages.names(reply.content) if reply.has_content() else frozenset[str]()
        kind = next((kind for name, kind in KINDS.items() if name in names), "failure")
        line = f"{reply.metadata.reply_to_message_id} {kind} {hashlib.sha256(body).hexdigest()}\n"
        with self.outside.place.left.open("a", encoding="ascii") as left:
            left.write(line)
            left.flush()
            os.fsync(left.fileno())
        reached("round.pushed")

    def post(self, path: str, body: bytes) -> bytes | None:
        """Countersign, with the coordinator's own code and store."""
        del path
        with closing(Store(self.outside.place.database)) as store:
            sequences = Sequences(store, self.outside.place.federation.tls)
            return wire.to_json(sequences.answer(store.device(NAME), body))


class Here(InProcess):
    """The child that trains, without being one: its imports would take longer than the training."""

    def __init__(self, *_: Any, **__: Any) -> None:
        """As `client.worker.Worker` is made."""

    def train(self, *arguments: Any, **named: Any) -> Weights:
        """Train here."""
        update = super().train(*arguments, **named)
        reached("round.trained")
        return update

    def survey(self, *arguments: Any, **named: Any) -> DriftReport:
        """Count here."""
        report = super().survey(*arguments, **named)
        reached("survey.counted")
        return report

    def rest(self) -> None:
        """There is no child that waits."""

    def close(self) -> None:
        """There is no child."""


def put_in_place(outside: Outside) -> None:
    """Have this process speak to `outside` from now on, for good."""

    def look(home: AgentHome, **_: Any) -> UpdateReport:
        outside.may_update.wait()
        try:
            return updates(outside.place, home).check()
        finally:
            outside.updated.set()

    Wire.outside = outside
    client.node.Fleet = Wire  # type: ignore[misc,assignment]
    client.membership.Worker = Here  # type: ignore[misc,assignment]
    client.upkeep.run_update = look  # type: ignore[assignment]


def updates(place: Place, home: AgentHome) -> Updates:
    """What looks for releases, without a network."""
    return Updates(home, fetcher=Local(place.federation.repository))


def price(kind: str) -> Sequence[SampledGaussian]:
    """What an answer costs by the plan that asked for it; a refusal costs nothing."""
    if kind == "train":
        return (_round_plan().event,)
    return _survey_plan(1).events if kind == "survey" else ()


def _message(request: str, asked: str) -> Message:
    verb, _, release = asked.partition(" ")
    if verb == "train":
        content, kind = messages.pack("plan", _round_plan(), array=initial_weights(TASK)), "train"
    else:
        content, kind = messages.pack("survey", _survey_plan(int(release))), "query.drift"
    return _addressed(content, kind, request)


def _addressed(content: RecordDict, kind: str, request: str) -> Message:
    message = Message(content, 1, kind, group_id="")
    vars(message.metadata)["_message_id"] = request
    return message


def _round_plan() -> RoundPlan:
    training = TASK.training
    return RoundPlan(
        run_id=1, number=1, task=TASK.name, revision=TASK.revision, base_version=1, window=Window(),
        sample_rate=training.sample_rate, steps=training.steps, normalizer=training.normalizer,
        learning_rate=training.learning_rate, max_grad_norm=training.max_grad_norm,
        noise_multiplier=training.noise_multiplier, max_update_norm=training.max_update_norm,
    )  # fmt: skip


def _survey_plan(release: int) -> SurveyPlan:
    drift = TASK.drift
    return SurveyPlan(
        run_id=1, task=TASK.name, revision=TASK.revision, release=release, window=Window(), role="current",
        features=False, score_bins=drift.score_bins, feature_bins=drift.feature_bins,
        score_noise_multiplier=drift.score_noise_multiplier, feature_noise_multiplier=drift.feature_noise_multiplier,
    )  # fmt: skip
