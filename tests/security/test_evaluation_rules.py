"""A coordinator that has versions evaluated learns of rows no more than one noisy, charged count of each cell.

Tests are named after the privacy rule (docs/privacy.md) that they break when they fail.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from flwr.app import Array, ArrayRecord, Context, Message, RecordDict
from flwr.supercore.task_identity import TaskIdentity
from hypothesis import given
from hypothesis import strategies as st
from machines import machine_rows, small_task
from numpy.typing import NDArray

from client import evaluation
from client.app import app, build_app
from client.config import AgentHome, TaskHome
from client.evaluation import count, scored
from client.policyfile import set_paused
from client.store import AgentStore
from client.work import InProcess
from client.worker import Stopped, Worker
from shared import messages
from shared.architecture import size
from shared.errors import WireError
from shared.evaluation import EvaluationPlan, EvaluationReport, cells_of
from shared.features import encode_columns
from shared.lifecycle import Evaluation
from shared.privacy import PrivacyBudget
from shared.rounds import RefusalReport
from shared.tasks import Architecture, Task, Window
from simulations.cohort import found_agent

TASK = small_task(evaluation=Evaluation(noise_multiplier=5.0, score_bins=10), groups=("site",))
PLAN = EvaluationPlan(
    run_id=1, task="machines", revision=1, version=7, window=Window(), score_bins=10, noise_multiplier=5.0
)


def some_weights(task: Task, *, seed: int = 1) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(0, 1, size(task)).astype(np.float32)


class Device:
    """An agent on disk, and the app that answers for it."""

    def __init__(self, folder: Path, *, task: Task = TASK, epsilon: float = 50.0) -> None:
        self.home, self.data = AgentHome(folder / "agent"), folder / "rows.parquet"
        machine_rows(200).write_parquet(self.data)
        found_agent(self.home, task, name="ada", data=self.data, budget=PrivacyBudget(epsilon=epsilon, delta=1e-5))
        self.app, self._asked = app, 0

    def ask(self, content: RecordDict, *, request: str = "") -> Message:
        self._asked += 1
        TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 1, 1, 1
        message = Message(content, 7, "query.evaluate")
        vars(message.metadata)["_message_id"] = request or f"request {self._asked}"
        config: Any = {"agent": str(self.home.path)}
        return self.app(message, Context(run_id=1, node_id=7, node_config=config, state=RecordDict(), run_config={}))

    def evaluate(self, plan: EvaluationPlan = PLAN, *, request: str = "") -> Message:
        return self.ask(messages.pack("evaluation", plan, array=some_weights(TASK)), request=request)

    def refusal(self, plan: EvaluationPlan = PLAN) -> str:
        return refusal(self.evaluate(plan))

    def cells(self, plan: EvaluationPlan = PLAN) -> NDArray[np.float64]:
        return np.array(messages.unpack(self.evaluate(plan).content, "cells", EvaluationReport).cells.counts)

    def charges(self) -> int:
        store = AgentStore(self.home.database)
        try:
            return len(store.charges())
        finally:
            store.close()


@pytest.fixture
def device(tmp_path: Path) -> Device:
    return Device(tmp_path)


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without noise, what was counted can be seen."""
    monkeypatch.setattr(evaluation, "add_noise", add_none)


def add_none(counts: NDArray[np.int64], *, scale: float) -> tuple[float, ...]:
    del scale
    return tuple(counts.astype(float).tolist())


def refusal(reply: Message) -> str:
    return messages.unpack(reply.content, "refusal", RefusalReport).category


WEAKER = {
    "less noise": replace(PLAN, noise_multiplier=4.9),
    "finer scores": replace(PLAN, score_bins=20),
    "coarser scores": replace(PLAN, score_bins=5),
}


@pytest.mark.parametrize("weaker", WEAKER)
def test_rule_18_a_plan_weaker_than_the_signed_task_is_refused(device: Device, weaker: str) -> None:
    assert device.refusal(WEAKER[weaker]) == "plan"
    assert device.charges() == 0


def test_rule_18_a_task_that_lets_nothing_be_evaluated_is_obeyed(tmp_path: Path) -> None:
    device = Device(tmp_path, task=small_task(groups=("site",)))
    assert device.refusal() == "plan"


def test_rule_18_another_revision_is_not_answered(device: Device) -> None:
    assert device.refusal(replace(PLAN, revision=2)) == "not-eligible"
    assert device.charges() == 0


def test_rule_18_an_owners_pause_and_budget_hold(device: Device, tmp_path: Path) -> None:
    set_paused(device.home, paused=True)
    assert device.refusal() == "consent"
    (tmp_path / "poor").mkdir()
    poor = Device(tmp_path / "poor", epsilon=0.1)
    assert poor.refusal() == "budget"
    assert poor.charges() == 0


def test_rule_6_an_answer_is_charged_once_and_the_same_bytes_are_sent_again(device: Device) -> None:
    first, again = (device.evaluate(request="once").content for _ in range(2))
    assert messages.unpack(first, "cells", EvaluationReport) == messages.unpack(again, "cells", EvaluationReport)
    assert device.charges() == 1


def not_a_number(weights: NDArray[np.float32]) -> RecordDict:
    wild = weights.copy()
    wild[0] = np.nan
    content = messages.pack("evaluation", PLAN)
    content["array"] = ArrayRecord({"flat": Array(wild)})
    return content


MALFORMED: dict[str, Callable[[NDArray[np.float32]], RecordDict]] = {
    "no weights": lambda _: messages.pack("evaluation", PLAN),
    "too many": lambda weights: messages.pack("evaluation", PLAN, array=np.concatenate([weights, weights[:1]])),
    "not a number": not_a_number,
    "no plan": lambda weights: messages.pack("survey", PLAN, array=weights),
}


