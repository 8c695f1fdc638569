"""What became of the story's versions: evaluations, gates, the rollouts of two releases, health, and what the policy decided."""

import math
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import numpy as np

from server.records import Decision, EvaluationResult, GateVerdict, Lineage
from server.stages import following, share_of
from server.store import Store
from shared.drift import Histogram
from shared.evaluation import CELLS
from shared.health import Health, Verdict
from shared.lifecycle import Evaluation, Gates, Retraining, RolloutTerms
from shared.rollout import Rollout, RolloutState
from shared.tasks import Task, Window, read_task

HOUR = 3600.0
HELD_OUT = Window(start="2013-06-01", end="2013-07-01")
BINS = 20
STAGES = (25.0, 50.0, 100.0)
QUALITY = {1: 0.02, 12: 0.60, 21: 0.78, 25: 0.80, 27: 0.84}
"""How far the scores of late flights lie above the others, in standard deviations, by version."""


@contextmanager
def at(moment: float) -> Generator[None]:
    """Let the store stamp `moment` instead of the present."""
    with patch("time.time", return_value=moment):
        yield


def flights(file: Path) -> Task:
    """The task of the file, with terms for its versions' life after training."""
    return replace(
        read_task(file),
        evaluation=Evaluation(noise_multiplier=10.0, score_bins=BINS),
        rollout=RolloutTerms(stages=STAGES, period_hours=6.0, shadow=True),
        retraining=Retraining(window_days=90, pause_days=7, max_epsilon=6.0),
        gates=Gates(min_auc=0.62, max_calibration_error=0.1, max_score_drift=0.25, max_epsilon=6.0, confidence=0.95),
    )


def evaluate(store: Store, task: Task, *, now: float) -> None:
    """Five versions counted on held-out rows."""
    for version, apart in QUALITY.items():
        store.add_evaluation(
            EvaluationResult(
                run_id=900 + version, task=task.name, revision=task.revision, version=version, window=HELD_OUT,
                devices=8, score_bins=BINS, cells=cells(apart, seed=version), at=now - 60 + version,
            )
        )  # fmt: skip


def cells(apart: float, *, seed: int) -> Histogram:
    """Noisy counts of 12,000 flights on time and 4,000 late ones, by score."""
    place = (np.arange(BINS) + 0.5) / BINS
    on_time = np.exp(-(((place - 0.30) / 0.26) ** 2))
    late = np.exp(-(((place - 0.30 - 0.16 * apart / 0.8) / 0.26) ** 2))
    values = np.concatenate([12_000 * on_time / on_time.sum(), 4_000 * late / late.sum()])
    noise = 10.0 * math.sqrt(8)
    noisy = values + np.random.default_rng(seed).normal(0, noise, values.size)
    edges = tuple(map(float, range(values.size + 1)))
    return Histogram(name=CELLS, edges=edges, counts=tuple(float(v) for v in noisy.round(1)), noise=noise)


def gate(store: Store, *, now: float) -> None:
    """The tests of the newest candidate: one failed, one undecided."""
    verdicts = (
        GateVerdict(name="form", expected="standard operators, nothing outside", found="as expected", passed=True),
        GateVerdict(name="parity with torch", expected="at most 1e-05", found="2.9e-07", passed=True),
        GateVerdict(name="int8 loss", expected="at most 0.05", found="0.0047", passed=True),
        GateVerdict(name="size", expected="at most 1,000,000 bytes", found="14212 bytes", passed=True),
        GateVerdict(name="latency", expected="at most 1,000 us", found="8.1 us", passed=True),
        GateVerdict(name="AUC", expected="at least 0.62", found="0.751 (0.725 to 0.776)", passed=True),
        GateVerdict(name="calibration error", expected="at most 0.1",
                    found="0.113 (0.077 to 0.131)", passed=False, undecided=True),
        GateVerdict(name="score drift", expected="at most 0.25", found="0.31", passed=False),
        GateVerdict(name="epsilon", expected="at most 6", found="3.24", passed=True),
    )  # fmt: skip
    with at(now - 30):
        store.add_gating(27, verdicts)


def trace(store: Store, releases: Mapping[int, int]) -> None:
    """Where each version's code came from, and who promoted the released ones."""
    for version in store.versions():
        by = {"promoted_by": "ada", "command": f"covey promote {version.number}"} if version.number in releases else {}
        store.set_lineage(Lineage(version=version.number, code="0.1.0", contract="5f1c" * 16, **by))


