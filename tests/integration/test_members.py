"""Hostile members in a federation in one process: what is malformed costs its sender, and a rule bounds the rest."""

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from machines import machine_rows, small_task

from client.app import build_app
from client.config import AgentHome
from client.dataset import read_examples
from server.app import conduct
from server.records import CampaignRequest
from server.store import Store
from shared.aggregation import Aggregation
from shared.errors import InputError
from shared.privacy import PrivacyBudget
from shared.rounds import RoundResult
from shared.tasks import Window
from simulations.attacks import hostile
from simulations.attacks.forged import ForgingGrid
from simulations.attacks.hostile import Lie, Members
from simulations.attacks.lineup import FORGERIES
from simulations.cohort import found_agent, rehearse

TASK = small_task()
HONEST = ("ada", "ben", "cyd")
FORGERS = {attack.name: attack.forge for attack in FORGERIES if attack.forge}
BUDGET = PrivacyBudget(epsilon=1000.0, delta=1e-5)


class Town:
    """A store and devices that learn from a few rows each; some of them may lie, or have an owner in common."""

    def __init__(
        self, folder: Path, names: tuple[str, ...], *, liars: tuple[str, ...] = (), lie: Lie | None = None
    ) -> None:
        self.store, self.folder = Store(folder / "covey.db"), folder
        machine_rows(200, seed=0).write_parquet(folder / "rows.parquet")
        rows = read_examples(folder / "rows.parquet", TASK, Window())
        self.members = Members(examples=dict.fromkeys(names, rows), liars=frozenset(liars), lie=lie, seed=0)
        owned = dict.fromkeys((name for name in names if name.startswith("sybil")), folder / "rows.parquet")
        known = {name: folder / "rows.parquet" for name in names if name not in owned}
        self.agents = rehearse(self.store, TASK, known, folder / "agents", budget=BUDGET)
        for node, name in enumerate(owned, start=2000):
            home = AgentHome(folder / "agents" / name)
            found_agent(home, TASK, name=name, data=folder / "rows.parquet", budget=BUDGET)
            self.store.add_invitation(name, time.time() + 60, owner="eve")
            self.store.enrol(name, name, name.encode())
            self.store.set_device_state(name, "approved")
            self.store.set_node(name, node)
            self.agents[node] = home.path

    def campaign(
        self, *, rounds: int = 1, rule: Aggregation | None = None, echo: bool = False, forged: bool = False
    ) -> None:
        training = replace(TASK.training, rounds=rounds, aggregation=rule)
        request = CampaignRequest(
            task=TASK.name, window=Window(), training=training, base_version=1, quorum=1, cohort=len(self.agents),
            deadline_seconds=5.0,
        )  # fmt: skip
        run = self.store.run(self.store.queue_run(TASK.name, "train", request))
        forgeries = {name: FORGERS[name] for name in self.members.examples if name in FORGERS} if forged else {}
        conduct(ForgingGrid(build_app(self.members), self.agents, forgeries=forgeries, echo=echo), self.store, run)

    @property
    def weights(self) -> bytes:
        return self.store.weights(self.store.versions()[-1].number)


@pytest.fixture(scope="module")
def forged(tmp_path_factory: pytest.TempPathFactory) -> list[RoundResult]:
    """Three rounds in which every forgery comes at once, each from a device of its own, beside three honest devices."""
    town = Town(tmp_path_factory.mktemp("forged"), (*HONEST, *FORGERS))
    town.campaign(rounds=3, forged=True)
    alone = Town(tmp_path_factory.mktemp("alone"), (*HONEST, *FORGERS))
    alone.campaign(rounds=1)
    assert town.store.weights(2) == alone.store.weights(2), "the first round was honest"
    assert np.isfinite(np.frombuffer(town.weights, "<f4")).all()
    results = town.store.rounds()
    town.store.close()
    alone.store.close()
    return results


SAID = {
    "NaN": "array holds NaN or infinite values",
    "infinite": "array holds NaN or infinite values",
    "1e308": "message carries no float32 array",
    "1e30": "the plan allows",
    "zero": "update is all zeros",
    "wrong shape": "message carries no float32 array",
    "wrong type": "message carries no float32 array",
    "wrong key": "message carries no float32 array",
    "no report": "message carries no 'report' document",
    "stale round": "report is for round",
    "replayed reply": "report is for round",
}


