"""`covey-sim sweep` from the command line: a small grid over a fleet whose rows are made as they are asked for."""

import json
from pathlib import Path

import polars as pl
import pytest
import typer
from pages import plots, stands_alone
from typer.testing import CliRunner

from server.planfile import read_plan
from simulations.report.tables import read_about
from simulations.sweep import __main__ as command

TASK = Path(__file__).parents[2] / "tasks" / "flights.toml"


@pytest.fixture
def cli() -> typer.Typer:
    app = typer.Typer()
    app.command()(command.sweep)
    return app


def asked(out: Path, *more: str) -> list[str]:
    return [
        str(TASK), "--by", "synthetic", "--devices", "30", "--noise", "1.6,3.2", "--cohort", "10,30", "--rounds", "2",
        "--seeds", "1", "--workers", "1", "--out", str(out), *more,
    ]  # fmt: skip


def test_a_grid_is_rehearsed_kept_and_not_rehearsed_again(
    tmp_path: Path, cli: typer.Typer, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "sweep"
    first = CliRunner().invoke(cli, asked(out), catch_exceptions=False)
    assert first.exit_code == 0
    table = pl.read_parquet(out / "sweep.parquet")
    assert len(table) == 4
    for row in table.to_dicts():
        about, plan = read_about(out / row["folder"]), read_plan(out / row["folder"] / "plan.toml")
        assert about.complete
        assert plan.sha256 == about.plan_sha256 == row["plan_sha256"]
        assert (plan.training.noise_multiplier, plan.cohort) == (row["noise"], row["cohort"])
        assert (out / row["folder"] / "report.html").exists()
    dear = dict(table.group_by("noise").agg(pl.col("epsilon").max()).iter_rows())
    assert dear[1.6] > dear[3.2] > 0
    text = (out / "sweep.html").read_text(encoding="utf-8")
    assert stands_alone(text)
    assert len(plots(text)) == 1
    assert table["on_front"].sum() == text.count("covey start --plan") - 1, "a command a plan, and the footer's"

    def never(*_: object, **__: object) -> None:
        raise AssertionError

    monkeypatch.setattr(command, "rehearse", never)
    again = CliRunner().invoke(cli, asked(out, "--json"), catch_exceptions=False)
    assert json.loads(again.stdout) == table.to_dicts()


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [("--cohort", "31", "there are 30"), ("--noise", "0.0001", "out of bounds"), ("--clip", "x", "--clip takes")],
)
def test_a_grid_with_a_plan_that_cannot_be_is_refused_before_anything_runs(
    tmp_path: Path, cli: typer.Typer, option: str, value: str, said: str
) -> None:
    found = CliRunner().invoke(cli, asked(tmp_path / "sweep", option, value))
    assert said in str(found.exception)
    assert not (tmp_path / "sweep" / "sweep.json").exists()
