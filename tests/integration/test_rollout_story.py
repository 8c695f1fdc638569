"""A rollout on real agent directories: who runs what while it lasts, and what is left when it was halted."""

import json
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path

import pytest

from client.installed import accepted, current_release
from server import rollout_acts
from server.arrival import time_to_share
from server.situation import steps_of
from simulations.rollouts.candidates import Candidate, candidates
from simulations.rollouts.fleet import Fleet
from simulations.rollouts.ground import TASK
from simulations.rollouts.ride import first, promote, ride, settle
from simulations.rollouts.strength import Strength
from simulations.rollouts.table import rows, text

DEVICES = 12


@pytest.fixture
def fleet(tmp_path: Path) -> Generator[Fleet]:
    """Devices that all run a good first release."""
    fleet = Fleet(tmp_path, devices=DEVICES)
    settle(fleet, first())
    yield fleet
    fleet.close()


def candidate(name: str) -> Candidate:
    return next(each for each in candidates() if each.name == name)


def runs(fleet: Fleet) -> dict[str, int]:
    return {device.name: current_release(device.place) for device in fleet.devices}


def test_what_answers_nan_reaches_the_canary_alone_and_answers_nowhere(fleet: Fleet) -> None:
    found = ride(fleet, candidate("nan"))
    assert (found.state, found.told, found.served) == ("halted", 1 / DEVICES, 0.0)
    assert found.periods <= 2
    assert "1 wrong" in found.why
    assert set(runs(fleet).values()) == {1}
    assert fleet.store.version(fleet.store.releases()[-1].version).stage == "halted"


def test_a_canary_that_is_halted_goes_back_to_the_release_before(fleet: Fleet) -> None:
    release = promote(fleet, candidate("good"))
    for device in fleet.devices:
        fleet.look(device, crashes=False)
    (canary,) = [name for name, number in runs(fleet).items() if number == release.number]
    rollout_acts.halt(fleet.federation, fleet.store, TASK)
    for device in fleet.devices:
        fleet.look(device, crashes=False)
    assert set(runs(fleet).values()) == {1}
    back = accepted(next(device.place for device in fleet.devices if device.name == canary))
    assert back is not None
    assert back.release.number == release.fallback == 1
    assert steps_of(fleet.store, release)[-1].rollout.state == "halted"
    assert time_to_share(fleet.store, release).seconds is None


@pytest.mark.proof
def test_the_whole_table_meets_its_targets(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Six kinds of bad candidates and a good one on 40 devices; about two minutes."""
    from simulations.rollouts.__main__ import rollout

    rollout(devices=40, fleets=60, only=None, as_json=True, report=tmp_path / "rollouts.json")
    found = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert json.loads((tmp_path / "rollouts.json").read_bytes()) == list(found.values())
    assert [name for name, row in found.items() if not row.get("meets", True)] == []
    kinds = ("crashes", "slow", "nan", "too-large", "inverted", "biased")
    assert all(found[f"rollout.{kind}.reach"]["value"] <= 0.1 for kind in kinds)
    assert found["rollout.good.reach"]["value"] == 1.0
    assert 0 < found["rollout.epsilon.survey"]["value"] < found["rollout.epsilon.rollout"]["value"] < 8


def test_a_candidate_that_reached_too_far_or_was_never_halted_misses_its_target(fleet: Fleet) -> None:
    bad = ride(fleet, candidate("too large"))
    weak = Strength(name="inverted", effect=0.1, canary=1, promised=0.0, found=0.0, smallest=9)
    made = rows([bad], [weak], devices=DEVICES, fleets=60, seconds=1.0)
    assert [row["name"] for row in made if not row.get("meets", True)] == [
        "rollout.inverted.canary", "rollout.inverted.power"
    ]  # fmt: skip
    far = replace(bad, told=0.5, served=0.5, periods=3, state="rolling")
    missed = [
        row["name"] for row in rows([far], [], devices=DEVICES, fleets=60, seconds=1.0) if not row.get("meets", True)
    ]
    assert missed == ["rollout.too-large.reach", "rollout.too-large.served", "rollout.too-large.periods"]
    assert "too large" in text([bad], [weak], devices=DEVICES, fleets=60)
