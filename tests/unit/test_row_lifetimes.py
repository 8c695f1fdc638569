"""Rows that retire: which rows a request is answered from, what then counts against a budget, and what does not renew it."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from flwr.app import Context, Message, RecordDict
from flwr.supercore.task_identity import TaskIdentity
from machines import machine_rows, small_task
from numpy.typing import NDArray

from client import drift
from client.app import build_app
from client.config import AgentHome
from client.exposure import counted
from client.ledger import Ledger
from client.lifetimes import DAY, Alive, Lifetime
from client.policy import Limit, limits
from client.policyfile import render
from client.settings import AgentSettings, TaskGrant, read_settings
from client.store import AgentStore, Charge
from client.work import InProcess, Work, without_rows
from client.worker import Worker
from shared import accounting, messages
from shared.architecture import initial_weights
from shared.drift import DriftReport, SurveyPlan
from shared.errors import BudgetExhausted, InputError
from shared.privacy import Cost, PrivacyBudget, SampledGaussian
from shared.rounds import RefusalReport, RoundPlan
from shared.tasks import Task, Window
from simulations.cohort import found_agent

TASK, DELTA = small_task(), 1e-5
T = TASK.training
COUNT = SampledGaussian(noise_multiplier=4.0, sample_rate=1.0, steps=1)
SURVEY = SurveyPlan(
    run_id=1, task="machines", revision=1, release=0, window=Window(), role="current", features=False,
    score_bins=10, feature_bins=5, score_noise_multiplier=5.0, feature_noise_multiplier=5.0,
    contract_noise_multiplier=20.0,
)  # fmt: skip


def plan_of(**changes: Any) -> RoundPlan:
    plan = RoundPlan(
        run_id=1, number=1, task=TASK.name, revision=1, base_version=1, window=Window(), sample_rate=T.sample_rate,
        steps=T.steps, normalizer=T.normalizer, learning_rate=T.learning_rate, max_grad_norm=T.max_grad_norm,
        noise_multiplier=T.noise_multiplier, max_update_norm=T.max_update_norm,
    )  # fmt: skip
    return replace(plan, **changes)


class Watched(InProcess):
    """Notes over which window each request is computed, and computes nothing."""

    def __init__(self) -> None:
        self.windows: list[Window] = []

    def train(self, plan: RoundPlan, task: Task, *_: object, **__: object) -> NDArray[np.float32]:
        self.windows.append(plan.window)
        return without_rows(plan, task)

    def survey(self, plan: SurveyPlan, task: Task, *_: object) -> DriftReport:
        self.windows.append(plan.window)
        return drift.answer_without_rows(plan, task)


class Device:
    """An agent whose rows retire after ten days, and the app that answers for it."""

    def __init__(self, folder: Path, work: Work | None = None) -> None:
        self.home, self.work = AgentHome(folder / "agent"), Watched()
        self.app = build_app(work or self.work)
        data = folder / "rows.parquet"
        machine_rows(20).write_parquet(data)
        found_agent(self.home, TASK, name="ada", data=data, budget=PrivacyBudget(epsilon=50.0, delta=DELTA))
        self.set(row_lifetime_days=10.0)
        self._asked = 0

    def set(self, **changes: Any) -> None:
        self.home.settings_file.write_text(render(replace(self.home.settings(), **changes)))

    def ask(self, content: RecordDict, kind: str) -> Message:
        self._asked += 1
        TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 1, 1, 1
        message = Message(content, 7, kind)
        vars(message.metadata)["_message_id"] = f"request {self._asked}"
        config: Any = {"agent": str(self.home.path)}
        return self.app(message, Context(run_id=1, node_id=7, node_config=config, state=RecordDict(), run_config={}))

    def train(self, **changes: Any) -> Message:
        return self.ask(messages.pack("plan", plan_of(**changes), array=initial_weights(TASK)), "train")

    def survey(self) -> Message:
        return self.ask(messages.pack("survey", SURVEY), "query.drift")

    def charges(self) -> list[Charge]:
        with closing(AgentStore(self.home.database)) as store:
            return store.charges()


@pytest.fixture
def device(tmp_path: Path) -> Device:
    return Device(tmp_path)


def alive_at(charge: Charge) -> Window:
    end = int(charge.charged_at)
    assert (charge.dated, charge.rows_from, charge.rows_until) == ("at", end - 10 * DAY, end)
    start, end_of = (datetime.fromtimestamp(t, UTC).replace(tzinfo=None).isoformat() for t in (end - 10 * DAY, end))
    return Window(start=start, end=end_of)


def test_rounds_and_surveys_are_answered_from_the_rows_of_their_own_charge(device: Device) -> None:
    device.train()
    device.survey()
    device.train(number=2, window=Window(start="2100-01-01"))
    first, second, third = device.charges()
    assert device.work.windows[:2] == [alive_at(first), alive_at(second)]
    assert alive_at(third).start < device.work.windows[2].start < device.work.windows[2].end < alive_at(third).end


def test_without_a_lifetime_the_plan_decides(device: Device) -> None:
    device.set(row_lifetime_days=None)
    device.train()
    (charge,) = device.charges()
    assert (charge.alive, device.work.windows) == (None, [Window()])


def test_a_campaign_goes_on_with_the_rows_that_it_was_charged_for(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row that came since was not charged; it would pay for what the ledger has forgotten by the time it retires."""
    device.train(reserved=3)
    charged = device.charges()[0].charged_at
    monkeypatch.setattr("client.ledger.time.time", lambda: charged + 4 * DAY)
    device.train(reserved=3, number=2)
    device.set(row_lifetime_days=None)
    device.train(reserved=3, number=3)
    assert device.work.windows == [alive_at(device.charges()[0])] * 3
    assert [charge.alive for charge in device.charges()] == [device.charges()[0].alive] * 3


