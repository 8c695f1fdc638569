"""`covey plan`: from a file without a federation, or by name from the store; what it prints starts exactly that campaign."""

import json
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from server import __main__ as covey_main
from server import planning
from server.cli.planned import upwards
from server.cli.planning import command
from server.cli.plot import between, ceiling, plot
from server.config import Federation
from server.store import Store
from shared import accounting, pld, wire
from shared.privacy import SampledGaussian
from shared.tasks import read_task
from shared.training import Training

FILE = Path(__file__).parents[2] / "tasks" / "flights.toml"
FLIGHTS = read_task(FILE)


def run(*words: str) -> int:
    """Run `covey`, return its exit status."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["covey", *words])
        with pytest.raises(SystemExit) as left:
            covey_main.main()
    return int(left.value.code or 0)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A federation with the flights task, one device and an untrained version; no keys."""
    federation = tmp_path / "federation"
    federation.mkdir()
    Federation(federation).settings_file.write_text('name = "new-york"\n', encoding="utf-8")
    store = Store(Federation(federation).database)
    store.add_invitation("token", 2e10)
    store.enrol("token", "ada", b"key")
    store.set_device_state("ada", "approved")
    store.add_task(FLIGHTS)
    store.add_initial_version(FLIGHTS.name, FLIGHTS.revision, b"")
    store.close()
    return federation


