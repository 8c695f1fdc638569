"""A believable federation in a real store: three airports' machines, two campaigns, two releases, three surveys."""

import hashlib
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
from screens import lifecycle_story
from screens.lifecycle_story import at

from server.config import Federation
from server.drift import alarm, shifts
from server.records import CampaignRequest, GateVerdict, Progress, SurveyRequest, SurveyResult
from server.store import Store
from shared.drift import Histogram, SurveyPlan, SurveyRole, edges_of
from shared.enrolment import Bucket
from shared.models import Artifact, Release
from shared.rounds import Phase, RoundPlan, RoundResult
from shared.tasks import Task, Window, read_task

NOW = 1_767_225_600.0  # 2026-01-01 00:00 UTC
DAY = 86_400.0
TASK = Path(__file__).parents[2] / "tasks" / "flights.toml"
FLEET = ("EWR-B6", "EWR-DL", "EWR-UA", "JFK-AA", "JFK-B6", "JFK-DL", "LGA-DL", "LGA-MQ")
CANARY = ("JFK-DL", "EWR-UA", "LGA-DL", "JFK-B6")
"""The half of the fleet that draws release 2 first."""
AFFORDS: tuple[Bucket, ...] = ("2-4", "1", "5+", "0", "2-4", "1")
"""What the owners of the first six machines let the coordinator know; the last two tell nothing."""
OWNERS = {"EWR": "newark", "JFK": "kennedy"}
"""Whose the machines are, where an invitation says so."""
WEATHER = {"temp", "dewpoint", "humidity", "pressure", "wind_speed", "visibility"}
FIRST, SECOND = Window(end="2013-07-01"), Window(start="2013-07-01", end="2013-10-01")


def found(home: Path) -> Store:
    """An empty federation: its settings file and an empty store."""
    home.mkdir(parents=True, exist_ok=True)
    Federation(home).settings_file.write_text('name = "new-york"\n', encoding="utf-8")
    return Store(Federation(home).database)


def tell(home: Path) -> Store:
    """The whole story, up to round 7 of the second campaign."""
    store = found(home)
    task = lifecycle_story.flights(TASK)
    with at(NOW - 3 * DAY):
        store.add_task(task)
        store.add_initial_version(task.name, task.revision, weights(0))
    enrol(store)
    first = campaign(store, task, window=FIRST, base=1, began=NOW - 2 * DAY, rounds=20)
    with at(NOW - 2 * DAY + 240):
        store.set_run_state(first, "finished", "20 rounds committed")
    publish(store, number=1, version=12, moment=NOW - 2 * DAY + 600)
    publish(store, number=2, version=21, moment=NOW - 1 * DAY)
    survey(store, task, "reference", FIRST, moment=NOW - 20 * 3600, moved=set())
    survey(store, task, "current", Window(start="2013-07-01", end="2013-08-01"), moment=NOW - 4 * 3600, moved={"temp"})
    survey(store, task, "current", SECOND, moment=NOW - 3 * 3600, moved=WEATHER)
    second = campaign(store, task, window=SECOND, base=21, began=NOW - 84, rounds=6)
    with at(NOW - 3):
        store.set_progress(
            Progress(
                run_id=second, round_number=7, rounds=20, phase="training", cohort=7, returned=4, refused=1, at=NOW - 3
            )
        )
    live_on(store, task)
    return store


def live_on(store: Store, task: Task) -> None:
    """What became of the versions: tests, two rollouts, health, a policy."""
    lifecycle_story.evaluate(store, task, now=NOW)
    lifecycle_story.gate(store, now=NOW)
    lifecycle_story.trace(store, {12: 1, 21: 2})
    lifecycle_story.roll_out(store, now=NOW)
    lifecycle_story.fare(store, 1, dict.fromkeys(FLEET, "serves"), moment=NOW - 1.3 * DAY)
    lifecycle_story.fare(store, 2, dict.fromkeys(CANARY[:3], "serves"), moment=NOW - 1800)
    lifecycle_story.decide(store, now=NOW)
    lifecycle_story.write_down(store, now=NOW)


