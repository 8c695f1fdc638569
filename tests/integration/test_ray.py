"""`--engine ray`: Flower's own simulation engine conducts what the local engine does, and comes to the same weights.

Ray is an extra. Where it is missing its proofs are skipped by name; with it they run like any:
`pip install '.[peers]' && pytest -m proof tests/integration/test_ray.py`.
"""

import importlib.util
import pickle
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from flwr.app import Context, Error, Message, RecordDict
from machines import machine_rows, small_task
from numpy.typing import NDArray

from client.app import app
from client.config import AgentHome
from client.policyfile import render
from client.settings import read_settings
from server.app import conduct
from server.records import CampaignRequest
from server.store import Store
from shared.errors import InputError, Unreachable
from shared.modes import Distributed, Mode
from shared.privacy import PrivacyBudget
from shared.tasks import Task, Window
from simulations import ray_engine
from simulations.cohort import rehearse
from simulations.loopback import LoopbackGrid
from simulations.ray_engine import AgentsOnRay, backend_config, partitions, rehearse_on_ray

DEVICES = ("ada", "ben", "cyd")
NODES = (2**64 - 5, 7, 2**63 + 1)
needs_ray = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="Ray is not installed; `pip install '.[peers]'` brings it"
)


def quiet_task() -> Task:
    """A task whose noise is far below what float32 holds of a weight: engines can be told apart by nothing else."""
    task = small_task()
    privacy = replace(task.privacy, epsilon=1e15, max_sample_rate=1.0, min_noise_multiplier=1e-6)
    training = replace(task.training, sample_rate=1.0, noise_multiplier=1e-6, rounds=2)
    return replace(task, privacy=privacy, training=training)


def summing_task() -> Task:
    training = replace(small_task().training, sample_rate=1.0, steps=1, noise_multiplier=4.0, rounds=1)
    terms = Distributed(
        training=training, min_cohort=3, threshold=0.7, colluders=0.0, min_noise_multiplier=0.5, bits=24
    )
    return small_task(distributed=terms)


class Campaign:
    """A store with a queued run, and the agents that it is about."""

    def __init__(self, folder: Path, task: Task, *, mode: Mode = "local", epsilon: float = 1e15) -> None:
        files = {name: folder / f"{name}.parquet" for name in DEVICES}
        folder.mkdir()
        for seed, path in enumerate(files.values()):
            machine_rows(200, seed=seed).write_parquet(path)
        self.store, self.task = Store(folder / "covey.db"), task
        budget = PrivacyBudget(epsilon=epsilon, delta=1e-5)
        self.agents = rehearse(self.store, task, files, folder / "agents", budget=budget)
        for path in self.agents.values():
            _train_light(AgentHome(path))
        training = task.training_in(mode)
        assert training is not None
        request = CampaignRequest(
            task=task.name, window=Window(), training=training, base_version=1, quorum=3, cohort=3,
            deadline_seconds=120.0, mode=mode,
        )  # fmt: skip
        self.run = self.store.run(self.store.queue_run(task.name, "train", request))

    def weights(self) -> NDArray[np.float32]:
        return np.frombuffer(self.store.weights(self.store.versions()[-1].number), "<f4")


def _train_light(home: AgentHome) -> None:
    settings = read_settings(home.settings_file)
    home.settings_file.write_text(render(replace(settings, trainer="light")), encoding="utf-8")


def local(folder: Path, task: Task) -> Campaign:
    campaign = Campaign(folder, task)
    conduct(LoopbackGrid(app, campaign.agents), campaign.store, campaign.run)
    return campaign


class EngineGrid(LoopbackGrid):
    """Flower's engine without Ray: nodes with numbers of its own, told apart by their partition, and late to come."""

    def __init__(self, folders: Sequence[Path], *, broken: bool = False) -> None:
        super().__init__(AgentsOnRay(folders), dict(zip(NODES, folders, strict=False)))
        self._looks, self._broken = 0, broken

    def get_node_ids(self) -> list[int]:
        self._looks += 1
        return list(self._agents)[: self._looks]

    def _answer(self, node: int, message: Message) -> Message:
        if self._broken:
            return Message(Error(code=2, reason="No module named 'client'"), reply_to=message)
        config = {"partition-id": list(self._agents).index(node), "num-partitions": len(self._agents)}
        context = Context(run_id=1, node_id=node, node_config=config, state=RecordDict(), run_config={})
        return pickle.loads(pickle.dumps(self._app))(message=message, context=context)


def folders_of(campaign: Campaign) -> list[Path]:
    return [campaign.agents[node] for node in sorted(campaign.agents)]


def engine(campaign: Campaign, grid: LoopbackGrid) -> None:
    folders = folders_of(campaign)
    server = ray_engine._conducting(campaign.store, folders, campaign.run, threading.Event())
    server(grid=grid, context=Context(run_id=1, node_id=0, node_config={}, state=RecordDict(), run_config={}))


def test_each_node_is_the_agent_of_its_partition(tmp_path: Path) -> None:
    here, there = local(tmp_path / "local", quiet_task()), Campaign(tmp_path / "engine", quiet_task())
    engine(there, EngineGrid(folders_of(there)))
    assert there.store.run(there.run.id).state == "finished"
    assert {each.name: each.node_id for each in there.store.devices()} == dict(zip(DEVICES, NODES, strict=True))
    assert [each.returned for each in there.store.rounds()] == [DEVICES] * 2
    assert np.abs(there.weights() - here.weights()).max() < 1e-6
    assert np.abs(here.weights()).max() > 0.1


