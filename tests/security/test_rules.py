"""A coordinator that lies in its plans, its weights and its dates learns no more of a row than what was charged.

Each test is named after the privacy rule (docs/privacy.md) that it breaks when it fails.
"""

import json
import os
import re
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Barrier, Event
from time import sleep
from typing import Any

import numpy as np
import polars as pl
import pytest
from flwr.app import Context, Message, RecordDict
from flwr.supercore.task_identity import TaskIdentity
from machines import machine_rows, small_task
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from releasing import Works, build_works

from client import coordinator, dataset, drift, enrol, inference, installed, policy, upkeep
from client import examples as examples_module
from client.app import app
from client.config import AgentHome
from client.explanation import explain
from client.inputs import Examples, no_examples
from client.ledger import Ledger
from client.policy import Limit
from client.policyfile import set_paused
from client.store import AgentStore
from client.training import train
from client.updating import TaskUpdate, UpdateReport
from server import repository as repository_module
from server.repository import Repository
from shared import accounting, messages, wire
from shared import noise as noise_module
from shared.architecture import initial_weights, size
from shared.drift import DriftReport, SurveyPlan
from shared.enrolment import InstalledReport
from shared.errors import BudgetExhausted, NotEligible, WireError
from shared.features import Number
from shared.feeds import SCORES
from shared.hostile import check_model_file
from shared.models import Release
from shared.noise import CipherStream
from shared.privacy import Cost, PrivacyBudget
from shared.rollout import chosen
from shared.rounds import RefusalReport, RoundPlan, TrainReport
from shared.runtime import open_model
from shared.tasks import Task, Window
from simulations.cohort import found_agent

TASK = small_task()
SURVEY = SurveyPlan(
    run_id=1, task="machines", revision=1, release=0, window=Window(), role="current", features=True,
    score_bins=10, feature_bins=5, score_noise_multiplier=5.0, feature_noise_multiplier=5.0,
)  # fmt: skip


def plan_of(task: Task = TASK, **changes: Any) -> RoundPlan:
    t = task.training
    plan = RoundPlan(
        run_id=1, number=1, task=task.name, revision=1, base_version=1, window=Window(), sample_rate=t.sample_rate,
        steps=t.steps, normalizer=t.normalizer, learning_rate=t.learning_rate, max_grad_norm=t.max_grad_norm,
        noise_multiplier=t.noise_multiplier, max_update_norm=t.max_update_norm,
    )  # fmt: skip
    return replace(plan, **changes)


class Device:
    """An agent on disk, and the app that answers for it."""

    def __init__(self, folder: Path, *, rows: int = 60, epsilon: float = 50.0) -> None:
        self.home, self.data = AgentHome(folder / "agent"), folder / "rows.parquet"
        machine_rows(rows).write_parquet(self.data)
        budget = PrivacyBudget(epsilon=epsilon, delta=1e-5)
        found_agent(self.home, TASK, name="ada", data=self.data, budget=budget)
        self._asked = 0

    def ask(self, content: RecordDict, kind: str, *, request: str = "") -> Message:
        self._asked += 1
        TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 1, 1, 1
        message = Message(content, 7, kind)
        vars(message.metadata)["_message_id"] = request or f"request {self._asked}"
        vars(message.metadata)["_created_at"] = 1_000_000.0
        vars(message.metadata)["_ttl"] = 1e9
        config: Any = {"agent": str(self.home.path)}
        context = Context(run_id=1, node_id=7, node_config=config, state=RecordDict(), run_config={})
        return app(message, context)

    def train(self, plan: RoundPlan, *, weights: NDArray[np.float32] | None = None, request: str = "") -> Message:
        base = initial_weights(TASK) if weights is None else weights
        return self.ask(messages.pack("plan", plan, array=base), "train", request=request)

    def survey(self, plan: SurveyPlan) -> Message:
        return self.ask(messages.pack("survey", plan), "query.drift")

    def charges(self) -> int:
        store = AgentStore(self.home.database)
        try:
            return len(store.charges())
        finally:
            store.close()


@pytest.fixture
def device(tmp_path: Path) -> Device:
    return Device(tmp_path)


def refusal(reply: Message) -> str:
    return messages.unpack(reply.content, "refusal", RefusalReport).category


