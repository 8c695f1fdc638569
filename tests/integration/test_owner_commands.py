"""Every command that an owner may give an agent that is not running: what it prints, and that a mistake is one line."""

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from machines import machine_rows, small_task
from releasing import Works, build_works
from typer.testing import CliRunner, Result

from client.cli.program import app
from client.examples import gather
from client.inference import Predictor
from client.policy import fingerprint
from client.recorder import Recorder
from client.store import AgentStore
from shared.contract import Contract, NumberRule
from shared.errors import CoveyError
from shared.rounds import RoundPlan
from shared.tasks import Window

TASK = small_task(contract=Contract(columns=(NumberRule(name="load", low=0.0, high=1.0),)))
RECORD = '{"load": 0.9, "hour": 3.0, "site": "north"}'


@pytest.fixture
def works(tmp_path: Path) -> Works:
    made = build_works(tmp_path, task=TASK)
    rows = tmp_path / "rows.parquet"
    machine_rows(400).write_parquet(rows)
    made.home.settings_file.write_text(made.home.settings_file.read_text().replace("rows.parquet", str(rows)))
    made.publish(seed=1)
    assert made.check() == 1
    return made


def run(works: Works, *words: str, fails: bool = False) -> Result:
    result = CliRunner().invoke(app, [*words, "--home", str(works.home.path)])
    assert (result.exit_code != 0) == fails, (words, result.output, result.exception)
    assert result.exception is None or isinstance(result.exception, (CoveyError, SystemExit)), result.exception
    return result


def shown(works: Works, *words: str) -> Any:
    return json.loads(run(works, *words, "--json").output)


def test_a_prediction_is_explained(works: Works) -> None:
    said = run(works, "predict", "--record", RECORD, "--explain").output
    assert said.startswith(("runs", "stops"))
    assert {line.split()[-1] for line in said.splitlines()[1:]} == {"load", "hour", "site"}


def test_a_record_that_breaks_the_contract_is_refused_by_its_field(works: Works) -> None:
    refused = run(works, "predict", "--record", '{"load": 9.0}', fails=True)
    assert "load" in str(refused.exception)


def test_what_is_predicted_by_command_can_be_told_its_outcome(works: Works) -> None:
    said = run(works, "predict", "--record", RECORD).output
    name = said.rpartition("id ")[2].rstrip().rstrip(")")
    assert "joined" in run(works, "outcome", name, "stops").output


def test_outcomes_come_later_and_tell_how_well_predictions_did(works: Works, tmp_path: Path) -> None:
    recorder = Recorder(works.place)
    predictor = Predictor(works.home, recorder=recorder)
    ids = [predictor.predict(json.loads(RECORD)).id for _ in range(4)]
    recorder.close()
    assert "joined" in run(works, "outcome", ids[0], "stops").output
    assert "waits for its prediction" in run(works, "outcome", "nobody", "stops").output
    many = tmp_path / "many.csv"
    many.write_text(f"id,label\n{ids[1]},runs\n{ids[2]},flies\n")
    said = run(works, "outcomes", str(many)).output
    assert said.startswith("1 joined, 0 waiting for their predictions, 1 bad")
    assert [day["rows"] for day in shown(works, "quality")["days"]] == [2]
    assert "log loss" in run(works, "quality").output
    run(works, "outcome", ids[3], "flies", fails=True)


def test_the_rows_that_taught_are_on_record(works: Works, tmp_path: Path) -> None:
    plan = RoundPlan(
        run_id=3, number=1, task=TASK.name, revision=1, base_version=4, window=Window(), sample_rate=0.5, steps=1,
        normalizer=8.0, learning_rate=0.1, max_grad_norm=1.0, noise_multiplier=1.0, max_update_norm=1.0,
    )  # fmt: skip
    gather(works.place, TASK, plan, works.home.settings(), request="r1")
    more = tmp_path / "more.csv"
    machine_rows(5, seed=9).write_csv(more)
    assert run(works, "data", "merge", str(more)).output.startswith("5 rows appended")
    gather(works.place, TASK, plan, works.home.settings(), request="r2")
    recorder = Recorder(works.place)
    name = Predictor(works.home, recorder=recorder).predict(json.loads(RECORD)).id
    recorder.close()
    run(works, "outcome", name, "stops")
    gather(works.place, TASK, plan, works.home.settings(), request="r3")
    assert [(one["run"], one["version"]) for one in shown(works, "data", "log")] == [(3, 4)] * 3
    assert "fingerprint" in run(works, "data", "log").output
    assert run(works, "data", "diff", "1", "2").output.startswith("5 rows added, 0 removed")
    said = run(works, "data", "diff", "2", "3").output
    assert said.startswith("1 rows added, 0 removed")
    assert "new: @outcomes" in said
    assert "no snapshot 9" in str(run(works, "data", "diff", "1", "9", fails=True).exception)
    assert "405  keeps the contract" in run(works, "data", "check").output
    assert "405 rows" in run(works, "data", "useful").output or "held-out loss" in run(works, "data", "useful").output


def test_what_was_agreed_to_is_listed_and_ends(works: Works) -> None:
    store = AgentStore(works.home.database)
    store.agree(TASK.name, fingerprint(TASK), words="It learns when machines stop.")
    store.close()
    assert "It learns when machines stop." in run(works, "consent").output
    assert "withdrawn" in run(works, "consent", "--withdraw", TASK.name).output
    assert shown(works, "consent")[0]["withdrawn_at"] is not None
    run(works, "consent", "--withdraw", TASK.name, fails=True)
    store = AgentStore(works.home.database)
    store.agree(TASK.name, fingerprint(TASK), words="It learns when machines stop.")
    store.close()
    assert [one["withdrawn_at"] is None for one in shown(works, "consent")] == [False, True]


def test_the_audit_log_tells_of_a_line_that_was_changed(works: Works) -> None:
    from client.audit import note

    note(works.home, "enrolment", purpose="asked to join", content=b"hello")
    note(works.home, "health report", purpose="release 1", content=b"1")
    assert [line["size"] for line in shown(works, "audit")["lines"]] == [5, 1]
    with sqlite3.connect(works.home.database) as db:
        db.execute("UPDATE audit SET size = 1 WHERE kind = 'enrolment'")
    db.close()
    assert "line 1 does not fit" in run(works, "audit", fails=True).stderr


def test_all_that_is_held_is_copied_and_then_erased(works: Works, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    assert str(copy) in run(works, "export", str(copy)).output
    assert (copy / "README.md").exists()
    run(works, "export", str(copy), fails=True)
    said = run(works, "erase", "--yes").output
    assert "do not unlearn" in said
    assert {file.name for file in works.home.path.iterdir()} <= {"agent.db", "agent.db-wal", "agent.db-shm"}
    assert (tmp_path / "rows.parquet").exists()
    run(works, "status", fails=True)


def test_status_says_how_each_task_stands(works: Works) -> None:
    said = run(works, "status").output
    assert "release 1 answers" in said
    assert "waits for `covey-agent agree`" in said
    assert "no charge is countersigned" in said
    (task,) = shown(works, "status")["tasks"]
    assert (task["name"], task["release"], task["answers"], task["agreed"]) == ("machines", 1, 1, False)
    assert "was not put aside" in str(run(works, "retry", "1", fails=True).exception)


def test_a_loss_is_accepted_only_where_there_is_one(works: Works) -> None:
    result = CliRunner().invoke(app, ["ledger", "--accept-loss", "--home", str(works.home.path)], input="y\n")
    assert "no loss to accept" in str(result.exception)