def test_every_forgery_of_the_table_is_tried_here() -> None:
    assert set(SAID) == set(FORGERS)


@pytest.mark.parametrize("forgery", SAID)
def test_a_forged_reply_is_noted_against_its_sender_and_counts_nowhere(forged: list[RoundResult], forgery: str) -> None:
    assert forgery in forged[0].returned
    for result in forged[1:]:
        assert forgery not in result.returned
        assert SAID[forgery] in result.failures[forgery]


def test_a_round_full_of_forgeries_commits_with_every_honest_update(forged: list[RoundResult]) -> None:
    assert [(result.outcome, set(result.returned)) for result in forged[1:]] == [("committed", set(HONEST))] * 2
    assert all(set(result.failures) == set(FORGERS) for result in forged[1:])


def test_a_reply_that_comes_twice_counts_once(tmp_path: Path) -> None:
    (tmp_path / "once").mkdir()
    (tmp_path / "twice").mkdir()
    once, twice = Town(tmp_path / "once", HONEST), Town(tmp_path / "twice", HONEST)
    once.campaign(rounds=2)
    twice.campaign(rounds=2, echo=True)
    assert once.weights == twice.weights
    assert [result.returned for result in twice.store.rounds()] == [HONEST] * 2


SYBILS = tuple(f"sybil-{number}" for number in range(6))


def test_one_vote_an_owner_takes_six_sybils_back_to_one_hostile_vote(tmp_path: Path) -> None:
    (tmp_path / "devices").mkdir()
    (tmp_path / "owners").mkdir()
    rule = Aggregation(kind="median", assumed_byzantine=1)
    moved: dict[str, float] = {}
    for name, each in {"devices": rule, "owners": replace(rule, by_owner=True)}.items():
        town = Town(tmp_path / name, (*HONEST, *SYBILS), liars=SYBILS, lie=lambda m: np.full_like(m.weights, 0.5))
        town.campaign(rule=each)
        change = np.frombuffer(town.weights, "<f4") - np.frombuffer(town.store.weights(1), "<f4")
        moved[name] = float(np.abs(change - 0.5).max())
    assert moved["devices"] == pytest.approx(0, abs=1e-6), "six of nine votes are the median"
    assert moved["owners"] > 0.1


def test_a_round_with_fewer_votes_than_its_rule_needs_is_abandoned(tmp_path: Path) -> None:
    town = Town(tmp_path, HONEST)
    with pytest.raises(InputError, match="were abandoned"):
        town.campaign(rule=Aggregation(kind="multi-krum", assumed_byzantine=1))
    (result,) = town.store.rounds()
    assert result.outcome == "abandoned"
    assert "multi-krum, 1 assumed hostile is defined for 5 updates or more, got 3" in " ".join(result.failures.values())
    assert len(town.store.versions()) == 1


def test_liars_who_turn_the_mean_around_do_not_turn_the_median(tmp_path: Path) -> None:
    from shared.architecture import split
    from simulations.demo.central import auc

    names = (*HONEST, "dot", "eli", "fay", "gil")
    found: dict[str, float] = {}
    for kind in ("mean", "median"):
        (tmp_path / kind).mkdir()
        town = Town(tmp_path / kind, names, liars=("fay", "gil"), lie=hostile.flip_sign)
        rule = None if kind == "mean" else Aggregation(kind="median", assumed_byzantine=2)
        town.campaign(rounds=5, rule=rule)
        rows = town.members.examples["ada"]
        matrix, bias = split(np.frombuffer(town.weights, "<f4"), TASK)
        logits = rows.inputs @ matrix.T + bias
        found[kind] = auc(logits[:, 1] - logits[:, 0], rows.labels)
    assert found["mean"] < 0.3, "the liars' model says the opposite"
    assert found["median"] > 0.8


def test_a_free_rider_sends_what_an_honest_device_without_rows_sends(tmp_path: Path) -> None:
    (tmp_path / "rider").mkdir()
    (tmp_path / "poor").mkdir()
    rider = Town(tmp_path / "rider", HONEST, liars=("ada",), lie=hostile.ride_free)
    poor = Town(tmp_path / "poor", HONEST)
    rows = poor.members.examples["ada"]
    poor.members.examples = {
        **poor.members.examples,
        "ada": replace(rows, inputs=rows.inputs[:0], labels=rows.labels[:0]),
    }
    rider.campaign()
    poor.campaign()
    assert rider.weights == poor.weights
