"""A year of campaigns and counts: no row pays more than its budget if rows retire, and all time does not if none does."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from typer import Typer
from typer.testing import CliRunner

from client import exposure
from client.settings import Period
from shared import accounting
from simulations import year
from simulations.year import COUNT, Lines, arithmetic, replay, row_epsilon, settings_of

BUDGET = 8.0
PERIOD = Period(days=28.0, epsilon=4.5)


@pytest.fixture(scope="module")
def renewing() -> tuple[year.Month, ...]:
    return replay(settings_of(epsilon=BUDGET, row_lifetime_days=90.0, period=PERIOD))


@pytest.fixture(scope="module")
def for_ever() -> tuple[year.Month, ...]:
    return replay(settings_of(epsilon=BUDGET, row_lifetime_days=None, period=PERIOD))


def test_a_budget_for_rows_that_retire_lasts_a_year_and_no_row_pays_more(renewing: tuple[year.Month, ...]) -> None:
    assert [month.number for month in renewing] == list(range(1, 13))
    assert all(month.refused == 0 for month in renewing)
    assert max(month.row for month in renewing) <= BUDGET
    assert renewing[-1].lifetime > 2 * BUDGET, "the sum over all time is shown, and bounds nothing"


def test_where_no_row_retires_all_time_is_the_bound(for_ever: tuple[year.Month, ...]) -> None:
    assert all(month.row == month.lifetime <= BUDGET for month in for_ever)
    assert sum(month.refused for month in for_ever) > 300
    assert for_ever[-1].charged == 0


@pytest.mark.parametrize("days", [28.0, 45.0, 365.0])
def test_a_tight_budget_is_refused_before_any_row_pays_more(days: float) -> None:
    months = replay(settings_of(epsilon=4.2, row_lifetime_days=days, period=None))
    assert max(month.row for month in months) <= 4.2
    assert (sum(month.refused for month in months) > 0) == (days > 28)


def test_no_period_costs_more_than_it_may(renewing: tuple[year.Month, ...], for_ever: tuple[year.Month, ...]) -> None:
    assert 3.8 < max(month.period for month in (*renewing, *for_ever)) <= PERIOD.epsilon
    tight = replay(settings_of(epsilon=BUDGET, row_lifetime_days=90.0, period=Period(days=31.5, epsilon=4.0)))
    assert max(month.period for month in tight) <= 4.0
    assert sum(month.refused for month in tight) > 0


def test_a_ledger_that_forgot_a_row_too_early_would_show(monkeypatch: pytest.MonkeyPatch) -> None:
    forgetful = exposure._PAID.replace(":start", ":start + 30 * 86400")
    monkeypatch.setattr(exposure, "_PAID", forgetful)
    months = replay(settings_of(epsilon=6.0, row_lifetime_days=90.0, period=None))
    assert max(month.row for month in months) > 6.0


def test_the_row_that_paid_most_is_found_between_charges() -> None:
    one = accounting.renyi([COUNT])
    lines = Lines(
        at=np.array([10.0, 20.0, 30.0]), begins=np.array([0.0, 10.0, 20.0]), ends=np.array([10.0, 20.0, 30.0]),
        divergence=np.array([one, one, one]),
    )  # fmt: skip
    assert row_epsilon(lines) == accounting.epsilon([COUNT], delta=1e-5)
    wider = Lines(at=lines.at, begins=lines.begins - 5.0, ends=lines.ends, divergence=lines.divergence)
    assert row_epsilon(wider) == accounting.epsilon([COUNT] * 2, delta=1e-5)


def test_what_privacy_md_plans_with_is_what_dp_accounting_says() -> None:
    found = {row["name"]: row for row in arithmetic() if "target" in row}
    assert [(row["target"], row["meets"]) for row in found.values()] == [
        (3.48, True), (5.07, True), (14.5, True), (1.8, True),
    ]  # fmt: skip


def test_without_dp_accounting_the_exact_figures_are_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(year.whole, "installed", lambda: False)
    told = [row for row in arithmetic() if "target" in row]
    assert {(row["value"], row["meets"]) for row in told} == {(None, None)}


def test_the_command_prints_both_years_and_keeps_the_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(year, "MONTHS", 2)
    monkeypatch.setattr(year, "ARITHMETIC", year.ARITHMETIC[:1])
    app, report = Typer(), tmp_path / "reports" / "year.json"
    app.command()(year.year)
    said = CliRunner().invoke(app, ["--report", str(report)]).output
    assert "rows retire after 90 days" in said
    assert "no row retires" in said
    rows = {row["name"]: row for row in json.loads(report.read_text())}
    assert rows["year.for ever.the sum over all time"]["target"] == 8.0
    assert rows["year.renewing.the row that paid most"]["meets"]
    assert {f"year.renewing.month 02.{what}" for what in ("charged", "refused", "period", "row", "lifetime")} <= set(
        rows
    )
    assert json.loads(CliRunner().invoke(app, ["--report", str(report), "--json"]).output) == list(rows.values())


@pytest.mark.parametrize(
    "words",
    [("--epsilon", "-1"), ("--row-lifetime-days", "0"), ("--period-days", "0"), ("--period-epsilon", "-1")],
)
def test_what_is_no_policy_is_refused_in_one_line(words: tuple[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "simulations.year", *words], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert "no policy of an owner" in done.stderr
    assert "foresaw" not in done.stderr
