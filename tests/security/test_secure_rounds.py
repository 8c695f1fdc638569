"""Rule 16 on the device that ships: what an agent refuses under secure aggregation, and that refusing costs nothing."""

import json
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from flwr.app import Message, RecordDict
from machines import machine_rows, small_task

from client.app import build_app
from client.ledger import Ledger
from client.store import AgentStore
from client.work import InProcess
from server.app import conduct
from server.plans import plan_round
from server.records import CampaignRequest
from server.secure_rounds import noise_for
from server.store import Store
from shared import messages, wire
from shared.architecture import initial_weights, size
from shared.errors import InputError
from shared.modes import Distributed
from shared.privacy import PrivacyBudget
from shared.roster import Roster
from shared.rounds import RefusalReport, RoundPlan
from shared.secagg.choosing import Demand, choose
from shared.secagg.packing import unpack
from shared.secure import SecureRound
from shared.tasks import Task, Window
from shared.training import Training
from simulations.cohort import rehearse
from simulations.loopback import LoopbackGrid

NAMES = ("ada", "ben", "cyd", "dot", "eva")
TRAINING = Training(
    rounds=1, sample_rate=1.0, steps=1, normalizer=400.0, learning_rate=1.0, max_grad_norm=1.0, noise_multiplier=4.0,
    max_update_norm=0.5,
)  # fmt: skip
TERMS = Distributed(
    training=TRAINING, min_cohort=3, threshold=0.7, colluders=0.1, min_noise_multiplier=2.0, bits=32
)  # fmt: skip
TASK = small_task(distributed=TERMS)

Change = Callable[[Message], Message | None]


class Meddling(LoopbackGrid):
    """A coordinator that alters what it sends; `change` sees each message, and None sends it unaltered."""

    change: Change | None = None

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        change = self.change
        return super().push_messages([(change(message) if change else None) or message for message in messages])


class Federation:
    """Five agents in one process, and a coordinator that may meddle."""

    def __init__(self, folder: Path) -> None:
        self.store = Store(folder / "covey.db")
        files = {name: folder / f"{name}.parquet" for name in NAMES}
        for seed, path in enumerate(files.values()):
            machine_rows(80, seed=seed).write_parquet(path)
        budget = PrivacyBudget(epsilon=50.0, delta=1e-5)
        self.agents = rehearse(self.store, TASK, files, folder / "agents", budget=budget)
        self.grid = Meddling(build_app(InProcess()), self.agents)

    def run(self, change: Change | None = None) -> dict[str, str]:
        """Run one round; what devices refused, by name."""
        self.grid.change = change
        request = CampaignRequest(
            task=TASK.name, window=Window(), training=TRAINING, base_version=1, quorum=1, cohort=5, deadline_seconds=5.0,
            mode="distributed",
        )  # fmt: skip
        run = self.store.run(self.store.queue_run(TASK.name, "train", request))
        with suppress(InputError):  # the only round was abandoned
            conduct(self.grid, self.store, run)
        return self.store.rounds(run.id)[0].refusals

    def charges(self) -> list[int]:
        return [Ledger(AgentStore(path / "agent.db")).spent(1e-5).releases for path in self.agents.values()]

    def ask(self, content: RecordDict, kind: str) -> RecordDict:
        (reply,) = self.grid.send_and_receive([Message(content, min(self.agents), kind)])
        return reply.content


@pytest.fixture
def federation(tmp_path: Path) -> Federation:
    return Federation(tmp_path)


def plan_of(task: Task = TASK, **changes: object) -> RoundPlan:
    noise = noise_for(TRAINING, TERMS, size=size(task), devices=5)
    request = CampaignRequest(
        task=task.name, window=Window(), training=TRAINING, base_version=1, quorum=1, cohort=5, deadline_seconds=5.0,
        mode="distributed",
    )  # fmt: skip
    secure = SecureRound(noise=noise, seed="ab" * 32, roster=1)
    return replace(plan_round(1, 1, task, 1, request, secure=secure), **changes)


