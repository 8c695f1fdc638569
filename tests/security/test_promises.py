"""Promises of docs/guarantees.md that hold only where several parts meet: the app, the ledger, the child, the release."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from flwr.app import Context, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.supercore.task_identity import TaskIdentity
from machines import machine_rows, small_task
from releasing import build_works
from sequencing import DELTA, ROUND, Device, cost

from client import drift, policy
from client.app import app, build_app
from client.config import AgentHome
from client.installed import current_release, fall_back
from client.ledger import Ledger
from client.policyfile import render
from client.settings import Conditions, TaskGrant
from client.store import AgentStore
from client.worker import Worker
from shared import accounting, messages
from shared.architecture import initial_weights, size
from shared.drift import SurveyPlan
from shared.errors import BudgetExhausted
from shared.privacy import Cost, PrivacyBudget
from shared.rounds import RefusalReport, RoundPlan, TrainReport
from shared.tasks import Window

TASK = small_task()
T = TASK.training
PLAN = RoundPlan(
    run_id=1, number=1, task=TASK.name, revision=1, base_version=1, window=Window(), sample_rate=T.sample_rate,
    steps=T.steps, normalizer=T.normalizer, learning_rate=T.learning_rate, max_grad_norm=T.max_grad_norm,
    noise_multiplier=T.noise_multiplier, max_update_norm=T.max_update_norm,
)  # fmt: skip


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Device]:
    made = Device(tmp_path)
    yield made
    made.peer.store.close()


def ask(home: AgentHome, answering: ClientApp = app) -> Message:
    """What an agent answers to a round."""
    TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 1, 1, 1
    message = Message(messages.pack("plan", PLAN, array=initial_weights(TASK)), 7, "train")
    vars(message.metadata)["_message_id"] = "request"
    config: Any = {"agent": str(home.path)}
    return answering(message, Context(run_id=1, node_id=7, node_config=config, state=RecordDict(), run_config={}))


def declined(home: AgentHome) -> str:
    return messages.unpack(ask(home).content, "refusal", RefusalReport).category


def charges(home: AgentHome) -> list[str]:
    with contextlib.closing(AgentStore(home.database)) as store:
        return [charge.state for charge in store.charges()]


def test_rule_11_a_ledger_that_is_known_to_be_old_answers_nothing(device: Device) -> None:
    with contextlib.closing(AgentStore(device.home.database)) as store:
        store.db.execute("UPDATE sequence SET unsettled = 'this ledger is an old copy'")
    assert declined(device.home) == "not-eligible"
    assert charges(device.home) == []


def test_rule_11_a_copy_from_before_its_countersignature_pays_once_more_and_never_less(
    device: Device, tmp_path: Path
) -> None:
    with device.session() as session:
        session.reconcile()
        device.charge("a")
        copy = device.copy(tmp_path / "copy.db")
        session.countersign()
    device.restore(copy)
    with device.session() as session:
        session.reconcile()
    assert device.spent() == pytest.approx(cost(2), rel=1e-12)


def test_rule_11_a_ledger_that_was_removed_is_charged_again(device: Device) -> None:
    with device.session() as session:
        session.reconcile()
        for request in ("a", "b"):
            device.charge(request)
            session.countersign()
    for file in device.home.path.glob("agent.db*"):
        file.unlink()
    assert device.spent() == 0.0
    with device.session() as session:
        session.reconcile()
    assert device.spent() == pytest.approx(cost(2), rel=1e-12)


@pytest.mark.parametrize("rows", ["rows", "garbage"])
def test_rule_4_the_owners_conditions_decline_for_nothing_and_whatever_the_rows(device: Device, rows: str) -> None:
    settings, later = device.home.settings(), datetime.now().astimezone() + timedelta(hours=6)
    if rows == "garbage":
        Path(settings.tasks[TASK.name].data).write_bytes(b"PAR1 but not really")
    hours = Conditions(hours=f"{later:%H:%M}-{later + timedelta(hours=1):%H:%M}")
    device.home.settings_file.write_text(render(replace(settings, conditions=hours)), encoding="utf-8")
    assert declined(device.home) == "not-now"
    assert charges(device.home) == []


def test_rule_4_a_training_cut_short_stays_charged_and_answers_as_any_other(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("client.worker.sys.executable", "/bin/false")
    with contextlib.closing(Worker(device.home)) as worker:
        reply = ask(device.home, build_app(worker))
    assert messages.names(reply.content) == {"report", "array"}
    assert messages.unpack(reply.content, "report", TrainReport) == TrainReport(
        run_id=1, round_number=1, base_version=1
    )
    assert np.linalg.norm(messages.unpack_array(reply.content, size=size(TASK))) > 0
    assert charges(device.home) == ["sealed"]


def test_rule_9_what_one_task_spent_counts_against_another_on_the_same_device(device: Device) -> None:
    """Both may learn from the same rows."""
    once = PrivacyBudget(epsilon=accounting.epsilon([ROUND], delta=DELTA) * 1.001, delta=DELTA)
    other = replace(TASK, name="other")
    grants = {name: TaskGrant(data="rows.parquet") for name in (TASK.name, other.name)}
    settings = replace(device.home.settings(), budget=once, tasks=grants)
    with contextlib.closing(AgentStore(device.home.database)) as store:
        ledger = Ledger(store)
        for task, request in ((TASK, "a"), (other, "b")):
            limits = policy.limits(settings, task)
            if task is TASK:
                ledger.charge(request, task=task.name, purpose="training", cost=Cost(record=(ROUND,)), limits=limits)
                continue
            with pytest.raises(BudgetExhausted):
                ledger.charge(request, task=task.name, purpose="training", cost=Cost(record=(ROUND,)), limits=limits)


def exactly(counts: Sequence[int], *, scale: float) -> tuple[float, ...]:
    """Counts without their noise, for a test to look at."""
    assert scale > 0
    return tuple(map(float, counts))


def test_rule_14_a_survey_counts_with_the_accepted_release_whichever_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One row may have made this device fall back; counted with another model, every row's score would tell of it."""
    works = build_works(tmp_path)
    for seed in (1, 2):
        works.promote(seed)
        works.check()
    monkeypatch.setattr(drift, "add_noise", exactly)
    machine_rows(200).with_columns(pl.col("load") / 2).write_parquet(tmp_path / "rows.parquet")

    def scores(release: int) -> tuple[float, ...]:
        plan = SurveyPlan(
            run_id=1, task="machines", revision=1, release=release, window=Window(), role="current", features=False,
            score_bins=50, feature_bins=5, score_noise_multiplier=5.0, feature_noise_multiplier=5.0,
        )  # fmt: skip
        return drift.answer(plan, works.task, works.place, tmp_path / "rows.parquet").histograms[0].counts

    before = scores(2)
    assert before != scores(1), "the two releases must be told apart for this test to mean anything"
    assert fall_back(works.place, 2, "answers were not finite") == 1
    assert current_release(works.place) == 2
    assert scores(2) == before
