"""Whole rounds whose updates travel compressed: the ServerApp, the ClientApp and the ledgers that ship, in one process."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from flwr.app import ConfigRecord, Message
from machines import machine_rows, small_task

from client.app import app
from client.config import AgentHome
from client.erasure import erase
from server.app import conduct
from server.records import CampaignRequest
from server.store import Store
from shared.architecture import size
from shared.compression import Compression, most_bytes
from shared.privacy import PrivacyBudget
from shared.rounds import RoundResult
from shared.tasks import Window
from simulations.cohort import rehearse
from simulations.loopback import LoopbackGrid, Tamper

DEVICES = ("ada", "ben", "cyd")
EDEN = Compression(kind="eden", bits=3)
FED_BACK = Compression(kind="eden", bits=2, feedback=True)


class Rehearsal:
    """A store and three agents that learn under one compression."""

    def __init__(self, folder: Path, spec: Compression | None) -> None:
        task = small_task()
        self.task = replace(task, training=replace(task.training, rounds=2, compression=spec))
        self.store = Store(folder / "covey.db")
        files = {name: folder / f"{name}.parquet" for name in DEVICES}
        for seed, path in enumerate(files.values()):
            machine_rows(400, seed=seed).write_parquet(path)
        budget = PrivacyBudget(epsilon=50.0, delta=1e-5)
        self.agents = rehearse(self.store, self.task, files, folder / "agents", budget=budget)

    def home(self, name: str) -> AgentHome:
        return next(AgentHome(path) for path in self.agents.values() if path.name == name)

    def campaign(self, tamper: Tamper | None = None) -> list[RoundResult]:
        request = CampaignRequest(
            task=self.task.name, window=Window(), training=self.task.training,
            base_version=self.store.versions()[-1].number, quorum=1, cohort=10, deadline_seconds=5.0,
        )  # fmt: skip
        run = self.store.run(self.store.queue_run(self.task.name, "train", request))
        conduct(LoopbackGrid(app, self.agents, tamper=tamper), self.store, run)
        return [result for result in self.store.rounds() if result.plan.run_id == run.id]


@pytest.mark.parametrize(
    "spec", [EDEN, FED_BACK, Compression(kind="int8"), Compression(kind="rand-k", fraction=0.3)], ids=str
)
def test_rounds_commit_and_only_few_bytes_leave(spec: Compression, tmp_path: Path) -> None:
    rehearsal, lengths = Rehearsal(tmp_path, spec), list[int]()

    def look(_: int, reply: Message) -> Message:
        assert not reply.content.array_records
        lengths.append(len(reply.content.config_records["data"]["bytes"]))
        return reply

    rounds = rehearsal.campaign(look)
    assert [(result.outcome, result.returned, result.failures) for result in rounds] == [("committed", DEVICES, {})] * 2
    assert len(lengths) == 6
    assert max(lengths) <= most_bytes(spec, size(rehearsal.task)) < 4 * size(rehearsal.task)
    weights = [np.frombuffer(rehearsal.store.weights(version.number), "<f4") for version in rehearsal.store.versions()]
    assert all(np.linalg.norm(after - before) > 0 for before, after in pairwise(weights))


def test_what_feedback_keeps_is_erased_with_the_rest(tmp_path: Path) -> None:
    rehearsal = Rehearsal(tmp_path, FED_BACK)
    rehearsal.campaign()
    home = rehearsal.home("ada")
    kept = home.task(rehearsal.task.name).feedback
    assert kept.exists()
    erase(home, with_data=False)
    assert not kept.exists()


def test_without_feedback_a_device_keeps_nothing(tmp_path: Path) -> None:
    rehearsal = Rehearsal(tmp_path, EDEN)
    rehearsal.campaign()
    assert not any(rehearsal.home(name).task(rehearsal.task.name).feedback.exists() for name in DEVICES)


def test_a_device_that_calls_itself_by_another_name_is_noted_and_left_out(tmp_path: Path) -> None:
    rehearsal = Rehearsal(tmp_path, EDEN)
    settings = rehearsal.home("ben").settings_file
    settings.write_text(settings.read_text().replace('name = "ben"', 'name = "bea"'))
    for result in rehearsal.campaign():
        assert result.returned == ("ada", "cyd")
        assert "another seed" in result.failures["ben"]


@pytest.mark.parametrize(
    "lie", [b"", b"\xff" * 40, bytes(10_000), None], ids=["nothing", "noise", "too long", "no bytes"]
)
def test_bytes_that_nobody_encodes_are_noted_and_left_out(lie: bytes | None, tmp_path: Path) -> None:
    rehearsal = Rehearsal(tmp_path, EDEN)
    liar = next(node for node, path in rehearsal.agents.items() if path.name == "cyd")

    def tamper(node: int, reply: Message) -> Message:
        if node == liar:
            reply.content["data"] = ConfigRecord({} if lie is None else {"bytes": lie})
        return reply

    for result in rehearsal.campaign(tamper):
        assert result.outcome == "committed"
        assert result.returned == ("ada", "ben")
        assert set(result.failures) == {"cyd"}