def refusal(content: RecordDict) -> str:
    assert messages.names(content) == {"refusal"}
    return messages.unpack(content, "refusal", RefusalReport).category


def with_plan(message: Message, change: Callable[[RoundPlan], RoundPlan]) -> Message:
    plan = change(messages.unpack(message.content, "plan", RoundPlan))
    content = RecordDict({**message.content, **messages.pack("plan", plan)})
    return Message(content, message.metadata.dst_node_id, message.metadata.message_type, group_id="1")


def test_an_honest_round_is_charged_once_a_device(federation: Federation) -> None:
    assert federation.run() == {}
    assert federation.charges() == [1] * 5


@pytest.mark.parametrize("step", ["query.shares", "train", "query.agree", "query.unmask"])
def test_a_plan_that_changes_in_the_middle_is_refused(federation: Federation, step: str) -> None:
    def change(message: Message) -> Message | None:
        if message.metadata.message_type != step:
            return None
        return with_plan(message, lambda plan: replace(plan, window=Window(start="2026-01-02")))

    assert set(federation.run(change).values()) == {"secure-aggregation"}
    assert federation.charges() == [1 if step in ("query.agree", "query.unmask") else 0] * 5


def test_an_update_is_asked_of_members_only_and_once(federation: Federation) -> None:
    content = messages.pack("plan", plan_of(), array=initial_weights(TASK))
    assert refusal(federation.ask(messages.fold(content, "incoming", {}), "train")) == "malformed"
    assert federation.charges()[0] == 0

    kept: list[Message] = []

    def keep(message: Message) -> None:
        if message.metadata.message_type == "train" and message.metadata.dst_node_id == min(federation.agents):
            kept.append(message)

    assert federation.run(keep) == {}
    assert federation.charges()[0] == 1
    again = Message(kept[0].content, min(federation.agents), "train")
    federation.grid.change = None
    (reply,) = federation.grid.send_and_receive([again])
    assert refusal(reply.content) == "secure-aggregation"
    assert federation.charges()[0] == 1


def test_a_process_that_was_started_anew_has_dropped_out_and_pays_nothing(federation: Federation) -> None:
    def restart(message: Message) -> None:
        if message.metadata.message_type == "train":
            federation.grid._app = build_app(InProcess())

    assert set(federation.run(restart).values()) == {"not-eligible"}
    assert federation.charges() == [0] * 5


def test_the_same_request_gets_the_very_bytes_again(federation: Federation) -> None:
    seen: dict[str, list[bytes]] = {}
    original = federation.grid._answer

    def twice(node: int, message: Message) -> Message:
        first, second = original(node, message), original(node, message)
        if message.metadata.message_type == "train":
            seen["masked"] = [
                messages.unpack_data(reply.content, most=10_000) for reply in (first, second)
            ]  # fmt: skip
        return first

    federation.grid._answer = twice  # type: ignore[method-assign]
    federation.run()
    assert seen["masked"][0] == seen["masked"][1]
    assert federation.charges() == [1] * 5


def weaker(plan: RoundPlan, **terms: int) -> RoundPlan:
    """The same plan with noise that is whole for other terms than the task's."""
    assert plan.secure is not None
    demand = Demand(
        length=size(TASK), bound=0.5, record_clip=1 / 400, devices=5, noise_multiplier=4.0,
        **({"threshold": 4, "colluders": 1} | terms),
    )  # fmt: skip
    return replace(plan, secure=replace(plan.secure, noise=choose(demand)))