def test_a_process_that_cannot_load_covey_is_named(tmp_path: Path) -> None:
    campaign = Campaign(tmp_path / "engine", quiet_task())
    with pytest.raises(Unreachable, match="No module named 'client'"):
        engine(campaign, EngineGrid(folders_of(campaign), broken=True))


@pytest.mark.parametrize("gone", [False, True])
def test_an_engine_that_does_not_start_is_not_waited_for_without_end(gone: bool) -> None:
    ended = threading.Event()
    if gone:
        ended.set()
    with pytest.raises(Unreachable, match="0 of 3 nodes"):
        partitions(LoopbackGrid(app, {}), 3, ended=ended, seconds=600.0 if gone else 0.0)


def test_without_ray_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    campaign = Campaign(tmp_path / "engine", quiet_task())
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(InputError, match=r"pip install '\.\[peers\]'"):
        rehearse_on_ray(campaign.store, campaign.task, campaign.agents, campaign.run)
    assert campaign.store.run(campaign.run.id).state == "queued"


def test_a_run_that_the_engine_left_is_not_under_way_for_ever(tmp_path: Path) -> None:
    campaign = Campaign(tmp_path / "engine", quiet_task())
    for state, then in (("finished", "finished"), ("running", "stopping"), ("queued", "failed")):
        campaign.store.set_run_state(campaign.run.id, state)
        ray_engine._let_go(campaign.store, campaign.run)
        assert campaign.store.run(campaign.run.id).state == then


def test_what_went_wrong_first_is_told() -> None:
    error = RuntimeError("Ending simulation.")
    error.__cause__ = RuntimeError("Simulation Runtime crashed.")
    error.__cause__.__cause__ = ValueError("ActorPool is empty.")
    assert str(ray_engine._root(error)) == "ActorPool is empty."


def test_only_a_campaign_of_the_task_is_conducted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    campaign = Campaign(tmp_path / "engine", quiet_task())
    monkeypatch.setattr(ray_engine, "require_ray", lambda: None)
    for run in (replace(campaign.run, kind="survey"), replace(campaign.run, task="others")):
        with pytest.raises(InputError, match="not a campaign of 'machines'"):
            rehearse_on_ray(campaign.store, campaign.task, campaign.agents, run)


def test_here_ray_keeps_to_the_loopback_address_and_a_cluster_keeps_its_own() -> None:
    here = backend_config(False, environment={})
    assert here["client_resources"] == {"num_cpus": 1.0, "num_gpus": 0.0}
    assert here["init_args"]["_node_ip_address"] == "127.0.0.1"
    assert here["init_args"]["include_dashboard"] is False
    assert "num_cpus" not in here["init_args"]
    there = backend_config(False, cpus_each=0.5, environment={"RAY_ADDRESS": "10.0.0.1:6379"})
    assert there["client_resources"]["num_cpus"] == 0.5
    assert there["init_args"] == {"logging_level": "error", "log_to_driver": False}


def test_what_keeps_secrets_between_messages_has_one_process() -> None:
    alone = backend_config(True, cpus_each=2.0, environment={})
    assert alone["init_args"]["num_cpus"] == alone["client_resources"]["num_cpus"] == 2
    assert backend_config(True, cpus_each=0.5, environment={})["init_args"]["num_cpus"] == 1
    with pytest.raises(InputError, match="a Ray cluster has many"):
        backend_config(True, environment={"RAY_ADDRESS": "10.0.0.1:6379"})
    with pytest.raises(InputError, match="some of a processor"):
        backend_config(False, cpus_each=0.0, environment={})


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """No cluster of the person who runs the proofs, and nothing of theirs changed."""
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))


@needs_ray
@pytest.mark.proof
@pytest.mark.filterwarnings("default")  # Ray and Flower's engine warn of each other's ways
def test_ray_and_the_local_engine_come_to_the_same_weights(tmp_path: Path, alone: None) -> None:
    here, there = local(tmp_path / "local", quiet_task()), Campaign(tmp_path / "ray", quiet_task())
    heard: list[int] = []
    rehearse_on_ray(
        there.store, there.task, there.agents, there.run, say=lambda progress: heard.append(progress.rounds)
    )
    assert there.store.run(there.run.id).state == "finished"
    assert [each.returned for each in there.store.rounds()] == [DEVICES] * 2
    assert np.abs(there.weights() - here.weights()).max() < 1e-6
    assert np.abs(here.weights()).max() > 0.1
    assert set(heard) == {2}


@needs_ray
@pytest.mark.proof
@pytest.mark.filterwarnings("default")
def test_a_campaign_that_fails_on_ray_fails_as_it_does_here(tmp_path: Path, alone: None) -> None:
    campaign = Campaign(tmp_path / "ray", quiet_task(), epsilon=1.0)
    with pytest.raises(InputError, match="rounds were abandoned"):
        rehearse_on_ray(campaign.store, campaign.task, campaign.agents, campaign.run)
    assert campaign.store.run(campaign.run.id).state == "failed"
    assert [set(each.refusals.values()) for each in campaign.store.rounds()] == [{"budget"}] * 2


@needs_ray
@pytest.mark.proof
@pytest.mark.filterwarnings("default")
def test_secure_aggregation_works_on_ray_in_one_process(tmp_path: Path, alone: None) -> None:
    campaign = Campaign(tmp_path / "ray", summing_task(), mode="distributed")
    rehearse_on_ray(campaign.store, campaign.task, campaign.agents, campaign.run)
    [result] = campaign.store.rounds()
    assert (result.outcome, result.returned) == ("committed", DEVICES)
