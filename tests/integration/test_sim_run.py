"""`covey-sim run` as a person types it: what it leaves, how it goes on, and what it refuses by name."""

import json
import signal
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import polars as pl
import pytest
from coordinator import until
from machines import machine_rows, small_task
from typer.testing import CliRunner

from server.planfile import read_plan
from server.records import CampaignRequest
from server.store import Store
from shared import wire
from shared.errors import InputError
from simulations.__main__ import cli

TESTED = datetime(2026, 1, 20)  # noqa: DTZ001 - rows are dated without a zone


def task_toml(path: Path) -> Path:
    """The small task as a file."""
    task = small_task()
    lines = [
        f"{name} = {json.dumps(value)}" for name, value in wire.encode(task).items() if isinstance(value, (str, int))
    ]
    for name, value in wire.encode(task).items():
        if name == "features":
            for feature in value:
                lines += ["[[features]]", *(f"{key} = {json.dumps(each)}" for key, each in feature.items())]
        elif isinstance(value, dict):
            lines += [
                f"[{name}]",
                *(f"{key} = {json.dumps(each)}" for key, each in value.items() if each not in (None, [])),
            ]
    path.write_text("\n".join(lines))
    return path


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ground")
    task_toml(folder / "task.toml")
    for seed, name in enumerate(("ada", "ben", "cyd")):
        machine_rows(200, seed=seed).write_parquet(folder / f"{name}.parquet")
    return folder


def words(ground: Path, *more: str) -> list[str]:
    data = [word for name in ("ada", "ben", "cyd") for word in ("--data", str(ground / f"{name}.parquet"))]
    return ["run", str(ground / "task.toml"), *data, "--rounds", "2", "--workers", "1", *more]


def run(*arguments: str) -> str:
    done = CliRunner().invoke(cli, list(arguments), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def test_a_rehearsal_leaves_tables_a_report_and_a_plan_that_starts_in_deployment(ground: Path, tmp_path: Path) -> None:
    out, plan = tmp_path / "out", tmp_path / "plan.toml"
    asked = words(ground, "--test", "2026-01-20..", "--window", "..2026-01-20", "--out", str(out), "--seeds", "2",
                  "--save-plan", str(plan))  # fmt: skip
    said = run(*asked)
    assert "rehearsed: AUC" in said
    assert {path.name for path in out.iterdir()} >= {
        "about.json", "plan.toml", "rounds.parquet", "devices.parquet", "groups.parquet", "report.html",
    }  # fmt: skip
    rounds, devices = pl.read_parquet(out / "rounds.parquet"), pl.read_parquet(out / "devices.parquet")
    assert rounds.select("seed", "round", "returned").rows() == [(0, 1, 3), (0, 2, 3), (1, 1, 3), (1, 2, 3)]
    assert rounds["auc"].min() > 0.5
    assert rounds["bytes_up"].min() > 3 * 4 * 12
    assert set(devices["rounds_paid"]) == {2}
    tested = sum((machine_rows(200, seed=seed)["at"] >= TESTED).sum() for seed in range(3))
    assert devices["test_rows"].sum() == 2 * tested > 0
    assert read_plan(plan) == read_plan(out / "plan.toml")
    store = Store(out / "seed-0.db")
    request = wire.from_json(CampaignRequest, store.runs()[0].request.encode())
    store.close()
    assert read_plan(plan).request(base_version=request.base_version) == request
    assert read_plan(plan).sha256 in (out / "about.json").read_text()
    before = (out / "seed-0.db").read_bytes()
    assert "rehearsed: AUC" in run(*asked), "the same words again find it done"
    assert (out / "seed-0.db").read_bytes() == before


def test_a_plan_file_is_rehearsed_as_it_stands(ground: Path, tmp_path: Path) -> None:
    plan = tmp_path / "plan.toml"
    run(*words(ground, "--out", str(tmp_path / "one"), "--save-plan", str(plan), "--set", "learning_rate=0.3"))
    found = json.loads(run(*words(ground, "--out", str(tmp_path / "two"), "--plan", str(plan), "--json")))
    assert found["about"]["plan_sha256"] == read_plan(plan).sha256
    assert [row["outcome"] for row in found["rounds"]] == ["committed"] * 2


def test_a_second_campaign_starts_from_what_the_first_ended_with(ground: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "one", tmp_path / "two"
    run(*words(ground, "--out", str(first)))
    run(*words(ground, "--out", str(second), "--from", str(first)))
    one, two = Store(first / "seed-0.db"), Store(second / "seed-0.db")
    assert two.weights(two.versions()[0].number) == one.weights(one.versions()[-1].number)
    one.close()
    two.close()


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--by", "moon"), "moon"),
        (("--behaviour", "wild"), "neither one of"),
        (("--set", "noise_multiplier=0.01"), "noise_multiplier must be at least"),
        (("--mode", "central"), r"no \[central\] table"),
        (("--quorum", "9"), "quorum"),
        (("--block", "2", "--set", "aggregation=median:0"), "block"),
        (("--engine", "agents", "--behaviour", "phones"), "engine fast"),
        (("--with", "nothing.py"), "nothing.py"),
    ],
)
def test_what_cannot_be_rehearsed_is_refused_by_name(
    ground: Path, tmp_path: Path, more: tuple[str, ...], said: str
) -> None:
    asked = words(ground, "--out", str(tmp_path / "out"), *more)
    if more[0] == "--by":
        asked = ["run", "tasks/flights.toml", "--out", str(tmp_path / "out"), *more]
    with pytest.raises(InputError, match=said):
        CliRunner().invoke(cli, asked, catch_exceptions=False)


