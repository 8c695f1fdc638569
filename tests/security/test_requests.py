"""What an agent answers to requests that it should not follow: a category, never a reason, and never a charge."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from flwr.app import ConfigRecord, Message, RecordDict
from machines import machine_rows, small_task

from client.app import app
from client.ledger import Ledger
from client.store import AgentStore
from server.plans import plan_round
from server.records import CampaignRequest
from server.store import Store
from shared import messages, wire
from shared.architecture import initial_weights
from shared.privacy import PrivacyBudget
from shared.rounds import RefusalReport, RoundPlan, TrainReport
from shared.tasks import Task, Window
from simulations.cohort import rehearse
from simulations.loopback import LoopbackGrid


class Device:
    """One agent, and a grid that asks it."""

    def __init__(self, folder: Path) -> None:
        self.task: Task = small_task()
        machine_rows(200).write_parquet(folder / "ada.parquet")
        store = Store(folder / "covey.db")
        budget = PrivacyBudget(epsilon=20.0, delta=1e-5)
        agents = rehearse(store, self.task, {"ada": folder / "ada.parquet"}, folder / "agents", budget=budget)
        ((self.node, self.home),) = agents.items()
        self.grid = LoopbackGrid(app, agents)
        self.data = folder / "ada.parquet"

    def plan(self, **changes: object) -> RoundPlan:
        request = CampaignRequest(
            task="machines", window=Window(), training=self.task.training, base_version=1, quorum=1, cohort=1,
            deadline_seconds=5.0,
        )  # fmt: skip
        return replace(plan_round(1, 1, self.task, 1, request), **changes)

    def ask(self, content: RecordDict, kind: str = "train") -> RecordDict:
        (reply,) = self.grid.send_and_receive([Message(content, self.node, kind)])
        assert not reply.has_error()
        return reply.content

    def train(self, plan: RoundPlan) -> RecordDict:
        return self.ask(messages.pack("plan", plan, array=initial_weights(self.task)))

    def refusal(self, content: RecordDict) -> str:
        assert messages.names(content) == {"refusal"}
        return messages.unpack(content, "refusal", RefusalReport).category

    @property
    def charges(self) -> int:
        return Ledger(AgentStore(self.home / "agent.db")).spent(1e-5).releases


@pytest.fixture
def device(tmp_path: Path) -> Device:
    return Device(tmp_path)


def test_a_good_plan_is_answered_with_a_report_that_says_nothing_of_the_data(device: Device) -> None:
    content = device.train(device.plan())
    assert messages.names(content) == {"report", "array"}
    report = messages.unpack(content, "report", TrainReport)
    assert wire.encode(report) == {"run_id": 1, "round_number": 1, "base_version": 1}
    assert device.charges == 1


@pytest.mark.parametrize(
    ("changes", "category"),
    [
        ({"noise_multiplier": 0.4}, "plan"),
        ({"sample_rate": 0.9}, "plan"),
        ({"steps": 17}, "plan"),
        ({"max_grad_norm": 2.0}, "plan"),
        ({"normalizer": 0.5}, "plan"),
        ({"task": "another"}, "not-eligible"),
        ({"revision": 2}, "not-eligible"),
    ],
)
def test_a_plan_outside_the_signed_task_is_refused_uncharged(
    device: Device, changes: dict[str, object], category: str
) -> None:
    assert device.refusal(device.train(device.plan(**changes))) == category
    assert device.charges == 0


def edit(home: Path, old: str, new: str) -> None:
    text = (home / "agent.toml").read_text()
    assert old in text
    (home / "agent.toml").write_text(text.replace(old, new))


def test_the_owners_floor_holds_beside_the_task(device: Device) -> None:
    edit(device.home, "min_noise_multiplier = 0.0", "min_noise_multiplier = 1.5")
    assert device.refusal(device.train(device.plan())) == "plan"


def test_paused_and_unasked_owners_take_no_part(device: Device) -> None:
    edit(device.home, "paused = false", "paused = true")
    assert device.refusal(device.train(device.plan())) == "consent"
    edit(device.home, "paused = true", "paused = false")
    edit(device.home, "[tasks.machines]", "[tasks.machines]\nenabled = false")
    assert device.refusal(device.train(device.plan())) == "consent"
    edit(device.home, "\nenabled = false", "")
    AgentStore(device.home / "agent.db").withdraw("machines")
    assert device.refusal(device.train(device.plan())) == "consent"
    assert device.charges == 0


def _expire(device: Device) -> None:
    past = datetime.now(UTC) - timedelta(seconds=1)
    text = f'{{"signed": {{"expires": "{past:%Y-%m-%dT%H:%M:%SZ}"}}}}'
    (device.home / "trust" / "metadata" / "timestamp.json").write_text(text)


def _garble(device: Device) -> None:
    (device.home / "trust" / "metadata" / "timestamp.json").write_text("{}")


def _forget(device: Device) -> None:
    shutil.rmtree(device.home / "trust" / "metadata")


@pytest.mark.parametrize("freeze", [_expire, _garble, _forget])
def test_expired_metadata_stops_training(device: Device, freeze: Callable[[Device], None]) -> None:
    freeze(device)
    assert device.refusal(device.train(device.plan())) == "not-eligible"
    assert device.charges == 0


@pytest.mark.parametrize(
    "spoil",
    [
        lambda _: b"",
        lambda _: b"\xff\xfe",
        lambda _: b"[" * 100_000,
        lambda _: b"null",
        lambda body: body.replace(b'"steps":4', b'"steps":"four"'),
        lambda body: body.replace(b'"steps":4', b'"steps":0'),
        lambda body: body.replace(b'"steps":4', b'"steps":1e400'),
        lambda body: body.replace(b'"steps":4,', b""),
        lambda body: body.replace(b'"steps":4', b'"steps":4,"seed":7'),
        lambda body: body.replace(b'"window":{', b'"window":{"start":"yesterday",'),
        lambda body: body + b" " * 2_000_000,
    ],
)
def test_a_malformed_plan_is_refused_uncharged(device: Device, spoil: Callable[[bytes], bytes]) -> None:
    content = messages.pack("plan", device.plan(), array=initial_weights(device.task))
    content["plan"] = ConfigRecord({"json": spoil(wire.to_json(device.plan()))})
    assert device.refusal(device.ask(content)) == "malformed"
    assert device.charges == 0


def test_weights_of_another_size_are_refused_uncharged(device: Device) -> None:
    content = messages.pack("plan", device.plan(), array=initial_weights(device.task)[:-1])
    assert device.refusal(device.ask(content)) == "malformed"
    assert device.charges == 0


@pytest.mark.parametrize("spoil", ["remove", "garble", "empty"])
def test_data_that_cannot_be_read_is_no_reason_to_refuse(device: Device, spoil: str) -> None:
    """Rule 4: the device returns an update of noise alone, charged as any other."""
    if spoil == "remove":
        device.data.unlink()
    elif spoil == "garble":
        device.data.write_bytes(b"PAR1")
    else:
        machine_rows(0).write_parquet(device.data)
    content = device.train(device.plan())
    assert messages.names(content) == {"report", "array"}
    assert device.charges == 1


def test_a_broken_agent_says_only_that_it_cannot(device: Device) -> None:
    (device.home / "agent.toml").write_text("this is not TOML")
    assert device.refusal(device.train(device.plan())) == "not-eligible"


def test_a_survey_about_a_release_that_does_not_serve_here_is_refused(device: Device) -> None:
    from shared.drift import SurveyPlan

    drift = device.task.drift
    plan = SurveyPlan(
        run_id=1, task="machines", revision=1, release=3, window=Window(), role="current", features=True,
        score_bins=drift.score_bins, feature_bins=drift.feature_bins,
        score_noise_multiplier=drift.score_noise_multiplier, feature_noise_multiplier=drift.feature_noise_multiplier,
    )  # fmt: skip
    assert device.refusal(device.ask(messages.pack("survey", plan), "query.drift")) == "not-eligible"
    assert device.charges == 0
