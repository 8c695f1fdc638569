"""A believable agent in a real home: a machine at an airport, two tasks, a year's first week of predictions."""

import hashlib
from collections.abc import Generator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from client import hardware
from client.attributiongraph import build_graph
from client.audit import AuditLog
from client.config import AgentHome, TaskHome
from client.explanation import explain
from client.installed import EXPLANATION, SelfTest, Tuned, file_of, point_to
from client.policy import fingerprint
from client.policyfile import render
from client.predictions import PredictionLog
from client.served import Served
from client.settings import AgentSettings, Period, TaskGrant
from client.store import AgentStore
from client.vault import Vault
from server.export import export
from shared import wire
from shared.architecture import size
from shared.feeds import to_feeds
from shared.models import Artifact, Release
from shared.privacy import Cost, PrivacyBudget, SampledGaussian
from shared.runtime import ask, open_model
from shared.synthetic import make_columns, to_records
from shared.tasks import Task, Window, read_task

NOW = 1_767_225_600.0  # 2026-01-01 00:00 UTC
MINUTE, HOUR, DAY = 60.0, 3600.0, 86_400.0
TASK = Path(__file__).parents[3] / "tasks" / "flights.toml"
REQUESTS = 26


@contextmanager
def at(moment: float) -> Generator[None]:
    """Let the agent stamp `moment` instead of the present."""
    with patch("time.time", return_value=moment):
        yield


def found(folder: Path, **settings: Any) -> AgentHome:
    """An agent that has only just joined: its policy, and a signed task that it agreed to."""
    home = AgentHome(folder)
    home.path.mkdir(parents=True, exist_ok=True)
    task = read_task(TASK)
    policy = AgentSettings(
        **{
            "name": "EWR-UA-desk-2",
            "coordinator": "covey.example:8443",
            "federation": "new-york",
            "budget": PrivacyBudget(epsilon=6.0, delta=1e-5),
            "period": Period(days=30.0, epsilon=3.5),
            "tasks": {task.name: TaskGrant(data="/home/ua/flights.parquet")},
        }
        | settings
    )
    home.settings_file.write_text(render(policy), encoding="utf-8")
    sign(home.task(task.name), task)
    with closing(AgentStore(home.database)) as store, at(NOW - 3 * DAY):
        store.agree(task.name, fingerprint(task), words=explain(task, budget=policy.budget, data="your rows"))
    return home


def sign(place: TaskHome, task: Task) -> None:
    """Keep a task as if it had been verified."""
    place.signed.parent.mkdir(parents=True, exist_ok=True)
    place.signed.write_bytes(wire.to_json(task))


def tell(folder: Path, **settings: Any) -> AgentHome:
    """The whole story: a campaign, two surveys, refusals, a release, and a week of predictions."""
    home = found(folder, **settings)
    place, task = home.task("flights"), read_task(TASK)
    spend(home, task)
    weights = np.random.default_rng(2).normal(0, 0.35, size(task)).astype(np.float32)
    release(place, task, weights, number=2)
    predict(place, task, weights, release_number=2)
    return home


def spend(home: AgentHome, task: Task) -> None:
    """26 replies, each charged and listed, and three requests that were declined."""
    training = SampledGaussian(
        noise_multiplier=task.training.noise_multiplier,
        sample_rate=task.training.sample_rate,
        steps=task.training.steps,
    )
    counting = SampledGaussian(noise_multiplier=20.0, sample_rate=1.0, steps=1)
    with closing(AgentStore(home.database)) as store, closing(AuditLog(home)) as log:
        with at(NOW - 3 * DAY):
            log.add("enrolment", purpose="asked to join new-york as EWR-UA-desk-2", content=b"key" * 60)
        for number in range(1, REQUESTS + 1):
            survey, began = number % 13 == 0, NOW - 2 * DAY + number * 100 * MINUTE
            purpose = f"drift survey of release {number // 13}" if survey else f"run 4, round {number - number // 13}"
            with at(began):
                with store.transaction():
                    store.add_charge(f"r{number}", task.name, purpose, Cost(record=(counting if survey else training,)))
                store.seal(f"r{number}", b"reply")
                content = bytes([number]) * (3_180 if survey else 14_212)
                log.add("survey" if survey else "training update", task=task.name, purpose=purpose, content=content)
                if number < REQUESTS:
                    store.close_charge(f"r{number}", "sent")
        for hours, category, detail in (
            (30, "not-now", "the machine is not idle"),
            (9, "plan", "noise_multiplier is 0.8, below the 1.0 demanded here"),
            (2, "not-now", "the connection is metered"),
        ):
            with at(NOW - hours * HOUR):
                store.add_refusal(task.name, category, detail)
                log.add("refusal", task=task.name, purpose=f"declined: {category}", content=category.encode())