def planned(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    assert run("plan", *words, "--json") == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_a_file_is_planned_for_without_a_federation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COVEY_HOME", raising=False)
    found = planned(capsys, "--task", str(FILE), "--epsilon", "2", "--delta", "1e-6")
    training = wire.decode(Training, found["training"])
    event = SampledGaussian(
        noise_multiplier=training.noise_multiplier, sample_rate=training.sample_rate,
        steps=training.steps * training.rounds,
    )  # fmt: skip
    assert (found["solved"], found["wanted"]) == (["noise"], {"epsilon": 2.0, "delta": 1e-6})
    assert found["epsilon"] == accounting.epsilon([event], delta=1e-6) <= 2.0
    assert found["pld"] == pld.epsilon([event], delta=1e-6) < found["epsilon"]
    assert found["command"] == f"covey start flights --set noise_multiplier={training.noise_multiplier!r}"
    for option in found["options"]:
        assert option["pld"] <= option["epsilon"]
    assert all(low >= high for _, low, high in found["curve"])
    assert list(tmp_path.iterdir()) == []


def test_what_is_printed_starts_exactly_that_campaign(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = planned(
        capsys, "--home", str(home), "--epsilon", "1.5", "--rounds", "33", "--steps", "7", "--sample-rate", "0.0312"
    )
    words = shlex.split(found["command"])
    assert words[:4] == ["covey", "--home", str(home), "start"]
    assert run(*words[1:], "--json") == 0
    request = json.loads(json.loads(capsys.readouterr().out)["request"])
    assert request["training"] == found["training"]
    assert (request["training"]["rounds"], request["training"]["steps"]) == (33, 7)


def test_every_command_reads_back_to_its_own_training() -> None:
    for changes in ({}, {"noise_multiplier": 1.4865, "rounds": 3}, {"sample_rate": 1 / 37, "steps": 5}):
        training = replace(FLIGHTS.training, **changes)
        words = shlex.split(command(FLIGHTS, "local", training))
        rounds = int(words[words.index("--rounds") + 1]) if "--rounds" in words else None
        sets = [words[index + 1] for index, word in enumerate(words) if word == "--set"]
        assert planning.overridden(FLIGHTS.training, sets, rounds=rounds) == training


def test_other_modes_are_named_in_the_command_and_have_no_distributions_for_sums(
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = planned(capsys, "--task", str(FILE), "--epsilon", "5", "--mode", "distributed")
    assert found["command"].startswith("covey start flights --mode distributed")
    assert "pld" not in found
    assert all("pld" not in option for option in found["options"])
    assert (found["trust"], len(found["curve"][0])) == ("sums", 2)
    assert run("plan", "--task", str(FILE), "--epsilon", "5", "--mode", "distributed") == 0
    out = capsys.readouterr().out
    assert "against the coordinator that sees only sums" in out
    assert "by privacy loss distributions" not in out


def test_a_person_reads_what_was_solved_what_it_costs_and_how_to_start(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("plan", "--task", str(FILE), "--epsilon", "4", "--solve", "rounds", "--against", "noise") == 0
    out = capsys.readouterr().out
    event = SampledGaussian(noise_multiplier=1.2, sample_rate=1 / 32, steps=16 * 39)
    filtered, tight = accounting.epsilon([event], delta=1e-5), pld.epsilon([event], delta=1e-5)
    assert "rounds       39        solved for" in out
    assert f"{upwards(filtered)}     as devices count it; {upwards(tight)} by privacy loss distributions" in out
    assert "one row added or removed, against everyone" in out
    assert out.count("this plan") == 1
    assert "too much" in out
    assert out.rstrip().endswith("covey start flights --rounds 39")


def test_limits_are_named_in_what_a_person_reads(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("plan", "--task", str(FILE), "--epsilon", "4") == 0
    assert "The signed min_noise_multiplier keeps it from costing the 4 wanted." in capsys.readouterr().out
    assert run("plan", "--task", str(FILE), "--epsilon", "0.9", "--solve", "sample_rate") == 0
    assert "`--set normalizer=" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (
            ["--epsilon", "0.5", "--noise", "1.2", "--rounds", "20", "--steps", "16", "--sample-rate", "0.03"],
            "nothing fits",
        ),
        (["--epsilon", "4", "--steps", "17"], "the signed max_steps"),
        (["--epsilon", "-1"], "epsilon must be positive"),
        (["--epsilon", "4", "--delta", "2"], "delta must lie between 0 and 1"),
        (["--epsilon", "4", "--sample-rate", "nan"], "sample_rate must lie in"),
        (["--epsilon", "4", "--noise", "inf"], "noise must be at most"),
        (["--epsilon", "4", "--noise", "2", "--solve", "noise"], "cannot be solved for"),
        (
            ["--epsilon", "4", "--mode", "central", "--against", "steps"],
            "does not change what a central campaign costs",
        ),
    ],
)
def test_what_cannot_be_planned_is_one_line_that_says_why(
    capsys: pytest.CaptureFixture[str], words: list[str], says: str
) -> None:
    assert run("plan", "--task", str(FILE), *words) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("covey: ")
    assert says in err
    assert err.count("\n") == 1


def test_a_file_that_is_not_there_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("plan", "--task", str(tmp_path / "none.toml")) == 1
    assert "none.toml cannot be read" in capsys.readouterr().err
    assert run("plan", "--task", "flights", "--home", str(tmp_path)) == 1
    assert "holds no federation" in capsys.readouterr().err


def test_a_plot_puts_each_value_where_its_scale_says() -> None:
    drawn = plot([[(1, 1.0), (3, 3.0)]], level=2.0, width=20, height=12, x_title="rounds", y_title="epsilon")
    assert drawn[0] == "epsilon"
    assert drawn[1].startswith("3 ┤")
    assert drawn[9].startswith("1 ┤")
    assert drawn[-3] == "0 └" + "─" * 20
    assert drawn[-2].split() == ["1", "3"]
    assert drawn[-1].strip() == "rounds"
    body = [line.partition("┤")[2].ljust(20) for line in drawn[1:13]]
    assert (body[0][-1] != " ", body[0][:-3].strip()) == (True, "")
    assert all(line.strip() == "" for line in body[9:])
    dotted = [index for index, line in enumerate(body) if line[0] != " "]
    assert dotted == [4, 7]


def test_a_curve_is_straight_from_point_to_point() -> None:
    assert [between([(0, 0.0), (2, 4.0), (3, 0.0)], x) for x in (0, 1, 2, 2.5, 3)] == [0.0, 2.0, 4.0, 2.0, 0.0]


@pytest.mark.parametrize("value", [0.0, 1e-5, 0.003, 0.99, 1.0, 3.0, 3.01, 7.7, 8.0, 44.0, 1e6])
def test_a_scale_holds_its_values_and_ends_in_thirds_that_read_well(value: float) -> None:
    top = ceiling(value)
    assert value <= top <= max(3.0, 5 * value)
    assert len(f"{top / 3:.6g}".replace(".", "").strip("0").split("e")[0]) <= 2


def test_an_epsilon_is_never_shown_smaller_than_it_is() -> None:
    assert [upwards(value) for value in (1.0, 1.00001, 2.3999, 0.0)] == ["1.000", "1.001", "2.400", "0.000"]


def test_the_fleet_shows_programs_what_owners_tell(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = Store(Federation(home).database)
    store.set_installed("ada", 1, "fp32, 7 us", affords={"flights": "2-4"})
    store.close()
    assert run("--home", str(home), "fleet", "--json") == 0
    [device] = json.loads(capsys.readouterr().out)
    assert device["affords"] == {"flights": "2-4"}
