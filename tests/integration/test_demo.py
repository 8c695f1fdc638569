"""The story that `make demo` tells, from beginning to end, held to what it must show."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("demo")
    command = [
        sys.executable,
        "-m",
        "simulations.demo",
        "--folder",
        str(folder / "demo"),
        "--report",
        str(folder / "it"),
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "\x1b[" not in done.stdout
    found: dict[str, Any] = json.loads((folder / "it").read_text())
    return found


pytestmark = pytest.mark.proof


def test_every_device_is_a_process_and_a_directory_of_its_own(report: dict[str, Any]) -> None:
    assert len({device["pid"] for device in report["devices"]}) == 8
    assert len({device["directory"] for device in report["devices"]}) == 8


def test_every_round_is_committed_and_one_budget_runs_out(report: dict[str, Any]) -> None:
    outcomes = [each["outcome"] for each in report["rounds"]]
    assert outcomes.count("committed") == 40
    refused = [each["refused"] for each in report["rounds"]]
    assert refused[0] == {}
    assert refused[-1] == {"budget": 1}


def test_the_second_release_beats_the_first_and_both_come_near_central(report: dict[str, Any]) -> None:
    _, first, second = report["releases"]
    assert first["tested_on"] == second["tested_on"]
    assert second["auc"] > first["auc"]
    for line in report["releases"]:
        assert line["auc"] - 0.5 >= 0.88 * (line["auc_central"] - 0.5)


def test_the_fleets_noisy_counts_say_how_good_each_release_is(report: dict[str, Any]) -> None:
    for line in report["releases"]:
        counted = line["counted"]
        assert 0.5 < counted["low"] < counted["auc"] < counted["high"] < counted["low"] + 0.15
        assert abs(counted["auc"] - line["auc"]) < 0.1  # of the same rows, but with noise and in bins
        assert counted["devices"] >= 7


def test_every_gate_of_both_releases_was_passed(report: dict[str, Any]) -> None:
    assert [line["release"] for line in report["gates"]] == [1, 3]
    for line in report["gates"]:
        assert all(verdict["passed"] for verdict in line["verdicts"])
        assert {"parity with torch", "latency", "AUC", "epsilon"} <= {verdict["name"] for verdict in line["verdicts"]}


def test_releases_arrive_in_stages_and_the_wrong_file_ends_at_the_canary(report: dict[str, Any]) -> None:
    first, wrong, second = report["rollouts"]
    for line in (first, second):
        assert (line["state"], line["health"]) == ("complete", {"serves": 8})
        assert [stage["devices"] for stage in line["stages"]] == [2, 8]
    assert (wrong["state"], wrong["health"]) == ("halted", {"wrong": 2})
    assert [stage["devices"] for stage in wrong["stages"]] == [2]


def test_the_policy_asks_because_of_the_scores_and_says_what_it_costs(report: dict[str, Any]) -> None:
    march, april, accepted = report["policy"]
    assert [each["act"] for each in (march, april, accepted)] == ["wait", "ask", "start"]
    assert april["alarms"] == ["psi"]
    assert "temp" in april["informed"]
    assert "this campaign costs ε" in april["why"]


def test_carriers_too_small_to_tell_are_named(report: dict[str, Any]) -> None:
    gap = report["fairness"]["auc_gap"]
    assert gap["estimate"]["low"] <= gap["estimate"]["value"] <= gap["estimate"]["high"]
    assert "HA" in gap["untold"]  # no station of theirs takes part
    assert "EV" not in gap["untold"]


def test_no_device_spends_more_than_its_owner_granted(report: dict[str, Any]) -> None:
    assert report["privacy"]["epsilon_max"] <= report["privacy"]["budget_epsilon"] == 8.0
    assert all(device["epsilon"] <= device["budget_epsilon"] for device in report["devices"])


def test_the_alarm_comes_with_april_and_the_timetable_does_not_move(report: dict[str, Any]) -> None:
    march, april = report["drift"]
    assert (march["alarm"], april["alarm"]) == (False, True)
    assert april["features"]["temp"]["psi"] > 1.0
    assert all(april["features"][name]["psi"] < 0.1 for name in ("hour", "weekday", "carrier", "destination"))


def test_from_the_alarm_to_the_new_release_on_nearly_all_devices_is_timed(report: dict[str, Any]) -> None:
    assert 0 < report["alarm_to_release_seconds"] < report["seconds"]["total"]


def test_the_released_files_agree_and_answer(report: dict[str, Any]) -> None:
    assert report["onnx"]["max_abs_diff"] <= 1e-5
    assert report["onnx"]["int8_max_abs_diff"] <= 0.05
    assert 0 < report["latency_us"]["p50"] <= report["latency_us"]["p99"]
    assert report["bytes_per_device_round"]["up"] > 0