def enrol(store: Store) -> None:
    """Eight machines that take part, one that waits, one that was shut out."""
    for index, name in enumerate((*FLEET, "PHL-AA", "BOS-WN")):
        with at(NOW - 3 * DAY + 60 * index):
            token = hashlib.sha256(name.encode()).hexdigest()
            store.add_invitation(token, NOW, owner=OWNERS.get(name[:3], ""))
            store.enrol(token, name, f"key of {name}".encode())
    for index, name in enumerate(FLEET):
        store.set_device_state(name, "approved")
        affords = {"flights": AFFORDS[index]} if index < len(AFFORDS) else None
        said = f"self-test passed, {9 + index} µs a prediction"
        store.set_installed(name, 2 if name in CANARY else 1, said, affords=affords)
        seen = NOW - (2_700 if name == "LGA-MQ" else 2 + index * 1.1)
        store.touch_device(name, at=seen, bytes_up=214_000 + 9_100 * index, bytes_down=388_000 + 7_700 * index)
    store.set_device_state("BOS-WN", "revoked")
    store.touch_device("BOS-WN", at=NOW - 1.5 * DAY, bytes_up=40_200, bytes_down=61_000)


def campaign(store: Store, task: Task, *, window: Window, base: int, began: float, rounds: int) -> int:
    """Queue a campaign and commit its first `rounds` rounds; `LGA-MQ` runs out of budget late in the first one."""
    request = CampaignRequest(
        task=task.name, window=window, training=task.training, base_version=base, quorum=4, cohort=8,
        deadline_seconds=120.0,
    )  # fmt: skip
    with at(began - 2):
        run = store.queue_run(task.name, "train", request)
    with at(began):
        store.set_run_state(run, "running")
    for number in range(1, rounds + 1):
        start = began + 11.5 * (number - 1)
        result = round_of(task, run, number, base + number - 1, window, start)
        with at(result.finished_at):
            store.commit_round(result, weights=weights(base + number), momentum=b"", revision=task.revision)
    return run


def round_of(task: Task, run: int, number: int, base: int, window: Window, start: float) -> RoundResult:
    """One round: one machine refuses from the 17th round on, another is too slow in the 9th."""
    training = task.training
    cohort = FLEET if run == 1 else FLEET[:7]
    refusals = (
        {"LGA-MQ": "budget"} if run == 1 and number >= 17 else {"JFK-AA": "consent"} if run > 1 and number > 4 else {}
    )
    failures = {"EWR-DL": "no answer in time"} if number == 9 else {}
    plan = RoundPlan(
        run_id=run, number=number, task=task.name, revision=task.revision, base_version=base, window=window,
        sample_rate=training.sample_rate, steps=training.steps, normalizer=training.normalizer,
        learning_rate=training.learning_rate, max_grad_norm=training.max_grad_norm,
        noise_multiplier=training.noise_multiplier, max_update_norm=training.max_update_norm,
    )  # fmt: skip
    took = 9.4 + 1.6 * math.sin(number * 1.7) + (6 if failures else 0)
    return RoundResult(
        plan=plan, cohort=cohort, returned=tuple(n for n in cohort if n not in refusals and n not in failures),
        refusals=refusals, failures=failures, started_at=start, finished_at=start + took, outcome="committed",
        phases=(Phase(name="waiting for devices", at=0.0), Phase(name="training", at=0.4)), answered=answers(cohort, failures, took),
    )  # fmt: skip


def answers(cohort: tuple[str, ...], failures: dict[str, str], took: float) -> dict[str, float]:
    """When each machine answered: the last one is who the round waited for."""
    there = [name for name in cohort if name not in failures]
    return {
        name: round(0.6 + (took - 0.7) * (0.25 + 0.75 * (index + 1) ** 3 / len(there) ** 3), 3)
        for index, name in enumerate(there)
    }


