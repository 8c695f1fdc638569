"""What a device tells of what it can afford: nothing unless its owner says so, and then one of four words a task."""

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import fields, replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from machines import small_task

from client import affordability, upkeep
from client.config import AgentHome
from client.ledger import Ledger
from client.policy import limits
from client.settings import AgentSettings, Period, TaskGrant
from client.store import AgentStore
from client.updating import TaskUpdate, UpdateReport
from server import enroll
from server.store import Store
from shared import accounting, wire
from shared.enrolment import BUCKETS, Bucket, InstalledReport
from shared.errors import BudgetExhausted, WireError
from shared.privacy import Cost, PrivacyBudget, SampledGaussian
from shared.rounds import TrainReport
from shared.tasks import Task

TASK = small_task()
CAMPAIGN = SampledGaussian(
    noise_multiplier=TASK.training.noise_multiplier, sample_rate=TASK.training.sample_rate,
    steps=TASK.training.steps * TASK.training.rounds,
)  # fmt: skip
ROW = Cost(record=(CAMPAIGN,))
HOUR = 3600.0
SETTINGS = AgentSettings(
    name="ada", coordinator="127.0.0.1:1", federation="test", budget=PrivacyBudget(epsilon=40.0, delta=1e-5),
    tasks={"machines": TaskGrant(data="rows.csv")}, tell_affordability=True,
)  # fmt: skip
AGENT = """\
name = "ada"
coordinator = "127.0.0.1:1"
federation = "test"
tell_affordability = {told}
budget = {{ epsilon = {epsilon}, delta = 1e-5 }}
tasks.machines.data = "rows.csv"
tasks.later.data = "rows.csv"
"""


@pytest.fixture
def store() -> Iterator[AgentStore]:
    with closing(AgentStore(":memory:")) as opened:
        yield opened


def agent(tmp_path: Path, *, told: str = "true", epsilon: float = 40.0) -> AgentHome:
    """An agent that holds one signed task and waits for another."""
    home = AgentHome(tmp_path)
    home.settings_file.write_text(AGENT.format(told=told, epsilon=epsilon))
    home.signed_tasks.mkdir(parents=True)
    home.task("machines").signed.write_bytes(wire.to_json(TASK))
    return home


def pay(store: AgentStore, *, settings: AgentSettings, task: Task = TASK, times: int = 1) -> int:
    """How many of so many campaigns the ledger admits."""
    for number in range(times):
        try:
            Ledger(store).charge(f"{number}", task=task.name, purpose="round", cost=ROW, limits=limits(settings, task))
        except BudgetExhausted:
            return number
    return times


@settings(max_examples=25, deadline=None)
@given(epsilon=st.floats(0.5, 60.0), before=st.integers(0, 3))
def test_a_bucket_is_what_the_ledger_then_admits(epsilon: float, before: int) -> None:
    owner = replace(SETTINGS, budget=PrivacyBudget(epsilon=epsilon, delta=1e-5))
    with closing(AgentStore(":memory:")) as store:
        with store.transaction():
            for number in range(before):
                store.add_charge(f"old {number}", "another", "round", ROW)
        told = affordability.affordable(store, owner, TASK, now=HOUR)
        admitted = pay(store, settings=owner, times=6)
    assert told == max((name for name, least in BUCKETS.items() if least <= admitted), key=lambda name: BUCKETS[name])


def test_every_budget_of_the_owner_counts(store: AgentStore) -> None:
    one = accounting.epsilon([CAMPAIGN], delta=1e-5)
    most = affordability.affordable(
        store, replace(SETTINGS, budget=PrivacyBudget(epsilon=900.0, delta=1e-5)), TASK, now=HOUR
    )
    assert most == "5+"
    for tighter in (
        {"budget": PrivacyBudget(epsilon=one * 1.01, delta=1e-5)},
        {"tasks": {"machines": TaskGrant(data="", epsilon=one * 1.01)}},
        {"period": Period(days=1.0, epsilon=one * 1.01)},
        {"tasks": {"machines": TaskGrant(data="", period=Period(days=1.0, epsilon=one * 1.01))}},
    ):
        assert affordability.affordable(store, replace(SETTINGS, **tighter), TASK, now=HOUR) == "1"
    strict = replace(TASK, privacy=replace(TASK.privacy, epsilon=one * 0.99))
    assert affordability.affordable(store, SETTINGS, strict, now=HOUR) == "0"


