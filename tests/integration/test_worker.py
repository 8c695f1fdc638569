"""The child that trains: it computes what the agent would, keeps to the owner's ceilings, and leaves no trace behind."""

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event, Thread
from typing import Any

import numpy as np
import polars as pl
import psutil
import pytest
from coordinator import until
from machines import machine_rows, small_task

from client import worker as worker_module
from client.config import AgentHome, TaskHome
from client.policyfile import render
from client.settings import AgentSettings, Ceilings, TaskGrant
from client.worker import Worker
from shared.architecture import initial_weights, size
from shared.drift import SurveyPlan
from shared.privacy import PrivacyBudget
from shared.rounds import RoundPlan
from shared.tasks import Window
from simulations.cohort import found_agent

TASK = small_task()
T = TASK.training
PLAN = RoundPlan(
    run_id=1, number=1, task=TASK.name, revision=1, base_version=1, window=Window(), sample_rate=T.sample_rate,
    steps=T.steps, normalizer=T.normalizer, learning_rate=T.learning_rate, max_grad_norm=T.max_grad_norm,
    noise_multiplier=T.noise_multiplier, max_update_norm=T.max_update_norm,
)  # fmt: skip


@pytest.fixture
def home(tmp_path: Path) -> AgentHome:
    home, data = AgentHome(tmp_path / "agent"), tmp_path / "rows.parquet"
    machine_rows(300).write_parquet(data)
    found_agent(home, TASK, name="ada", data=data, budget=PrivacyBudget(epsilon=9.0, delta=1e-5))
    change(home)
    return home


def change(home: AgentHome, *, ceilings: Ceilings | None = None, data: str | None = None) -> None:
    """Let the light trainer work, under these ceilings."""
    settings = AgentSettings(
        name="ada", coordinator="127.0.0.1:0", federation="rehearsal", budget=PrivacyBudget(epsilon=9.0, delta=1e-5),
        tasks={TASK.name: TaskGrant(data=data or str(home.path.parent / "rows.parquet"))}, trainer="light",
        ceilings=ceilings or Ceilings(),
    )  # fmt: skip
    home.settings_file.write_text(render(settings), encoding="utf-8")


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def worker(home: AgentHome, told: list[str]) -> Iterator[Worker]:
    with contextlib.closing(Worker(home, on_stopped=lambda _place, why: told.append(why))) as made:
        yield made


def train(worker: Worker, home: AgentHome) -> np.ndarray:
    return worker.train(PLAN, TASK, home.task(TASK.name), initial_weights(TASK), request="r")


def test_rounds_of_a_campaign_share_one_niced_child(worker: Worker, home: AgentHome, told: list[str]) -> None:
    first = train(worker, home)
    child = worker.process
    assert child is not None
    assert first.shape == (size(TASK),)
    assert np.isfinite(first).all()
    assert psutil.Process(child).nice() == psutil.Process().nice() + worker_module.NICENESS
    second = train(worker, home)
    assert worker.process == child
    assert not np.array_equal(first, second)
    assert told == []


def test_the_child_learns_from_the_rows(worker: Worker, home: AgentHome) -> None:
    """At almost no noise the update is the gradient's: two rounds agree with each other, and not with noise alone."""
    from dataclasses import replace

    quiet = replace(PLAN, noise_multiplier=1e-6, sample_rate=1.0, steps=1)
    place = home.task(TASK.name)
    first, second = (worker.train(quiet, TASK, place, initial_weights(TASK), request="r") for _ in range(2))
    assert np.allclose(first, second, atol=1e-4)
    assert np.linalg.norm(first) > 0.01


def test_a_survey_is_counted_in_the_child(worker: Worker, home: AgentHome) -> None:
    plan = SurveyPlan(
        run_id=1, task=TASK.name, revision=1, release=0, window=Window(), role="current", features=True,
        score_bins=10, feature_bins=5, score_noise_multiplier=5.0, feature_noise_multiplier=5.0,
    )  # fmt: skip
    report = worker.survey(plan, TASK, home.task(TASK.name))
    assert (report.run_id, report.release) == (1, 0)
    assert "site" in {histogram.name for histogram in report.histograms}


def test_an_idle_child_leaves_and_the_next_round_gets_another(home: AgentHome) -> None:
    with contextlib.closing(Worker(home, idle_seconds=0.5)) as worker:
        train(worker, home)
        first = worker.process
        until(lambda: worker.process is None)
        train(worker, home)
        assert worker.process not in (None, first)


def many_rows(home: AgentHome) -> None:
    """Words, because reading them takes its time."""
    rows = machine_rows(1000)
    pl.concat([rows] * 4000).write_csv(home.path.parent / "many.csv")


def killed(worker: Worker) -> Callable[[], None]:
    """Kill the child once it said that it has the work; before, another one takes its place."""
    at_work, wait = Event(), worker._await

    def noting(*arguments: Any) -> Any:
        at_work.set()
        return wait(*arguments)

    worker._await = noting  # type: ignore[method-assign]

    def act() -> None:
        assert at_work.wait(60)
        time.sleep(0.2)
        assert worker.process is not None
        os.kill(worker.process, signal.SIGKILL)

    return act


@pytest.mark.parametrize(
    ("ceilings", "why"),
    [(Ceilings(memory_mb=64), "ceiling is 64 MB"), (Ceilings(cpu_seconds=1.0), "ceiling is 1 s")],
)
def test_a_training_that_reaches_a_ceiling_is_stopped_and_answered_with_noise_alone(
    worker: Worker, home: AgentHome, told: list[str], ceilings: Ceilings, why: str
) -> None:
    many_rows(home)
    change(home, ceilings=ceilings, data=str(home.path.parent / "many.csv"))
    update = train(worker, home)
    assert np.isfinite(update).all()
    assert np.linalg.norm(update) > 0
    assert len(told) == 1
    assert why in told[0]
    assert worker.process is None


def test_a_child_that_is_killed_costs_no_more_than_the_charge(worker: Worker, home: AgentHome, told: list[str]) -> None:
    many_rows(home)
    change(home, data=str(home.path.parent / "many.csv"))
    killer = Thread(target=killed(worker))
    killer.start()
    update = train(worker, home)
    killer.join()
    assert np.isfinite(update).all()
    assert len(told) == 1
    change(home)
    assert np.isfinite(train(worker, home)).all()
    assert len(told) == 1


def test_the_child_does_not_outlive_the_agent(home: AgentHome) -> None:
    """The agent is killed as the machine's memory runs out: nothing of it goes on using any."""
    program = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "sys.path.insert(0, 'tests')\n"
        "from client.config import AgentHome\n"
        "from client.worker import Worker\n"
        "worker = Worker(AgentHome(Path(sys.argv[1])))\n"
        "worker._start()\n"
        "print(worker.process, flush=True)\n"
        "time.sleep(60)\n"
    )
    import subprocess
    import sys

    agent = subprocess.Popen([sys.executable, "-c", program, str(home.path)], stdout=subprocess.PIPE)
    assert agent.stdout is not None
    child = int(agent.stdout.readline())
    agent.kill()
    agent.wait()
    agent.stdout.close()
    until(lambda: not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE)


def test_the_place_of_a_request_that_was_cut_short_is_named(home: AgentHome) -> None:
    places: list[TaskHome] = []
    change(home, ceilings=Ceilings(memory_mb=64))
    many_rows(home)
    change(home, ceilings=Ceilings(memory_mb=64), data=str(home.path.parent / "many.csv"))
    with contextlib.closing(Worker(home, on_stopped=lambda place, _: places.append(place))) as worker:
        train(worker, home)
    assert [place.name for place in places] == [TASK.name]