@pytest.mark.parametrize(
    ("change", "category"),
    [
        (lambda plan: weaker(plan, threshold=3), "plan"),
        (lambda plan: weaker(plan, colluders=0), "plan"),
        (lambda plan: replace(plan, noise_multiplier=1.9), "plan"),
        (lambda plan: replace(plan, revision=2), "not-eligible"),
        (lambda plan: replace(plan, mode="local", secure=None), "plan"),
    ],
)
def test_a_round_below_the_signed_terms_is_refused(
    federation: Federation, change: Callable[[RoundPlan], RoundPlan], category: str
) -> None:
    assert refusal(federation.ask(messages.pack("plan", change(plan_of())), "query.keys")) == category
    assert federation.charges()[0] == 0


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("less noise than it says", ("secure", "noise", "share_scale")),
        ("another bound", ("secure", "noise", "encoding", "bound")),
        ("another clip of rows", ("secure", "noise", "record_clip")),
    ],
)
def test_noise_that_contradicts_the_plan_is_no_plan(federation: Federation, text: str, path: tuple[str, ...]) -> None:
    document = wire.encode(plan_of())
    place = document
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] *= 0.5
    content = messages.pack("plan", {"unused": 0})
    content.config_records["plan"]["json"] = json.dumps(document).encode()
    assert refusal(federation.ask(content, "query.keys")) == "malformed", text


@pytest.mark.parametrize(
    ("old", "new"),
    [('trust = "sums"', 'trust = "everyone"'), ("min_cohort = 3", "min_cohort = 5")],
)
def test_the_owners_floor_holds(federation: Federation, old: str, new: str) -> None:
    file = federation.agents[min(federation.agents)] / "agent.toml"
    file.write_text(file.read_text().replace(old, new))
    assert refusal(federation.ask(messages.pack("plan", plan_of()), "query.keys")) == "plan"


def test_without_a_roster_or_with_an_older_one_a_device_takes_no_part(federation: Federation) -> None:
    file = federation.agents[min(federation.agents)] / "roster.json"
    plan = plan_of()
    assert plan.secure is not None
    newer = replace(plan, secure=replace(plan.secure, roster=2))
    assert refusal(federation.ask(messages.pack("plan", newer), "query.keys")) == "not-eligible"
    file.unlink()
    assert refusal(federation.ask(messages.pack("plan", plan), "query.keys")) == "not-eligible"


def test_a_device_of_the_coordinators_own_making_is_not_summed_with(federation: Federation) -> None:
    """Four honest devices hold a roster without the fifth; the coordinator counts it in all the same."""
    roster = federation.store.roster()
    assert roster is not None
    honest = Roster(number=1, devices={name: key for name, key in roster.devices.items() if name != "eva"})
    for path in list(federation.agents.values())[:-1]:
        (path / "roster.json").write_bytes(wire.to_json(honest))
    refusals = federation.run()
    assert {name: refusals.get(name) for name in NAMES[:-1]} == dict.fromkeys(NAMES[:-1], "secure-aggregation")
    assert federation.charges() == [0] * 5


def test_rule_4_a_device_without_rows_answers_as_any_other(federation: Federation) -> None:
    machine_rows(0).write_parquet(federation.agents[min(federation.agents)].parent.parent / "ada.parquet")
    assert federation.run() == {}
    assert federation.charges() == [1] * 5


def test_a_masked_vector_looks_uniform(federation: Federation) -> None:
    encoding = noise_for(TRAINING, TERMS, size=size(TASK), devices=5).encoding
    values: list[int] = []

    def look(_: int, reply: Message) -> Message:
        if reply.metadata.message_type == "train":
            data = messages.unpack_data(reply.content, most=10_000)
            values.extend(int(value) for value in unpack(data, encoding.padded, encoding.bits))
        return reply

    federation.grid._tamper = look
    for _ in range(12):
        federation.run()
    ones = np.mean([[value >> bit & 1 for bit in range(encoding.bits)] for value in values], axis=0)
    # Each bit of 720 values; the chance of a false alarm is below 1e-9.
    assert np.abs(ones - 0.5).max() < 7 * 0.5 / np.sqrt(len(values))
    assert len(set(values)) > 0.99 * len(values)