def test_a_campaign_ends_where_its_rows_can_no_longer_be_told(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    device.train(reserved=3)
    monkeypatch.setattr("client.config.TaskHome.signed_task", lambda _: replace(TASK, timestamp="hour"))
    monkeypatch.setattr("client.store.AgentStore.agreed", lambda *_: True)
    reply = device.train(reserved=3, number=2)
    assert messages.unpack(reply.content, "refusal", RefusalReport).category == "not-eligible"
    assert len(device.work.windows) == 1


def dated_rows(folder: Path) -> None:
    """Ten rows that are alive, and ten each that retired, are yet to come, and have no date that can be read."""
    now = datetime.now(UTC).replace(tzinfo=None)
    ages = [*range(1, 10), 9.9, *(10.1 + n for n in range(10)), *(-1.0 - n for n in range(10)), *[None] * 10]
    stamps = [None if age is None else now - timedelta(days=age) for age in ages]
    rows = machine_rows(len(ages)).with_columns(pl.Series("at", stamps, dtype=pl.Datetime("us")))
    rows.write_parquet(folder / "rows.parquet")


def test_retired_undated_and_future_rows_are_not_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    device = Device(tmp_path, InProcess())
    dated_rows(tmp_path)
    monkeypatch.setattr(drift, "add_noise", lambda counts, **_: tuple(map(float, counts)))
    report = messages.unpack(device.survey().content, "drift", DriftReport)
    assert {one.name: sum(one.counts) for one in report.histograms}["@contract"] == 10.0


def test_the_child_process_takes_the_rows_of_the_charge_too(tmp_path: Path) -> None:
    """It reads agent.toml and the clock itself for other things; which rows it may use comes with the request."""
    from client.snapshots import Snapshots
    from client.vault import Vault

    with closing(Worker(AgentHome(tmp_path / "agent"))) as worker:
        device = Device(tmp_path, worker)
        device.set(trainer="light")
        assert messages.names(device.train().content) == {"report", "array"}
    place = device.home.task("machines")
    with closing(Snapshots(place.snapshots, Vault.open(device.home))) as kept:
        assert [one.window for one in kept.log()] == [alive_at(device.charges()[0])]


# -- what counts ------------------------------------------------------------------------------


@pytest.fixture
def store() -> Iterator[AgentStore]:
    with closing(AgentStore(":memory:")) as opened:
        yield opened


class Book:
    """A ledger on a clock of its own, under one budget for all tasks."""

    def __init__(self, store: AgentStore, epsilon: float) -> None:
        self.store, self.now, self.epsilon = store, 1_767_225_600.0, epsilon
        self.ledger, self.number = Ledger(store, clock=lambda: self.now), 0

    def limits(self, task: Task, days: float | None) -> tuple[Limit, ...]:
        settings = AgentSettings(
            name="ada", coordinator="", federation="", budget=PrivacyBudget(epsilon=self.epsilon, delta=DELTA),
            tasks={task.name: TaskGrant(data="")}, row_lifetime_days=days,
        )  # fmt: skip
        return limits(settings, task)

    def ask(self, task: Task = TASK, *, days: float | None = 10.0, after: float = 0.0) -> bool:
        self.now += after * DAY
        self.number += 1
        try:
            self.ledger.charge(
                str(self.number), task=task.name, purpose="", cost=Cost(record=(COUNT,)), limits=self.limits(task, days)
            )
        except BudgetExhausted:
            return False
        return True

    def fill(self, task: Task = TASK, *, days: float | None = 10.0) -> int:
        return sum(self.ask(task, days=days) for _ in range(20))


THREE = accounting.epsilon([COUNT] * 3, delta=DELTA) * 1.001


def test_a_budget_renews_as_rows_retire_and_says_when(store: AgentStore) -> None:
    book = Book(store, THREE)
    begun = book.now
    assert book.fill() == 3
    assert not book.ask(after=9.99)
    (whole, *_) = book.limits(TASK, 10.0)
    assert counted(store, whole, now=book.now).renews == begun + 10 * DAY
    assert book.ask(after=0.01)
    assert book.fill() == 2
    assert book.ledger.spent(DELTA).epsilon == accounting.epsilon([COUNT] * 6, delta=DELTA)


def test_what_was_charged_when_no_row_retired_counts_for_ever(store: AgentStore) -> None:
    """It may have touched a row of any date, one from the future too."""
    book = Book(store, THREE)
    assert book.ask(days=None)
    assert book.fill() == 2
    assert book.ask(after=10.0)
    assert book.ask()
    assert not book.ask()


def test_what_an_old_copy_lacked_counts_for_ever(store: AgentStore) -> None:
    book = Book(store, THREE)
    with store.transaction():
        store.add_settled("recovered", TASK.name, "", [Cost(record=(COUNT,))], at=book.now - 90 * DAY, sequence=1)
    assert book.fill() == 2


def test_a_task_without_timestamps_renews_nothing(store: AgentStore) -> None:
    book, undated = Book(store, THREE), small_task(name="undated", timestamp=None)
    assert book.ask(undated)
    assert book.fill() == 2
    assert not book.ask(undated, after=10.0)  # the most that a row of the other task paid stays beside it
    assert book.fill() == 2


def test_rows_of_several_tasks_may_be_one_persons(store: AgentStore) -> None:
    """Dated differently: what each task's rows paid at most counts beside what the other's pay now."""
    book, other = Book(store, THREE), small_task(name="other")
    assert book.ask()
    assert book.ask(other, after=30.0)
    assert book.ask(other)
    assert not book.ask(other)
    assert book.ask(after=30.0)
    assert not book.ask()


def test_another_column_of_dates_renews_nothing(store: AgentStore) -> None:
    """A task that is signed anew with other timestamps finds the same rows, which are not new."""
    book = Book(store, THREE)
    assert book.fill() == 3
    assert not book.ask(small_task(timestamp="then"), after=30.0)
    assert book.ask()


def test_a_whole_device_does_not_retire() -> None:
    budget = PrivacyBudget(epsilon=8.0, delta=DELTA)
    settings = AgentSettings(
        name="ada", coordinator="", federation="", budget=budget, device_budget=budget,
        tasks={TASK.name: TaskGrant(data="")}, row_lifetime_days=10.0,
    )  # fmt: skip
    assert {limit.level: limit.lifetime for limit in limits(settings, TASK)} == {
        "record": Lifetime(task="machines", column="at", days=10.0),
        "device": None,
    }


def test_a_charge_is_dated_by_the_clock_that_admitted_it(store: AgentStore) -> None:
    ticks = iter([1000.9, 5000.0, 9000.0])
    ledger = Ledger(store, clock=lambda: next(ticks))
    lives = Lifetime(task="machines", column="at", days=1.0)
    budget = PrivacyBudget(epsilon=50.0, delta=DELTA)
    ledger.charge(
        "a", task="machines", purpose="", cost=Cost(record=(COUNT,)),
        limits=[Limit(what="all", budget=budget, lifetime=lives), Limit(what="week", budget=budget, days=7.0)],
    )  # fmt: skip
    assert store.charges()[0].charged_at == 1000.9
    assert ledger.alive("a") == Alive(column="at", start=1000 - DAY, end=1000)
    assert next(ticks) == 5000.0


@pytest.mark.parametrize("days", [0.5, -3.0, 40_000.0])
def test_a_lifetime_in_which_nothing_can_take_part_is_refused(device: Device, days: float) -> None:
    text = device.home.settings_file.read_text()
    device.home.settings_file.write_text(text.replace("row_lifetime_days = 10.0", f"row_lifetime_days = {days}"))
    with pytest.raises(InputError, match="row_lifetime_days must lie between 1 and 36500"):
        read_settings(device.home.settings_file)


def test_a_new_policy_says_what_a_lifetime_is_and_sets_none(device: Device) -> None:
    device.set(row_lifetime_days=None)
    assert "\n# row_lifetime_days = 365.0\n" in device.home.settings_file.read_text()
    assert device.home.settings().row_lifetime_days is None
