"""What an audit of the agent found: ways in which one row moved others, or told what no charge had paid for."""

import contextlib
import logging
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from asking import make_home
from machines import machine_rows, small_task

from client import recorder as recording
from client.config import AgentHome, TaskHome
from client.dataset import count_rules, read_columns, read_examples
from client.housekeeping import open_log
from client.inference import Predictor
from client.light import noise_only
from client.recorder import Recorder
from client.units import render
from client.work import InProcess
from client.worker import Worker
from shared import wire
from shared.architecture import initial_weights, size
from shared.contract import Contract, NumberRule
from shared.errors import ContractError
from shared.features import Number
from shared.noise import CipherStream
from shared.privacy import PrivacyBudget
from shared.rounds import RoundPlan
from shared.tasks import Task, Window
from simulations.cohort import found_agent

TASK = small_task()
T = TASK.training
PLAN = RoundPlan(
    run_id=1, number=1, task=TASK.name, revision=1, base_version=1, window=Window(), sample_rate=T.sample_rate,
    steps=T.steps, normalizer=T.normalizer, learning_rate=T.learning_rate, max_grad_norm=T.max_grad_norm,
    noise_multiplier=T.noise_multiplier, max_update_norm=1e6,
)  # fmt: skip
JANUARY = Window(start="2026-01-01", end="2026-02-01")


@pytest.fixture
def home(tmp_path: Path) -> AgentHome:
    home, data = AgentHome(tmp_path / "agent"), tmp_path / "rows.parquet"
    machine_rows(300).write_parquet(data)
    found_agent(home, TASK, name="ada", data=data, budget=PrivacyBudget(epsilon=9.0, delta=1e-5))
    return home


def rows_with(file: Path, frame: pl.DataFrame, *, window: Window = JANUARY) -> int:
    frame.write_parquet(file)
    return len(read_columns(file, TASK, window)[1])


def test_rule_3_a_row_without_a_date_does_not_hang_on_the_others_of_its_batch(tmp_path: Path) -> None:
    """`Series.all` passes over null: undated rows counted wherever each other row of the batch lay in the window."""
    frame = machine_rows(10).with_columns(pl.Series("at", [date(2026, 1, 5)] * 7 + [None] * 3))
    outside = frame.head(1).with_columns(pl.lit(date(2027, 1, 1)).alias("at"))
    assert rows_with(tmp_path / "rows.parquet", frame) == 7
    assert rows_with(tmp_path / "rows.parquet", pl.concat([frame, outside])) == 7


@pytest.mark.parametrize(
    ("kind", "absurd"),
    [(pl.Date, 2**31 - 1), (pl.Date, -(2**31)), (pl.Datetime("ms"), 2**62), (pl.Datetime("us"), -(2**63) + 1)],
)
def test_rule_3_a_date_that_no_calendar_shows_spoils_its_own_row_only(
    tmp_path: Path, kind: pl.DataType, absurd: int
) -> None:
    """Polars panics on it, which no `except Exception` hears, and the device answered with noise alone."""
    task = replace(TASK, contract=Contract(unique=("at",)))
    frame = machine_rows(10).with_columns(pl.Series("at", [date(2026, 1, 5)] * 10).cast(kind))
    spoilt = frame.head(1).with_columns(pl.lit(absurd).cast(frame["at"].to_physical().dtype).cast(kind).alias("at"))
    assert rows_with(tmp_path / "rows.parquet", frame) == 10
    assert rows_with(tmp_path / "rows.parquet", pl.concat([frame, spoilt])) == 10
    assert count_rules(tmp_path / "rows.parquet", task, JANUARY).tolist() == [9, 1]


def test_rule_3_bytes_are_refused_by_their_type_and_not_by_one_row_that_is_no_utf_8(tmp_path: Path) -> None:
    frame = machine_rows(10).with_columns(pl.col("site").cast(pl.Binary))
    for more in (frame.head(0), frame.head(1).with_columns(pl.lit(b"\xff").alias("site"))):
        with pytest.raises(ContractError, match="holds bytes"):
            rows_with(tmp_path / "rows.parquet", pl.concat([frame, more]))


@pytest.mark.parametrize("name", ["row", "file", "reasons"])
def test_rule_3_a_column_that_is_called_as_one_of_the_quarantines_stops_no_training(tmp_path: Path, name: str) -> None:
    rule, feature = NumberRule(name=name, low=0.0, high=1.0), Number(name=name, low=0.0, high=1.0, missing=0.5)
    task = small_task(features=(feature,), contract=Contract(columns=(rule,)))
    frame = machine_rows(10).rename({"load": name})
    pl.concat([frame, frame.head(1).with_columns(pl.lit(5.0).alias(name))]).write_parquet(tmp_path / "rows.parquet")
    assert len(read_examples(tmp_path / "rows.parquet", task, Window()).labels) == 10