@pytest.mark.parametrize("content", MALFORMED)
def test_rule_4_weights_that_are_none_are_refused_before_a_row_is_read(device: Device, content: str) -> None:
    assert refusal(device.ask(MALFORMED[content](some_weights(TASK)))) == "malformed"
    assert device.charges() == 0


def gone(path: Path) -> None:
    path.unlink()


def no_parquet(path: Path) -> None:
    path.write_bytes(b"PAR1 nothing of it")


def without_a_column(path: Path) -> None:
    machine_rows(10).drop("load").write_parquet(path)


def without_rows(path: Path) -> None:
    machine_rows(10).clear().write_parquet(path)


def without_labels(path: Path) -> None:
    machine_rows(10).with_columns(stops=pl.lit(None, pl.Float64)).write_parquet(path)


@pytest.mark.usefixtures("silent")
@pytest.mark.parametrize("spoil", [gone, no_parquet, without_a_column, without_rows, without_labels])
def test_rule_4_rows_that_cannot_be_used_are_answered_with_noise_alone(
    device: Device, spoil: Callable[[Path], None]
) -> None:
    spoil(device.data)
    assert device.cells().tolist() == [0.0] * cells_of(TASK, PLAN)
    assert device.charges() == 1


@pytest.mark.usefixtures("silent")
def test_rule_13_one_row_more_changes_one_cell_by_one(device: Device) -> None:
    before = device.cells()
    assert before.sum() == 200
    more = pl.concat([machine_rows(200), machine_rows(1, seed=5)])
    more.write_parquet(device.data)
    change = device.cells() - before
    assert sorted(change[change != 0].tolist()) == [1.0]


@pytest.mark.usefixtures("silent")
def test_rule_13_only_rows_of_the_window_are_counted(device: Device) -> None:
    later = replace(PLAN, window=Window(start="2026-01-16"))
    dated = machine_rows(200).filter(pl.col("at") >= pl.datetime(2026, 1, 16)).height
    assert device.cells(later).sum() == dated


@given(
    st.lists(
        st.tuples(
            st.floats(width=32), st.floats(width=32, allow_nan=False), st.sampled_from(["north", "south", "", None]),
            st.integers(0, 1),
        ),
        min_size=1, max_size=30,
    ),
    st.integers(0, 10_000), st.sampled_from([0.1, 10.0, 1e30]),
)  # fmt: skip
def test_rule_3_a_rows_cell_does_not_hang_on_the_rows_beside_it(
    rows: list[tuple[float, float, str | None, int]], seed: int, scale: float
) -> None:
    """Also where scores lie on the edge of a bin, overflow, or are none."""
    task = replace(TASK, architecture=Architecture(kind="mlp", hidden=(8,)))
    weights = (some_weights(task, seed=seed) * np.float32(scale)).astype(np.float32)
    load, hour, site, labels = zip(*rows, strict=True)
    columns = {
        "load": np.array(load, np.float32), "hour": np.array(hour, np.float32), "site": np.array(site, dtype=object),
    }  # fmt: skip

    def cells(chosen: slice) -> NDArray[np.int64]:
        these = {name: column[chosen] for name, column in columns.items()}
        found = scored(task, weights, encode_columns(task.features, these))
        return count(task, these, np.array(labels, np.int64)[chosen], found, bins=10)

    together, apart = cells(slice(None)), [cells(slice(place, place + 1)) for place in range(len(rows))]
    assert together.tolist() == np.sum(apart, axis=0).tolist()
    assert all(one.sum() == 1 for one in apart)


def test_rule_13_the_noise_is_as_wide_as_the_plan_says(device: Device) -> None:
    device.data.unlink()
    drawn = np.concatenate([device.cells() for _ in range(30)])
    # 1800 draws: the standard deviation is known to 2 %.
    assert np.std(drawn) == pytest.approx(5.0, rel=0.1)
    assert np.array_equal(drawn, np.rint(drawn))


def test_a_child_that_dies_is_answered_with_noise_alone(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    worker = Worker(device.home)
    try:
        device.app = build_app(worker)
        assert np.abs(device.cells() - np.zeros(60)).max() < 200
        assert worker.process is not None
        monkeypatch.setattr(Worker, "_await", _stop)
        monkeypatch.setattr(evaluation, "add_noise", add_none)
        assert device.cells().tolist() == [0.0] * 60
    finally:
        worker.close()


def _stop(_self: Worker, _pipe: object, _ceilings: object) -> None:
    raise Stopped("it took more memory than its owner allows")


def test_what_leaves_has_no_place_for_an_exact_count(device: Device) -> None:
    reply = device.evaluate()
    assert messages.names(reply.content) == {"cells"}
    report = messages.unpack(reply.content, "cells", EvaluationReport)
    assert (report.run_id, report.version, report.cells.noise) == (1, 7, 5.0)
    with pytest.raises(WireError):
        messages.unpack_array(reply.content, size=size(TASK))


def test_both_workers_count_alike(device: Device) -> None:
    assert {name for name in dir(InProcess) if not name.startswith("_")} <= set(dir(Worker))
    place: TaskHome = device.home.task("machines")
    worker = Worker(device.home)
    try:
        reports = [each.evaluate(PLAN, TASK, place, some_weights(TASK)) for each in (InProcess(), worker)]
    finally:
        worker.close()
    first, second = (np.array(each.cells.counts) for each in reports)
    # Two draws of the same counts: sixty differences of standard deviation seven.
    assert np.abs(first - second).max() < 60
    assert first.sum() == pytest.approx(200, abs=400)