def test_ctrl_c_leaves_a_report_of_what_there_is_and_the_same_words_go_on(ground: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    asked = [sys.executable, "-m", "simulations", *words(ground, "--out", str(out), "--test", "2026-01-20.."), "--rounds", "60",
             "--set", "noise_multiplier=5"]  # fmt: skip
    with subprocess.Popen(asked, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        log = out / "seed-0.traffic"
        until(lambda: log.exists() and log.read_bytes().count(b"\n") >= 3)
        process.send_signal(signal.SIGINT)
        said, complaints = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in complaints
    assert "interrupted; the same command goes on" in said
    assert "complete" in (out / "about.json").read_text()
    assert (out / "report.html").read_text().startswith("<!doctype html>")
    there = pl.read_parquet(out / "rounds.parquet").height
    assert 0 < there < 60
    done = subprocess.run(asked, capture_output=True, text=True, check=True)
    assert "rehearsed: AUC" in done.stdout
    assert pl.read_parquet(out / "rounds.parquet").height == 60


def test_rows_of_another_fleet_are_not_taken_for_these(ground: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(*words(ground, "--out", str(out)))
    other = [
        "run",
        str(ground / "task.toml"),
        "--by",
        "synthetic",
        "--devices",
        "4",
        "--rounds",
        "1",
        "--out",
        str(out),
    ]
    with pytest.raises(InputError, match="other rows"):
        CliRunner().invoke(cli, other, catch_exceptions=False)
    for path in [path for path in out.iterdir() if path.name != "rows"]:
        path.unlink()
    assert "0  round   1  committed  4 of 4" in run(*other), "only rows were left: they are made anew"


def test_a_folder_of_something_else_is_refused_before_anything_is_written(ground: Path, tmp_path: Path) -> None:
    (tmp_path / "diary.txt").write_text("mine")
    with pytest.raises(InputError, match="holds something else"):
        CliRunner().invoke(cli, words(ground, "--out", str(tmp_path)), catch_exceptions=False)
    assert [path.name for path in tmp_path.iterdir()] == ["diary.txt"]


def test_a_strategy_is_set_by_its_name(ground: Path, tmp_path: Path) -> None:
    assert "rehearsed" in run(*words(ground, "--out", str(tmp_path / "out"), "--set", "strategy=momentum"))
    with pytest.raises(InputError, match="strategy"):
        CliRunner().invoke(
            cli, words(ground, "--out", str(tmp_path / "no"), "--set", "strategy=luck"), catch_exceptions=False
        )