def release(place: TaskHome, task: Task, weights: np.ndarray, *, number: int) -> None:
    """A release that answers here, with the graph that explains it."""
    directory = place.releases / str(number)
    directory.mkdir(parents=True)
    fp32 = export(task, weights, version=21)
    files = {"fp32": fp32, "task": wire.to_json(task)}
    for name, data in files.items():
        file_of(directory, name).write_bytes(data)
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    artifacts = {name: Artifact(path=name, sha256=digests[name], bytes=len(data)) for name, data in files.items()}
    signed = Release(
        number=number, task=task.name, revision=1, version=21, trained_on=Window(end="2013-07-01"), artifacts=artifacts
    )
    graph = build_graph(task, fp32)
    (directory / EXPLANATION).write_bytes(graph)
    tried = SelfTest(precision="fp32", fp32_us=9.0, int8_us=11.0)
    tuned = Tuned(
        source=digests["fp32"], runtime=hardware.runtime_version(), processor=hardware.processor(), tried=tried,
        file="fp32.onnx", sha256=digests["fp32"], explanation=hashlib.sha256(graph).hexdigest(),
    )  # fmt: skip
    for name, document in {"release": signed, "selftest": tried, "tuned": tuned}.items():
        (directory / f"{name}.json").write_bytes(wire.to_json(document))
    point_to(place, number)


def predict(place: TaskHome, task: Task, weights: np.ndarray, *, release_number: int, rows: int = 90) -> None:
    """A week of predictions; some outcomes have come."""
    columns = make_columns(task, rows, seed=11)
    scores = ask(open_model(export(task, weights, version=21)), to_feeds(task, columns))
    ones = [
        Served(
            id=f"p{number:03}", at=NOW - 40 - (rows - number) * 97 * MINUTE, release=release_number, version=21,
            record={name: _clean(cell) for name, cell in record.items()}, scores=tuple(map(float, scores[number])),
        )
        for number, record in enumerate(to_records(columns))
    ]  # fmt: skip
    with predictions(place) as log:
        log.add(ones)
        log.outcomes([(one.id, task.label.classes[index % 3 == 0]) for index, one in enumerate(ones) if index % 4 == 1])


@contextmanager
def predictions(place: TaskHome) -> Generator[PredictionLog]:
    """The task's predictions, as the agent opens them."""
    with closing(PredictionLog(place.predictions, Vault.open(place.home))) as log:
        yield log


def labels(place: TaskHome) -> dict[str, str]:
    """What is known of each prediction."""
    with predictions(place) as log:
        return {one.id: one.label for one in log.recent(1000) if one.label is not None}


def waiting(place: TaskHome, now: float = NOW) -> Sequence[str]:
    """The predictions that wait for a label, in the order in which they are asked about."""
    from client.queue import read_queue

    with predictions(place) as log:
        return [one.id for one in read_queue(log, place.signed_task(), now=now).first]


def _clean(cell: Any) -> Any:
    """A number that is missing is None in a record, and a rounded one reads better."""
    if isinstance(cell, float):
        return None if np.isnan(cell) else round(cell, 1)
    return cell
