"""Campaigns whose rounds are committed without a fleet, and evaluations whose rows are chosen: what versions come from."""

import numpy as np
from releasing import Works

from server.records import CampaignRequest, EvaluationResult
from shared.drift import Histogram, groups_of
from shared.evaluation import CELLS
from shared.rounds import RoundPlan, RoundResult
from shared.tasks import Window

JANUARY = Window(start="2026-01-01", end="2026-02-01")
BINS = 10


def campaign(works: Works, base: int, rounds: int, *, plan: str = "", window: Window = JANUARY) -> list[int]:
    """A finished run of so many committed rounds from version `base`; returns their versions."""
    request = CampaignRequest(
        task=works.task.name, window=window, training=works.task.training, base_version=base, quorum=2, cohort=3,
        deadline_seconds=1.0, plan=plan,
    )  # fmt: skip
    run = works.store.queue_run(works.task.name, "train", request)
    made: list[int] = []
    for number in range(1, rounds + 1):
        base = commit(works, run, number, base, window)
        made.append(base)
    works.store.set_run_state(run, "finished")
    return made


def commit(works: Works, run: int, number: int, base: int, window: Window = JANUARY) -> int:
    """One round of three devices, of which one refused; returns its version."""
    training = works.task.training
    round_plan = RoundPlan(
        run_id=run, number=number, task=works.task.name, revision=works.task.revision, base_version=base, window=window,
        sample_rate=training.sample_rate, steps=training.steps, normalizer=training.normalizer,
        learning_rate=training.learning_rate, max_grad_norm=1.0, noise_multiplier=1.0, max_update_norm=10.0,
    )  # fmt: skip
    result = RoundResult(
        plan=round_plan, cohort=("ada", "ben", "cyd"), returned=("ada", "ben"), refusals={"cyd": "budget"},
        started_at=float(number), finished_at=float(number + 1), outcome="committed",
    )  # fmt: skip
    before = np.frombuffer(works.store.weights(base), dtype="<f4")
    after = before + np.float32(0.01) * np.random.default_rng([run, number]).normal(size=before.size).astype("<f4")
    momentum = np.full(before.size, run + number / 8, "<f4")
    return works.store.commit_round(
        result, weights=after.astype("<f4").tobytes(), momentum=momentum.tobytes(), revision=works.task.revision
    ).number


def evaluate(
    works: Works, version: int, *, rows: int = 4000, edge: float = 3.0, run: int = 0, noise: float = 2.0,
    sizes: tuple[float, ...] = (), blind: bool = False,
) -> EvaluationResult:  # fmt: skip
    """An evaluation in which scores of the last class lean up as `edge` grows.

    Each group has as many rows, unless `sizes` says its share; with `blind`, rows of the first one score low whatever
    their class.
    """
    lean = np.linspace(-1, 1, BINS)
    shares = np.stack([np.exp(-edge * lean), np.exp(edge * lean)])
    shares /= shares.sum(axis=1, keepdims=True)
    groups = len(groups_of(works.task))
    each = np.array(sizes or [1 / groups] * groups)
    counts = rows / 2 * each[:, None, None] * shares
    if blind:
        counts[0, 1] = counts[0, 0]
    result = EvaluationResult(
        run_id=run or 100 + version, task=works.task.name, revision=works.task.revision, version=version, window=JANUARY,
        devices=3, score_bins=BINS,
        cells=Histogram(
            name=CELLS, edges=tuple(map(float, range(counts.size + 1))), counts=tuple(counts.ravel().tolist()), noise=noise
        ),
        at=float(version),
    )  # fmt: skip
    works.store.add_evaluation(result)
    return result
