"""A made federation of thousands of devices at rest, and somebody who touches some of them without rest."""

import random
import threading
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

from server.config import Federation
from server.records import CampaignRequest
from server.store import Store
from shared.rounds import RoundPlan, RoundResult
from shared.tasks import Task, Window, read_task

TASK = Path(__file__).parents[2] / "tasks" / "flights.toml"
ROUNDS, COHORT, REFUSING = 20, 500, 20
RESTING = (600.0, 3600.0)
"""Seconds since its devices spoke."""


def names(devices: int) -> list[str]:
    """The devices, in the order in which the terminal lists them."""
    return [f"device-{number:05d}" for number in range(devices)]


def make(home: Path, devices: int) -> Federation:
    """A federation whose devices were all approved, and took part in a campaign of `ROUNDS` rounds."""
    home.mkdir(parents=True)
    federation = Federation(home)
    federation.settings_file.write_text('name = "bench"\n', encoding="utf-8")
    store, task, draw = Store(federation.database), read_task(TASK), random.Random(1)  # noqa: S311 - made data
    store.add_task(task)
    store.add_initial_version(task.name, task.revision, b"\0" * 64)
    fleet = names(devices)
    for name in fleet:
        store.add_invitation(name, time.time() + 3600)
        store.enrol(name, name, f"key of {name}".encode() * 8)
        store.set_device_state(name, "approved")
        store.set_installed(name, 1, "self-test passed, 9 µs a prediction")
    for name in fleet:
        store.touch_device(name, at=time.time() - draw.uniform(*RESTING), bytes_up=214_000, bytes_down=388_000)
    _campaign(store, task, fleet, draw)
    store.close()
    return federation


def _campaign(store: Store, task: Task, fleet: Sequence[str], draw: random.Random) -> None:
    request = CampaignRequest(
        task=task.name, window=Window(), training=task.training, base_version=1, quorum=COHORT // 2, cohort=COHORT,
        deadline_seconds=300.0,
    )  # fmt: skip
    run = store.queue_run(task.name, "train", request)
    store.set_run_state(run, "running")
    for number in range(1, ROUNDS + 1):
        store.commit_round(_round(task, run, number, fleet, draw), weights=b"\1" * 64, momentum=b"", revision=1)
    store.set_run_state(run, "finished")


def _round(task: Task, run: int, number: int, fleet: Sequence[str], draw: random.Random) -> RoundResult:
    cohort = tuple(sorted(draw.sample(fleet, min(COHORT, len(fleet)))))
    training, now = task.training, time.time() - RESTING[1]
    plan = RoundPlan(
        run_id=run, number=number, task=task.name, revision=task.revision, base_version=number, window=Window(),
        sample_rate=training.sample_rate, steps=training.steps, normalizer=training.normalizer,
        learning_rate=training.learning_rate, max_grad_norm=training.max_grad_norm,
        noise_multiplier=training.noise_multiplier, max_update_norm=training.max_update_norm,
    )  # fmt: skip
    return RoundResult(
        plan=plan, cohort=cohort, returned=cohort[REFUSING:], refusals=dict.fromkeys(cohort[:REFUSING], "not-now"),
        failures={}, started_at=now + 20 * number, finished_at=now + 20 * number + 12, outcome="committed",
    )  # fmt: skip


@contextmanager
def touched(federation: Federation, fleet: Sequence[str], *, each_second: int) -> Generator[None]:
    """Let devices speak, each in a transaction of its own, while the block runs."""
    stop = threading.Event()

    def speak() -> None:
        store, draw = Store(federation.database), random.Random(2)  # noqa: S311 - made data
        while not stop.wait(1 / each_second):
            store.touch_device(draw.choice(fleet), at=time.time(), bytes_up=900, bytes_down=1_700)
        store.close()

    thread = threading.Thread(target=speak)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