def publish(store: Store, *, number: int, version: int, moment: float) -> None:
    """One release with the verdicts of its gates."""
    store.add_release(
        Release(
            number=number, task="flights", revision=1, version=version, trained_on=FIRST, published_at=int(moment),
            staged=True, fallback=number - 1,
            artifacts={
                name: Artifact(
                    path=f"releases/flights/{number}/{name}.onnx", bytes=size,
                    sha256=hashlib.sha256(f"{name}{number}".encode()).hexdigest(),
                )
                for name, size in (("fp32", 14_212), ("int8", 9_871))
            },
        ),
        [
            GateVerdict(name="parity with torch", expected="≤ 1e-05", found="3.1e-07", passed=True),
            GateVerdict(name="int8 loss", expected="≤ 0.05", found="0.0042", passed=True),
            GateVerdict(name="size", expected="≤ 1.0 MB", found="14.2 kB", passed=True),
            GateVerdict(name="latency", expected="≤ 1000 µs", found="8.3 µs", passed=True),
        ],
    )  # fmt: skip


def survey(store: Store, task: Task, role: SurveyRole, window: Window, *, moment: float, moved: set[str]) -> None:
    """One finished survey; the columns in `moved` slide to the right."""
    request = SurveyRequest(
        task=task.name, release=2, window=window, role=role, features=True, quorum=4, deadline_seconds=60.0
    )
    with at(moment - 20):
        run = store.queue_run(task.name, "survey", request)
        store.set_run_state(run, "running")
    merged = counts(task, run, role, window, moved)
    reference = next((s for s in store.surveys() if s.role == "reference"), None)
    found_shifts = shifts(reference.histograms, merged, devices=8) if reference else ()
    result = SurveyResult(
        run_id=run, task=task.name, release=2, role=role, window=window, devices=8, histograms=merged,
        shifts=found_shifts, alarm=alarm(found_shifts, task.drift), at=moment,
    )  # fmt: skip
    store.add_survey(result)
    with at(moment):
        store.set_run_state(run, "finished", "8 devices answered")


def counts(
    task: Task, run: int, role: SurveyRole, window: Window, moved: set[str], *, by: float = 0.24, devices: int = 8
) -> tuple[Histogram, ...]:
    """Bell-shaped noisy counts over machines of about 2,000 rows each; the columns in `moved` slide by a share of their range."""
    plan = SurveyPlan(
        run_id=run, task=task.name, revision=1, release=2, window=window, role=role, features=True,
        score_bins=task.drift.score_bins, feature_bins=task.drift.feature_bins,
        score_noise_multiplier=task.drift.score_noise_multiplier,
        feature_noise_multiplier=task.drift.feature_noise_multiplier,
    )  # fmt: skip
    random = np.random.default_rng(run)
    histograms: list[Histogram] = []
    for bins in edges_of(task, plan):
        noise = bins.noise * math.sqrt(devices)
        middle = 0.42 + (by if bins.name in moved else by / 3 * (len(moved) > 1) * (bins.name == "score"))
        place = (np.arange(bins.size) + 0.5) / bins.size
        bell = np.exp(-(((place - middle) / 0.22) ** 2))
        values = 2_000 * devices * bell / bell.sum() + random.normal(0, noise, bins.size)
        histograms.append(
            Histogram(name=bins.name, edges=bins.edges, counts=tuple(float(v) for v in values.round(1)), noise=noise)
        )
    return tuple(histograms)


def weights(seed: int) -> bytes:
    """Some weights, different for each seed."""
    return np.full(16, seed, dtype="<f4").tobytes()


def without_run(home: Path) -> Store:
    """The same story with its last campaign ended, so that another can start."""
    store = tell(home)
    with at(NOW - 1):
        store.set_run_state(store.runs()[-1].id, "stopped", "an operator stopped it")
    return store


def second_task(store: Store) -> None:
    """Another task beside the first."""
    task = read_task(TASK)
    store.add_task(replace(task, name="gates", title="Which gate is free"))
