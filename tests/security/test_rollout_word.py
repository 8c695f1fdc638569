"""What a thief of the online keys left behind: the coordinator keeps the rollout role to what it signed itself."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from rolling import Fleet, build_fleet

from server import rollout_acts
from server.promotion import Way, recover
from server.repository import Repository
from server.rollout_duty import steer
from server.rollout_role import signed_rollout
from shared.rollout import WHOLE


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    """The second release has reached its canary; the store knows document 1."""
    fleet = build_fleet(tmp_path)
    fleet.promote(1, Way(everyone=True))
    fleet.promote(2)
    return fleet


def plant(fleet: Fleet, body: bytes, path: str = "rollout/machines.json") -> None:
    repository = Repository(fleet.federation)
    rollout = repository.rollout()
    assert rollout is not None
    repository.add(rollout, path, body, {"number": 1})
    repository.commit_rollout(rollout)


def claim(fleet: Fleet, **document: object) -> None:
    given: dict[str, object] = {"number": 7, "task": "machines", "release": 2, "share_bp": WHOLE}
    plant(fleet, json.dumps(given | document).encode())


STRANGE: dict[str, Callable[[Fleet], None]] = {
    "a higher number": claim,
    "the same number": lambda fleet: claim(fleet, number=1),
    "a lower number": lambda fleet: claim(fleet, number=0),
    "the next number, of no release that the store knows": lambda fleet: claim(fleet, number=2, release=9),
    "the next number, of an older release": lambda fleet: claim(fleet, number=2, release=1),
    "nothing that can be read": lambda fleet: plant(fleet, b"\x00"),
}


@pytest.mark.parametrize("attack", STRANGE)
@pytest.mark.parametrize("found_by", ["the standing duty", "a promotion", "an operator who halts"])
def test_a_document_that_was_not_signed_here_gives_way_to_the_stores(attack: str, found_by: str, fleet: Fleet) -> None:
    own = fleet.document
    STRANGE[attack](fleet)
    if found_by == "the standing duty":
        steer(fleet.federation, fleet.store, fleet.task)
    elif found_by == "a promotion":
        recover(fleet.federation, fleet.store, fleet.task)
    else:
        rollout_acts.halt(fleet.federation, fleet.store, fleet.task)
    again = next(step.rollout for step in fleet.store.rollouts("machines") if step.rollout.number == 2)
    assert again == replace(own, number=2), "the thief's word is not written down as the coordinator's own"
    assert signed_rollout(fleet.federation, "machines") == fleet.document
    said = [entry.detail for entry in fleet.store.audit_log() if entry.act == "replace"]
    assert len(said) == 1
    assert "not signed by this coordinator" in said[0] or "no document that can be read" in said[0]
    assert not [entry for entry in fleet.store.audit_log() if entry.act == "recover"]


def test_a_document_about_a_release_that_is_for_everyone_is_taken_back(tmp_path: Path) -> None:
    """Nothing is on its way, and the role was used to hold back what everybody is to run."""
    fleet = build_fleet(tmp_path)
    fleet.promote(1, Way(everyone=True))
    claim(fleet, number=1, release=1, share_bp=0, state="halted")
    assert steer(fleet.federation, fleet.store, fleet.task) is None
    assert signed_rollout(fleet.federation, "machines") is None
    assert fleet.store.rollouts() == []


def test_a_document_of_a_task_to_come_is_dropped(fleet: Fleet) -> None:
    plant(fleet, b"{}", "rollout/later.json")
    steer(fleet.federation, fleet.store, fleet.task)
    rollout = Repository(fleet.federation).rollout()
    assert rollout is not None
    assert list(rollout.targets) == ["rollout/machines.json"]
    assert "rollout/later.json, which is of no published task" in fleet.store.audit_log()[0].detail


def test_what_is_sound_is_signed_once(fleet: Fleet) -> None:
    before = Repository(fleet.federation).timestamp().version
    steer(fleet.federation, fleet.store, fleet.task)
    recover(fleet.federation, fleet.store, fleet.task)
    assert Repository(fleet.federation).timestamp().version == before