def update_of(reply: Message) -> NDArray[np.float32]:
    return messages.unpack_array(reply.content, size=size(TASK))


# -- rule 1 and the sums that noise is added to ------------------------------------------------


def test_rule_1_a_device_seeds_its_stream_from_the_operating_system_each_time(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys: list[bytes] = []

    class Noted(CipherStream):
        def __init__(self, key: bytes) -> None:
            keys.append(key)
            super().__init__(key)

    monkeypatch.setattr(noise_module, "CipherStream", Noted)
    device.train(plan_of())
    device.train(plan_of(number=2))
    assert [len(key) for key in keys] == [32, 32]
    assert keys[0] != keys[1]


def test_rule_1_torch_draws_no_noise_and_no_sample() -> None:
    """Whatever Torch's generator is seeded with, the update is the cipher stream's."""
    import torch

    examples = Examples(inputs=np.ones((9, TASK.inputs), np.float32), labels=np.zeros(9, np.int64))
    updates: list[NDArray[np.float32]] = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        updates.append(train(plan_of(), TASK, initial_weights(TASK), examples, CipherStream(bytes(32))))
    assert np.array_equal(*updates)


def test_rule_1_the_grid_of_the_noise_does_not_tell_an_empty_sum() -> None:
    """One step from weights of zero gives the noisy sum itself; on a coarse grid, an empty one is known for sure."""
    columns = tuple(Number(name=f"c{i}", low=0.0, high=1.0, missing=0.5) for i in range(200))
    task, scale = small_task(features=columns), np.float32(1.5)
    plan = plan_of(task, steps=1, sample_rate=1.0, noise_multiplier=1.5, normalizer=1.0, learning_rate=1.0)
    plan = replace(plan, max_update_norm=1e6)
    update = train(plan, task, np.zeros(size(task), np.float32), no_examples(task), CipherStream(bytes(32)))
    near = (update / scale).astype(np.float32)
    candidates = (near, np.nextafter(near, np.float32(np.inf)), np.nextafter(near, np.float32(-np.inf)))
    on_the_grid = np.any([update == number * scale for number in candidates], axis=0)
    assert not on_the_grid.all()


def test_rule_2_weights_that_overflow_on_one_row_do_not_tell_of_it() -> None:
    """3e38 on two inputs: a row that has both overflows, and without care the whole update would be NaN."""
    hostile = np.zeros(size(TASK), np.float32)
    hostile[[TASK.inputs, TASK.inputs + 3]] = 3e38
    plan = plan_of(sample_rate=1.0, steps=2, normalizer=1.0, learning_rate=1.0, max_update_norm=1e30)
    others = np.zeros((5, TASK.inputs), np.float32)
    certain = np.vstack([others, np.ones((1, TASK.inputs), np.float32)])
    without, with_it = (
        train(plan, TASK, hostile, Examples(inputs=rows, labels=np.zeros(len(rows), np.int64)), CipherStream(bytes(32)))
        for rows in (others, certain)
    )
    assert np.isfinite(with_it).all()
    assert np.linalg.norm(with_it - without) <= plan.max_grad_norm * plan.steps * (1 + 1e-4)


# -- rule 2 ----------------------------------------------------------------------------------


def test_rule_2_what_leaves_has_the_same_shape_whatever_the_rows(tmp_path: Path) -> None:
    """No count, no loss, no epsilon: the reply of a device with rows is as long as that of one without."""
    lengths: set[int] = set()
    for rows in (1, 400):
        folder = tmp_path / str(rows)
        folder.mkdir()
        reply = Device(folder, rows=rows).train(plan_of())
        assert messages.names(reply.content) == {"report", "array"}
        assert messages.unpack(reply.content, "report", TrainReport) == TrainReport(
            run_id=1, round_number=1, base_version=1
        )
        lengths.add(len(reply.content.array_records["array"]["flat"].data))
    assert len(lengths) == 1


def test_rule_2_a_reply_carries_no_clock_of_the_device(device: Device) -> None:
    """Under Poisson sampling the time that training took tells of how many rows there are."""
    for reply in (device.train(plan_of()), device.survey(SURVEY)):
        assert (reply.metadata.created_at, reply.metadata.ttl) == (1_000_000.0, 1e9)


# -- rule 4 ----------------------------------------------------------------------------------


def garbage(data: Path) -> None:
    data.write_bytes(b"PAR1 but not really")


def nothing(data: Path) -> None:
    data.unlink()


def no_rows(data: Path) -> None:
    machine_rows(0).write_parquet(data)


def other_columns(data: Path) -> None:
    machine_rows(5).drop("stops").write_parquet(data)


def nested_columns(data: Path) -> None:
    machine_rows(5).with_columns(load=pl.lit([[1.0]]), site=pl.struct("load", "hour")).write_parquet(data)


def words_for_dates(data: Path) -> None:
    machine_rows(5).with_columns(at=pl.lit(True)).write_parquet(data)


@pytest.mark.parametrize("spoil", [garbage, nothing, no_rows, other_columns, nested_columns, words_for_dates])
def test_rule_4_bad_rows_are_answered_with_noise_never_with_a_refusal(
    device: Device, spoil: Callable[[Path], None]
) -> None:
    spoil(device.data)
    assert np.isfinite(update_of(device.train(plan_of(window=Window(start="2026-01-01"))))).all()
    assert messages.unpack(device.survey(SURVEY).content, "drift", DriftReport).histograms


@pytest.mark.parametrize("broken", [ValueError, MemoryError, OverflowError, TypeError])
def test_rule_4_no_kind_of_error_that_rows_cause_becomes_a_refusal(
    device: Device, monkeypatch: pytest.MonkeyPatch, broken: type[Exception]
) -> None:
    def fail(*_: object, **__: object) -> Any:
        raise broken("a row did this")

    monkeypatch.setattr(examples_module, "read_examples", fail)
    monkeypatch.setattr(dataset, "read_columns", fail)
    assert np.isfinite(update_of(device.train(plan_of()))).all()
    assert messages.unpack(device.survey(SURVEY).content, "drift", DriftReport).histograms


def test_rule_4_a_refusal_looks_the_same_whatever_the_rows(tmp_path: Path) -> None:
    said: set[bytes] = set()
    for rows in (0, 400):
        folder = tmp_path / str(rows)
        folder.mkdir()
        reply = Device(folder, rows=rows).train(plan_of(steps=17))
        said.add(wire.to_json(messages.unpack(reply.content, "refusal", RefusalReport)))
    assert said == {b'{"category":"plan"}'}


# -- rules 6, 8 and 10 ------------------------------------------------------------------------


def test_rule_6_a_request_repeated_with_another_plan_gets_the_bytes_that_were_sealed(device: Device) -> None:
    """A coordinator that uses one message id twice gets one answer, under one charge."""
    first = device.train(plan_of(), request="once")
    again = device.train(plan_of(number=2, learning_rate=9.0), request="once")
    other = device.ask(messages.pack("survey", SURVEY), "query.drift", request="once")
    assert np.array_equal(update_of(first), update_of(again))
    assert np.array_equal(update_of(first), update_of(other))
    assert device.charges() == 1


def test_rule_6_a_charge_is_on_disk_before_a_row_is_read(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def noted(*_: object, **__: object) -> Any:
        seen.append(device.charges())
        raise OSError

    monkeypatch.setattr(examples_module, "read_examples", noted)
    monkeypatch.setattr(dataset, "read_columns", noted)
    device.train(plan_of())
    device.survey(SURVEY)
    assert seen == [1, 2]


def test_rule_8_requests_at_once_cannot_all_take_the_last_of_the_budget(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stock SuperNode beside the embedded node opens the same file: the check and the charge are one transaction."""
    AgentStore(tmp_path / "agent.db").close()
    event, budget = plan_of().event, PrivacyBudget(epsilon=5.5, delta=1e-5)
    assert accounting.epsilon([event], delta=1e-5) < 5.5 < accounting.epsilon([event, event], delta=1e-5)
    together = Barrier(4)

    def charge(request: str) -> bool:
        store = AgentStore(tmp_path / "agent.db")
        together.wait()
        try:
            limits = [Limit(what="the budget", budget=budget)]
            return (
                Ledger(store).charge(request, task="m", purpose="", cost=Cost(record=(event,)), limits=limits) is None
            )
        except BudgetExhausted:
            return False
        finally:
            store.close()

    def admit_slowly(*arguments: Any, act: Callable[..., float] = accounting.admit, **named: Any) -> float:
        sleep(0.05)
        return act(*arguments, **named)

    monkeypatch.setattr(accounting, "admit", admit_slowly)
    with ThreadPoolExecutor(4) as side_by_side:
        assert sum(side_by_side.map(charge, "abcd")) == 1


def test_rule_10_no_reply_and_no_refusal_tells_what_is_left(tmp_path: Path) -> None:
    device = Device(tmp_path, epsilon=0.01)
    reply = device.train(plan_of())
    assert messages.names(reply.content) == {"refusal"}
    assert reply.content.config_records["refusal"] == {"json": b'{"category":"budget"}'}


# -- rule 3: whatever the coordinator signs, a row touches only itself ---------------------------


def hostile_model(kind: str) -> bytes:
    """A graph that passes the check, and whose score of one row depends on the others; or that fails on one row."""
    load = helper.make_node("Gather", ["numbers", "first"], ["load"], axis=1)
    across = [
        helper.make_node("Mul", ["load", "much"], ["loud"]),
        helper.make_node("Softmax", ["loud"], ["share"], axis=0),
        helper.make_node("Mul", ["share", "many"], ["score"]),
    ]
    # Row 0 of the constant for a load below 1, an index beyond its end for a load of 1.
    failing = [
        helper.make_node("Cast", ["load"], ["place"], to=TensorProto.INT64),
        helper.make_node("Gather", ["one", "place"], ["score"], axis=0),
    ]
    nodes = [load, *(across if kind == "across rows" else failing)]
    nodes += [helper.make_node("Sub", ["unit", "score"], ["other"])]
    nodes += [helper.make_node("Concat", ["other", "score"], [SCORES], axis=1)]
    constants = {
        "first": np.array([0]), "much": np.array([1e3], np.float32), "many": np.array([30], np.float32),
        "unit": np.array([1], np.float32), "one": np.array([0.95], np.float32),
    }  # fmt: skip
    graph = helper.make_graph(
        nodes, "hostile",
        [helper.make_tensor_value_info("numbers", TensorProto.FLOAT, ["rows", 2]),
         helper.make_tensor_value_info("texts", TensorProto.STRING, ["rows", 1])],
        [helper.make_tensor_value_info(SCORES, TensorProto.FLOAT, ["rows", 2])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return model.SerializeToString()


@pytest.mark.parametrize("kind", ["across rows", "fails on one row"])
def test_rule_3_a_model_cannot_make_one_row_move_the_scores_of_others(
    works: Works, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Else a survey's histogram, charged for one row in one bin, would shout of a single row through all of them."""
    model = hostile_model(kind)
    check_model_file(model, what="the hostile model")
    monkeypatch.setattr(inference, "open_model", lambda _, **__: open_model(model))
    monkeypatch.setattr(drift, "add_noise", lambda counts, **_: tuple(map(float, counts)))
    frame = machine_rows(40).with_columns(load=pl.lit(0.25))
    scores: list[NDArray[np.float64]] = []
    for rows in (frame, pl.concat([frame, frame.head(1).with_columns(load=pl.lit(1.0))])):
        rows.write_parquet(tmp_path / "rows.parquet")
        report = drift.answer(replace(SURVEY, release=1), TASK, works.place, tmp_path / "rows.parquet")
        scores.append(np.array(report.histograms[0].counts))
    assert scores[0].sum() == 40
    assert np.abs(scores[1] - scores[0]).sum() == 1


# -- rules 14, 15 and the consent -------------------------------------------------------------


@pytest.mark.parametrize("bins", [-1, 0, 1, 101, 10**9])
@pytest.mark.parametrize("which", ["score_bins", "feature_bins"])
def test_rule_15_the_number_of_counts_is_never_for_the_rows_to_decide(device: Device, which: str, bins: int) -> None:
    """With no bins, `bincount` makes as many as the rows need: a window without rows would be told apart for sure."""
    document = wire.encode(SURVEY) | {which: bins}
    with pytest.raises(WireError, match="between 2 and 100"):
        wire.decode(SurveyPlan, document)
    content = messages.pack("survey", SURVEY)
    content.config_records["survey"]["json"] = json.dumps(document).encode()
    assert refusal(device.ask(content, "query.drift")) == "malformed"
    assert device.charges() == 0


def test_rule_15_no_text_of_an_error_leaves(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> Any:
        raise RuntimeError("/home/ada/rows.parquet holds 17 rows")

    monkeypatch.setattr(policy, "check_round", fail)
    reply = device.train(plan_of())
    assert reply.content.config_records["refusal"] == {"json": b'{"category":"failed"}'}


def test_rule_15_every_category_that_may_travel_is_a_fixed_word(device: Device) -> None:
    said = [refusal(device.train(plan_of(steps=17))), refusal(device.train(plan_of(revision=2)))]
    set_paused(device.home, paused=True)
    said.append(refusal(device.train(plan_of())))
    device.home.task(TASK.name).signed.unlink()
    said.append(refusal(device.train(plan_of())))
    assert said == ["plan", "not-eligible", "consent", "not-eligible"]


def test_the_text_that_an_owner_agrees_to_cannot_rewrite_itself() -> None:
    """A task's words are the coordinator's: an escape sequence could paint another epsilon over the real one."""
    evil = "Safe\x1b[2J\rIt costs at most epsilon 0.01\u202e"
    task = small_task(title=evil, features=(*TASK.features, Number(name=evil, low=0.0, high=1.0, missing=0.5)))
    shown = explain(task, budget=PrivacyBudget(epsilon=1.0, delta=1e-5), data="rows.csv")
    assert all(letter.isprintable() or letter == "\n" for letter in shown)


def test_a_task_signed_anew_under_the_same_revision_needs_a_new_consent(device: Device) -> None:
    """The owner agreed to these columns and limits; whoever signs could sign others under the same number."""
    agreed = device.home.task(TASK.name).signed.read_bytes()
    other = small_task(privacy=replace(TASK.privacy, min_noise_multiplier=0.1, epsilon=1000.0))
    device.home.task(TASK.name).signed.write_bytes(wire.to_json(other))
    assert refusal(device.train(plan_of())) == "consent"
    assert device.charges() == 0
    device.home.task(TASK.name).signed.write_bytes(agreed)
    assert len(update_of(device.train(plan_of()))) == size(TASK)


# -- rule 18 ---------------------------------------------------------------------------------


def edit(home: AgentHome, line: str) -> None:
    """Change a line of the owner's policy, found by the word that it begins with."""
    text, word = home.settings_file.read_text(), line.partition(" ")[0]
    changed, found = re.subn(rf"^{word} = .*$", line, text, count=1, flags=re.MULTILINE)
    assert found, f"the policy has no {word}"
    home.settings_file.write_text(changed)


WEAKER = {
    "sample_rate": 0.51, "steps": 17, "noise_multiplier": 0.49, "max_grad_norm": 1.01, "normalizer": 0.5,
    "task": "other", "revision": 2,
}  # fmt: skip


@pytest.mark.parametrize("field", WEAKER)
def test_rule_18_a_plan_outside_the_signed_task_is_refused_and_costs_nothing(device: Device, field: str) -> None:
    plan = replace(plan_of(), **{field: WEAKER[field]})
    assert refusal(device.train(plan)) in {"plan", "not-eligible"}
    assert device.charges() == 0


@pytest.mark.parametrize(
    "floor",
    [
        "min_noise_multiplier = 1.1",
        "max_sample_rate = 0.2",
        "max_steps = 3",
        "max_grad_norm = 0.9",
        "min_normalizer = 17.0",
    ],
)
def test_rule_18_a_plan_below_the_owners_floor_is_refused(device: Device, floor: str) -> None:
    edit(device.home, floor)
    assert refusal(device.train(plan_of())) == "plan"
    assert device.charges() == 0


def test_rule_18_a_survey_below_the_owners_floor_is_refused(device: Device) -> None:
    edit(device.home, "min_noise_multiplier = 5.1")
    assert refusal(device.survey(SURVEY)) == "plan"
    for enough in ("score_noise_multiplier", "feature_noise_multiplier"):
        assert refusal(device.survey(replace(SURVEY, **{enough: 5.2}))) == "plan"
    edit(device.home, "min_noise_multiplier = 30.0")
    loud = replace(SURVEY, score_noise_multiplier=31.0, feature_noise_multiplier=31.0)
    assert refusal(device.survey(replace(loud, contract_noise_multiplier=29.0))) == "plan"
    assert device.charges() == 0


def test_rule_7_a_survey_is_charged_for_its_score_its_features_and_its_contract(device: Device) -> None:
    """Two mechanisms on the same rows add up; a survey of the score alone costs the one."""
    device.survey(SURVEY)
    device.survey(replace(SURVEY, features=False, score_noise_multiplier=9.0))
    device.survey(replace(SURVEY, features=False, contract_noise_multiplier=11.0))
    store = AgentStore(device.home.database)
    assert {(event.noise_multiplier, event.sample_rate, event.steps) for event in store.events()} == {
        (5.0, 1.0, 3), (9.0, 1.0, 1), (11.0, 1.0, 1),
    }  # fmt: skip
    store.close()


def test_rule_14_what_is_told_of_a_release_is_made_of_fixed_words(works: Works) -> None:
    """The self-test saw made-up records alone: this device's data file does not even exist."""
    assert not Path(works.home.settings().tasks[TASK.name].data).exists()
    for refused in (0, 2):
        found = UpdateReport(tasks=(TaskUpdate(task=TASK.name, release=1, refused=refused, reason="17 rows"),))
        report = upkeep.report_of(works.home, found)
        assert (report.release, re.sub(r"\d+", "N", report.detail.replace("int8", "fp32"))) == (
            1, "fpN, N us" + (", newer one refused" if refused else ""),
        )  # fmt: skip
    shutil.rmtree(works.place.releases)
    for refused, detail in ((0, ""), (1, "refused")):
        found = UpdateReport(tasks=(TaskUpdate(task=TASK.name, release=0, refused=refused, reason="17 rows"),))
        assert upkeep.report_of(works.home, found) == InstalledReport(release=0, detail=detail)


def test_rule_14_a_release_that_fell_back_because_of_rows_is_spoken_of_as_if_it_answered(works: Works) -> None:
    found = UpdateReport(tasks=(TaskUpdate(task=TASK.name, release=2),))
    works.publish(seed=2)
    assert works.check() == 2
    told = upkeep.report_of(works.home, found)
    assert installed.fall_back(works.place, 2, "answers were not finite") == 1
    assert upkeep.report_of(works.home, found) == told


def test_rule_14_an_owner_who_switched_health_off_tells_nothing(works: Works, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[object] = []
    monkeypatch.setattr(coordinator, "report_installed", lambda *arguments, **_: told.append(arguments))
    monkeypatch.setattr(upkeep, "identity", lambda _: (None, None))
    kept = upkeep.Upkeep(works.home, stopping=Event())
    kept._tell(InstalledReport(release=1))
    assert len(told) == 1
    kept._tell(InstalledReport(release=1))
    assert len(told) == 1, "what was told is not told again"
    works.home.settings_file.write_text("health = false\n" + works.home.settings_file.read_text())
    kept._tell(InstalledReport(release=2))
    assert len(told) == 1


def test_the_key_the_ledger_and_the_log_lie_in_a_directory_of_their_owner(tmp_path: Path) -> None:
    """Whatever the umask is, nobody else on the machine can look in."""
    home = AgentHome(tmp_path / "agent")
    home.path.mkdir(mode=0o755)
    before = os.umask(0)
    try:
        with enrol._staging(home):
            assert home.path.stat().st_mode & 0o777 == 0o700
    finally:
        os.umask(before)


@pytest.mark.parametrize(
    "field",
    [
        "score_noise_multiplier", "feature_noise_multiplier", "contract_noise_multiplier", "outcome_noise_multiplier",
        "task", "revision", "release",
    ],
)  # fmt: skip
def test_rule_18_a_survey_outside_the_signed_task_is_refused(device: Device, field: str) -> None:
    weaker = {"task": "other", "revision": 2, "release": 3}.get(field, 4.9)
    assert refusal(device.survey(replace(SURVEY, **{field: weaker}))) in {"plan", "not-eligible"}
    assert device.charges() == 0


def test_rule_18_the_stricter_of_the_owners_budget_and_the_tasks_ceiling_holds(device: Device) -> None:
    granted = device.home.settings()
    for epsilon, delta in ((1.0, 1e-3), (90.0, 1e-9)):
        settings = replace(granted, budget=PrivacyBudget(epsilon=epsilon, delta=delta))
        held = [limit.budget for limit in policy.limits(settings, TASK)]
        assert (min(budget.epsilon for budget in held), {budget.delta for budget in held}) == (
            min(epsilon, 50.0), {min(delta, 1e-5)},
        )  # fmt: skip


# -- rule 19 ---------------------------------------------------------------------------------


@pytest.fixture
def works(tmp_path: Path) -> Works:
    works = build_works(tmp_path)
    works.publish(seed=1)
    assert works.check() == 1
    return works


def test_rule_19_metadata_that_was_verified_now_lets_a_device_train(works: Works) -> None:
    policy.check_freshness(works.home, datetime.now(UTC))


@pytest.mark.parametrize("role", ["root", "targets", "snapshot", "timestamp"])
def test_rule_19_any_role_that_expires_stops_training(works: Works, role: str) -> None:
    """The timestamp's key is online: whoever holds it alone must not keep a fleet in training for ever."""
    ends = repository_module.LIFETIME[role]
    for other in repository_module.LIFETIME:
        file = works.home.metadata / f"{other}.json"
        document = json.loads(file.read_bytes())
        far = datetime.now(UTC) + (ends if other == role else timedelta(days=3650))
        document["signed"]["expires"] = f"{far:%Y-%m-%dT%H:%M:%SZ}"
        file.unlink()
        file.write_text(json.dumps(document))
    policy.check_freshness(works.home, datetime.now(UTC) + ends - timedelta(minutes=1))
    with pytest.raises(NotEligible, match=f"{role}.* expired"):
        policy.check_freshness(works.home, datetime.now(UTC) + ends + timedelta(minutes=1))


def test_rule_19_a_timestamp_alone_does_not_make_expired_targets_fresh(works: Works) -> None:
    """TUF keeps a verified timestamp before it finds that the targets have expired."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(repository_module.LIFETIME, "timestamp", timedelta(days=900))
        patch.setitem(repository_module.LIFETIME, "snapshot", timedelta(days=900))
        Repository(works.federation).renew_snapshot()
    assert works.check() is None
    with pytest.raises(NotEligible, match="targets"):
        policy.check_freshness(works.home, datetime.now(UTC) + timedelta(days=100))


def test_rule_19_a_clock_that_went_back_stops_training_too(works: Works) -> None:
    with pytest.raises(NotEligible, match="went back"):
        policy.check_freshness(works.home, datetime.now(UTC) - timedelta(days=2))
    policy.check_freshness(works.home, datetime.now(UTC) - timedelta(minutes=5))


@pytest.mark.parametrize("content", [None, b"", b"{", b"[]", b'{"signed": {}}', b'{"signed": {"expires": 7}}'])
def test_rule_19_without_whole_metadata_nothing_is_trained(works: Works, content: bytes | None) -> None:
    file = works.home.metadata / "targets.json"
    file.unlink()
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(NotEligible):
        policy.check_freshness(works.home, datetime.now(UTC))


def test_rule_19_expired_metadata_never_stops_a_prediction(works: Works) -> None:
    from client.inference import Predictor

    for role in ("root", "targets", "snapshot", "timestamp"):
        (works.home.metadata / f"{role}.json").unlink()
    assert Predictor(works.home).predict({"load": 0.5}).release == 1


def test_rule_19_each_release_draws_its_devices_anew() -> None:
    """Else the same unlucky tenth of a fleet would try everything first."""
    tenth = Release(number=1, task="machines", revision=1, version=1, trained_on=Window(), ceiling_bp=1000)
    first, second = (
        {f"device-{index}" for index in range(2000) if chosen(replace(tenth, number=number), None, f"device-{index}")}
        for number in (1, 2)
    )
    assert len(first & second) < len(first) / 2


def test_rule_21_leaving_keeps_what_was_spent_and_nothing_else(device: Device) -> None:
    """A device that left and comes back to the same directory does not get a fresh budget."""
    from client.enrol import leave

    device.train(plan_of())
    for folder in (device.home.key.parent, device.home.path / "tasks", device.home.staging):
        folder.mkdir(exist_ok=True)
    for name in ("agent.log", "agent.log.1", "update.lock"):
        (device.home.path / name).write_text("rows.parquet cannot be read")
    leave(device.home)
    assert device.charges() == 1
    assert {file.name for file in device.home.path.iterdir()} <= {"agent.db", "agent.db-wal", "agent.db-shm"}
