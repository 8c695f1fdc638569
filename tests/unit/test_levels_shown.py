"""What the owner reads of the ledger: each line's event, whom it protects and against whom, and the sum at each level."""

import json
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sequencing import Device
from typer.testing import CliRunner

from client import gdpr
from client.cli.program import app
from client.ledger import Ledger
from client.levels import lines, totals
from client.lifetimes import DAY
from client.meters import read_meters, rounds_left
from client.policy import Limit, limits
from client.policyfile import render
from client.settings import AgentSettings, Period
from client.store import AgentStore
from shared import accounting
from shared.privacy import ADJACENCY, TRUST, Cost, PrivacyBudget, SampledGaussian
from shared.tasks import Task

DELTA, NOW = 1e-5, 1_767_225_600.0
ROUND = SampledGaussian(noise_multiplier=1.2, sample_rate=1 / 32, steps=16)
SUM, WHOLE, OWN = (SampledGaussian(noise_multiplier=n, sample_rate=1.0, steps=1) for n in (6.0, 3.0, 2.0))
LOCAL = Cost(record=(ROUND,))
SUMMED = Cost(record=(SUM,), device=(WHOLE,), alone=(OWN,), trust="sums")
CENTRAL = Cost(record=(SUM,), device=(WHOLE,), trust="coordinator")


@pytest.fixture
def device(tmp_path: Path) -> Device:
    return Device(tmp_path)


def charge(device: Device, *costs: Cost, at: float = NOW, bounds: tuple[Limit, ...] | None = None) -> None:
    generous = (Limit(what="all", budget=PrivacyBudget(epsilon=50.0, delta=DELTA)),)
    with closing(AgentStore(device.home.database)) as store:
        ledger = Ledger(store, clock=lambda: at)
        for number, cost in enumerate(costs):
            request = f"{at} {number} {cost.trust}"
            ledger.charge(
                request,
                task="machines",
                purpose=f"round {number}",
                cost=cost,
                limits=generous if bounds is None else bounds,
            )


def said(device: Device, *words: str) -> str:
    result = CliRunner().invoke(app, [*words, "--home", str(device.home.path)])
    assert result.exit_code == 0, result.output
    return result.output


def shown(device: Device, *words: str) -> Any:
    return json.loads(said(device, *words, "--json"))


def settled(device: Device, **changes: Any) -> tuple[AgentSettings, Task]:
    settings = replace(device.home.settings(), **changes)
    device.home.settings_file.write_text(render(settings))
    return settings, device.home.task("machines").signed_task()


def test_the_ledger_names_each_event_its_adjacency_and_its_trust(device: Device) -> None:
    charge(device, LOCAL, SUMMED)
    local, summed = shown(device, "ledger")["lines"]
    assert local["events"] == [
        {
            "level": "record", "noise_multiplier": 1.2, "sample_rate": 1 / 32, "steps": 16,
            "adjacency": ADJACENCY["record"], "trust": TRUST["everyone"],
        }
    ]  # fmt: skip
    assert [(one["level"], one["noise_multiplier"], one["trust"]) for one in summed["events"]] == [
        ("record", 6.0, TRUST["sums"]), ("device", 3.0, TRUST["sums"]), ("alone", 2.0, TRUST["everyone"]),
    ]  # fmt: skip
    words = said(device, "ledger")
    assert "machines: round 0" in words
    assert f"sigma 1.2, rate 0.03125, 16 steps: {ADJACENCY['record']}, {TRUST['everyone']}" in words
    assert f"sigma 3, rate 1, 1 step: {ADJACENCY['device']}, {TRUST['sums']}" in words


@pytest.mark.parametrize(
    ("costs", "record", "device_level", "alone"),
    [
        ((SUMMED,), (SUM,), (WHOLE,), (OWN,)),
        ((LOCAL,), (ROUND,), "none: a release protects single rows only", (ROUND,)),
        ((SUMMED, LOCAL), (SUM, ROUND), "none: a release protects single rows only", (OWN, ROUND)),
        ((CENTRAL, SUMMED), (SUM, SUM), (WHOLE, WHOLE), "infinite: the coordinator added the noise of a release"),
    ],
)
def test_the_sum_at_each_level_has_its_words(
    device: Device, costs: tuple[Cost, ...], record: Any, device_level: Any, alone: Any
) -> None:
    charge(device, *costs)
    levels = {one["level"]: one for one in shown(device, "ledger")["levels"]}
    assert levels == {one["level"]: one for one in shown(device, "status")["levels"]}
    for level, expected in (("record", record), ("device", device_level), ("alone", alone)):
        found = levels[level]
        if isinstance(expected, str):
            assert (found["epsilon"], found["words"]) == (None, expected)
            figure, _, why = expected.partition(": ")
        else:
            assert found["epsilon"] == pytest.approx(accounting.epsilon(expected, delta=DELTA), rel=1e-12)
            assert found["words"] == f"{ADJACENCY[level]}, {found['trust']}"  # type: ignore[index]
            figure, why = f"{found['epsilon']:.3f}", found["words"]
        for command in ("ledger", "status"):
            assert any(figure in line and why in line for line in said(device, command).splitlines())