def test_a_budget_for_whole_devices_affords_no_campaign_for_single_rows(store: AgentStore) -> None:
    owner = replace(SETTINGS, device_budget=PrivacyBudget(epsilon=1e6, delta=1e-5))
    assert affordability.affordable(store, owner, TASK, now=HOUR) == "0"


def test_rule_10_nothing_is_told_unless_the_owner_says_so(tmp_path: Path) -> None:
    assert not AgentSettings.__dataclass_fields__["tell_affordability"].default
    home = agent(tmp_path, told="false")
    assert affordability.told(home) == {}
    report = upkeep.report_of(home, UpdateReport(tasks=(TaskUpdate(task="machines", release=0),)))
    assert wire.to_json(report) == b'{"detail":"","release":0}'
    assert not home.database.exists(), "what is not told is not even looked up"
    assert {field.name for field in fields(TrainReport)} & {"affords", "epsilon", "budget"} == set()


def test_rule_10_what_is_told_is_one_of_four_words(tmp_path: Path) -> None:
    home = agent(tmp_path)
    report = upkeep.report_of(home, UpdateReport(tasks=(TaskUpdate(task="machines", release=0),)))
    assert set(report.affords) == {"machines"}, "of a task that is not signed yet nothing can be said"
    assert report.affords["machines"] in BUCKETS
    assert len(wire.to_json(report)) < 80


def test_rule_10_nearby_budgets_are_told_alike(store: AgentStore) -> None:
    """Four words cannot carry a number: a whole range of epsilons answers the same."""
    told = {
        affordability.affordable(
            store, replace(SETTINGS, budget=PrivacyBudget(epsilon=epsilon, delta=1e-5)), TASK, now=HOUR
        )
        for epsilon in (30.0, 33.0, 37.0, 41.0)
    }
    assert len(told) == 1


def test_rule_4_rows_change_nothing_that_is_told(tmp_path: Path) -> None:
    """The data file is never opened: it need not even be there."""
    home = agent(tmp_path)
    before = affordability.told(home)
    (tmp_path / "rows.csv").write_text("load\n1\n2\n")
    assert affordability.told(home) == before


def test_a_task_that_is_switched_off_is_not_spoken_of(tmp_path: Path) -> None:
    home = agent(tmp_path)
    home.settings_file.write_text(home.settings_file.read_text() + "tasks.machines.enabled = false\n")
    assert affordability.told(home) == {}


def test_an_older_report_reads_as_one_that_tells_nothing() -> None:
    old = b'{"detail":"fp32, 7 us","release":3}'
    assert wire.from_json(InstalledReport, old) == InstalledReport(release=3, detail="fp32, 7 us")
    assert wire.to_json(wire.from_json(InstalledReport, old)) == old


@pytest.mark.parametrize(
    "affords",
    [{"flights": "7"}, {"flights": 3}, {"flights": "2.5"}, {"": "1"}, {"\x1b[2J": "1"}, {"A b": "1"}, {"x" * 65: "1"}, ["1"]],
    ids=repr,
)  # fmt: skip
def test_a_report_that_tells_more_or_else_is_refused(affords: object) -> None:
    with pytest.raises(WireError):
        wire.from_json(InstalledReport, json.dumps({"release": 1, "affords": affords}).encode())


def test_the_coordinator_keeps_what_is_told_and_forgets_it_with_the_owners_word(tmp_path: Path) -> None:
    with closing(Store(tmp_path / "covey.db")) as kept:
        kept.add_invitation("token", 2e10)
        kept.enrol("token", "ada", b"key")
        told: dict[str, Bucket] = {"machines": "2-4", "flights": "0"}
        for affords in (told, {}):
            report = InstalledReport(release=2, detail="fp32, 7 us", affords=affords)
            enroll.record_installed(kept, kept.device("ada"), wire.to_json(report))
            assert kept.device("ada").affords == affords
            assert wire.encode(kept.device("ada"))["affords"] == affords
        assert (kept.device("ada").release, kept.device("ada").detail) == (2, "fp32, 7 us")