def test_rule_3_a_quote_in_one_row_does_not_decide_what_counts_as_a_blank_line(tmp_path: Path) -> None:
    task, file = replace(TASK, contract=Contract(columns=(NumberRule(name="load"),))), tmp_path / "rows.csv"
    rows = b"load,hour,site,stops,at\n" + b"\r\r\n" * 5 + b"0.5,1,north,1,2026-01-05\n"
    file.write_bytes(rows)
    before = count_rules(file, task, Window())
    file.write_bytes(rows + b'0.5,1,"north",1,2026-01-05\n')
    assert np.abs(count_rules(file, task, Window()) - before).sum() == 1


def test_rule_4_noise_alone_is_the_same_to_the_bit_as_what_opacus_gives_without_rows() -> None:
    """As a difference of weights the update had their rounding, which told a trained one from a device's fall-back."""
    from client.inputs import no_examples
    from client.training import train

    key, weights = bytes(range(32)), initial_weights(TASK) + np.float32(3.0)
    trained = train(PLAN, TASK, weights, no_examples(TASK), CipherStream(key))
    assert trained.tobytes() == noise_only(PLAN, TASK, CipherStream(key)).tobytes()


def test_rule_3_no_row_of_a_large_question_pushes_another_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "CAPACITY", 20)
    place = make_home(tmp_path / "h").task("machines")
    with Recorder(place, every=3600.0) as recorder:
        Predictor(place, recorder=recorder).predict_rows({"load": np.linspace(0, 1, 50)})
        assert recorder.dropped == 0
    with contextlib.closing(open_log(place)) as log:
        assert len(log.recent(100)) == 50


def test_the_recorder_keeps_the_share_that_the_owner_set(tmp_path: Path) -> None:
    home = make_home(tmp_path / "h")
    text = home.settings_file.read_text(encoding="utf-8")
    home.settings_file.write_text(f"{text}\n[keep]\nshare = 0.1\n", encoding="utf-8")
    with Recorder(home.task("machines"), every=3600.0) as recorder:
        Predictor(home, recorder=recorder).predict_rows({"load": np.linspace(0, 1, 200)})
    with contextlib.closing(open_log(home.task("machines"))) as log:
        assert len(log.recent(1000)) < 100


@pytest.fixture
def broken_worker(home: AgentHome) -> Iterator[Worker]:
    def fail(_place: TaskHome, _why: str) -> None:
        raise OSError("no room to note it")

    with contextlib.closing(Worker(home, on_stopped=fail)) as worker:
        yield worker


def test_rule_4_a_child_that_died_is_no_refusal_even_where_that_cannot_be_noted(
    home: AgentHome, broken_worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("client.worker.sys.executable", "/bin/false")
    update = broken_worker.train(PLAN, TASK, home.task(TASK.name), initial_weights(TASK), request="r")
    assert update.shape == (size(TASK),)


def test_the_child_that_trains_runs_our_code_whatever_lies_where_the_agent_was_started(
    home: AgentHome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "psutil.py").write_text(f"open({str(tmp_path / 'mark')!r}, 'w')\nraise SystemExit\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    with contextlib.closing(Worker(home)) as worker:
        worker.train(PLAN, TASK, home.task(TASK.name), initial_weights(TASK), request="r")
    assert not (tmp_path / "mark").exists()


def test_rule_4_a_panic_in_polars_is_answered_with_noise_alone(
    home: AgentHome, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def panic(*_: object) -> None:
        raise pl.exceptions.PanicException("out-of-range date")

    monkeypatch.setattr("client.examples.gather", panic)
    with caplog.at_level(logging.ERROR):
        update = InProcess().train(PLAN, TASK, home.task(TASK.name), initial_weights(TASK), request="r")
    assert update.shape == (size(TASK),)


def test_a_child_that_the_kernel_kills_for_its_memory_does_not_take_the_agent_down(home: AgentHome) -> None:
    assert "OOMPolicy=continue" in render("systemd", home)


def test_a_task_signed_between_charge_and_work_is_not_trained_without_consent(
    home: AgentHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, seen = home.task(TASK.name), list[int]()

    def gather(_place: TaskHome, task: Task, *_: object, **__: object) -> None:
        seen.append(task.revision)

    monkeypatch.setattr("client.examples.gather", gather)
    place.signed.write_bytes(wire.to_json(replace(TASK, revision=2)))
    InProcess().train(PLAN, TASK, place, initial_weights(TASK), request="r")
    assert seen == [1]