def roll_out(store: Store, *, now: float) -> None:
    """Release 1 came to everyone; release 2 has come to half."""
    began = now - 48 * HOUR + 600
    for stage, hours, why in (
        (25, 0.0, "published: the canary comes first, 25 % of the fleet"),
        (50, 6.0, "2 of 2 devices said how they fare: all serve"),
        (100, 12.0, "4 of 4 devices said how they fare: all serve"),
    ):
        step(store, 1, stage, moment=began + hours * HOUR, why=why)
    step(store, 1, 100, moment=began + 18 * HOUR, why="7 of 8 devices said how they fare: all serve", to="complete")
    step(store, 2, 25, moment=now - 24 * HOUR, why="published: the canary comes first, 25 % of the fleet")
    step(store, 2, 50, moment=now - 4 * HOUR, why="2 of 2 devices said how they fare: all serve")


def step(store: Store, release: int, stage: int, *, moment: float, why: str, to: RolloutState = "rolling") -> None:
    """One more signed document, and what it makes of the version; whoever is next looks on."""
    number, terms = len(store.rollouts("flights")) + 1, RolloutTerms(stages=STAGES)
    found = next(each for each in store.releases("flights") if each.number == release)
    fleet = [device.name for device in store.devices() if device.state == "approved"]
    after, halted = following(terms, stage * 100), to == "halted"
    shadow = share_of(found, fleet, after) if after and to == "rolling" else 0
    share = 0 if halted else share_of(found, fleet, stage)
    rollout = Rollout(
        number=number, task="flights", release=release, share_bp=share, shadow_bp=shadow, state=to, stage_bp=stage * 100
    )
    store.add_rollout(rollout, why=why, at=moment)
    if to in {"complete", "halted"}:
        store.set_stage(found.version, "halted" if halted else "released")


def fare(store: Store, release: int, verdicts: Mapping[str, Verdict], *, moment: float) -> None:
    """What devices say of a release, on made-up records."""
    for index, (name, verdict) in enumerate(verdicts.items()):
        time = {"serves": 9 + index, "slow": 1_840}.get(verdict, 0)
        said = Health(task="flights", release=release, verdict=verdict, p95_us=time)
        store.put_health(name, [said], at=moment)


def decide(store: Store, *, now: float) -> None:
    """The policy waited, asked, and started when it was told to."""
    for decision in (
        Decision(task="flights", at=now - 4 * HOUR, act="wait", why="no detector alarms: score PSI 0.01, alarm at 0.1",
                 informed=("temp",)),
        Decision(task="flights", at=now - 3 * HOUR, act="ask", why="score PSI 0.13 is above the alarm, 0.1",
                 alarms=("psi",), informed=("temp", "dewpoint", "humidity", "pressure", "wind_speed", "visibility")),
        Decision(task="flights", at=now - 84, act="start", why="ada accepted: score PSI 0.13 is above the alarm, 0.1",
                 alarms=("psi",), run_id=5),
    ):  # fmt: skip
        store.add_decision(decision)


ACTS = (
    (72.2, "operator", "init", "federation new-york", "covey init new-york --host 10.0.0.5"),
    (72.1, "coordinator", "serve", "port 9090", "covey serve"),
    (72.0, "operator", "task", "flights revision 1", "covey task tasks/flights.toml"),
    (71.9, "operator", "invite", "one device of newark, for 24 hours", "covey invite --owner newark"),
    (71.8, "coordinator", "enrol", "EWR-B6", ""),
    (71.7, "operator", "approve", "EWR-B6 5fb0a9aa28ef7d2c", "covey approve EWR-B6"),
    (48.0, "operator", "start", "run 1 of flights: 20 rounds", "covey start flights --rounds 20 --window ..2013-07-01 --detach"),
    (47.9, "operator", "promote", "flights: version 12 is release 1", "covey promote 12"),
    (36.0, "operator", "revoke", "BOS-WN 0b1fd6c9cb7e1a54", "covey revoke BOS-WN"),
    (24.0, "operator", "promote", "flights: version 21 is release 2", "covey promote 21"),
    (4.0, "coordinator", "advance", "flights: release 2, 50 % of the fleet: 2 of 2 devices said how they fare: all serve", ""),
    (3.0, "coordinator", "retrain", "flights: ask: score PSI 0.13 is above the alarm, 0.1", ""),
    (1.2, "operator", "backup", "backup-20251231.tar.zst, 1.4 MB", "covey backup /mnt/backups/backup-20251231.tar.zst"),
    (0.03, "operator", "start", "run 5 of flights: 20 rounds",
     "covey start flights --rounds 20 --quorum 4 --window 2013-07-01..2013-10-01 --deadline 120 --mode local --base-version 21 --detach"),
)  # fmt: skip
"""Hours before the present, who, what, and by which command."""


def write_down(store: Store, *, now: float) -> None:
    """What operators and the coordinator did, in short."""
    for hours, actor, act, detail, command in ACTS:
        with at(now - hours * HOUR):
            store.audit(actor, act, detail, command=command)