def test_the_sums_trust_is_that_of_the_charge_that_trusts_most(device: Device) -> None:
    charge(device, CENTRAL, LOCAL)
    with closing(AgentStore(device.home.database)) as store:
        assert totals(store, delta=DELTA)[0].trust == TRUST["coordinator"]


def test_a_round_that_was_paid_before_has_no_line(device: Device) -> None:
    charge(device, replace(LOCAL, record=()))
    with closing(AgentStore(device.home.database)) as store:
        assert lines(store) == {}
    (line,) = shown(device, "ledger")["lines"]
    assert (line["events"], line["rows"]) == ([], "any row")


def test_an_empty_ledger_claims_nothing(device: Device) -> None:
    assert [one["epsilon"] for one in shown(device, "ledger")["levels"]] == [0.0, 0.0, 0.0]
    assert "for the device" not in said(device, "status")


def test_the_copy_for_the_owner_holds_every_level_and_which_rows(device: Device, tmp_path: Path) -> None:
    settings, task = settled(device, row_lifetime_days=10.0)
    charge(device, SUMMED, bounds=limits(settings, task))
    gdpr.export(device.home, tmp_path / "mine")
    (line,) = json.loads((tmp_path / "mine" / "ledger.json").read_text())
    assert [event["level"] for event in line["events"]] == ["record", "device", "alone"]
    assert (line["dated"], line["rows_from"], line["rows_until"]) == (
        "at", "2025-12-22T00:00:00+00:00", "2026-01-01T00:00:00+00:00",
    )  # fmt: skip


def test_status_and_ledger_say_how_a_budget_renews(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    settings, task = settled(device, row_lifetime_days=10.0)
    charge(device, LOCAL, at=NOW - 12 * DAY, bounds=limits(settings, task))
    charge(device, LOCAL, at=NOW - 4 * DAY, bounds=limits(settings, task))
    monkeypatch.setattr("client.report.time.time", lambda: NOW)
    status = shown(device, "status")
    one, both = (accounting.epsilon([ROUND] * n, delta=DELTA) for n in (1, 2))
    assert (status["epsilon_counted"], status["epsilon_spent"]) == (pytest.approx(one), pytest.approx(both))
    assert status["tasks"][0]["epsilon_counted"] == pytest.approx(one)
    assert status["renews"] == "2026-01-07T00:00:00+00:00"
    assert "retire 10 days after their timestamp" in said(device, "status")
    assert f"epsilon {one:.3f} of 50 spent" in said(device, "status")
    assert "rows with at from 2025-12-18T00:00:00+00:00 until 2025-12-28" in said(device, "ledger")


def test_without_a_lifetime_status_says_nothing_of_it(device: Device) -> None:
    charge(device, LOCAL)
    status = shown(device, "status")
    assert status["epsilon_counted"] == status["epsilon_spent"] > 0
    assert (status["row_lifetime_days"], status["renews"]) == (None, None)
    assert "retire" not in said(device, "status")


def test_meters_say_what_renews_when(device: Device) -> None:
    settings, task = settled(device, row_lifetime_days=10.0, period=Period(days=7.0, epsilon=20.0))
    charge(device, LOCAL, at=NOW - 5 * DAY, bounds=limits(settings, task))
    with closing(AgentStore(device.home.database)) as store:
        whole, period, share = read_meters(store, settings, [task], NOW)
        assert (whole.row_days, whole.days, whole.renews) == (10.0, None, NOW + 5 * DAY)
        assert (period.row_days, period.days, period.renews) == (None, 7.0, NOW + 2 * DAY)
        assert (share.what, share.row_days) == ("machines's share", 10.0)
        assert [meter.spent for meter in read_meters(store, settings, [task], NOW + 5 * DAY)] == [0.0, 0.0, 0.0]
        assert {meter.renews for meter in read_meters(store, settings, [task], NOW + 5 * DAY)} == {None}


def test_a_budget_for_the_whole_device_leaves_no_room_for_local_rounds(device: Device) -> None:
    charge(device, LOCAL)
    settings, task = settled(device, device_budget=PrivacyBudget(epsilon=8.0, delta=DELTA))
    with closing(AgentStore(device.home.database)) as store:
        meters = {meter.what: meter.spent for meter in read_meters(store, settings, [task], NOW)}
        assert meters["this device's budget as a whole"] == float("inf")
        assert rounds_left(store, settings, task, NOW) == 0
        assert rounds_left(store, replace(settings, device_budget=None), task, NOW) == task.training.rounds
