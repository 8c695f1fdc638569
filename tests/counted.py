"""What devices would count for a canary's survey: seeded rows and seeded noise, device by device."""

from dataclasses import dataclass

import numpy as np
from machines import small_task
from numpy.typing import NDArray

from shared.drift import OUTCOMES, SCORE, DriftReport, Histogram, SurveyPlan, edges_of, groups_of
from shared.lifecycle import Gates
from shared.tasks import DriftSettings, Task, Window

NOISE = 5.0
TASK = small_task(
    drift=DriftSettings(
        score_bins=10, feature_bins=5, score_noise_multiplier=NOISE, feature_noise_multiplier=5.0, alarm_psi=0.2,
        outcome_noise_multiplier=NOISE,
    ),
    groups=("site",),
)  # fmt: skip


def plan_of(task: Task = TASK, *, release: int = 2) -> SurveyPlan:
    return SurveyPlan(
        run_id=1, task=task.name, revision=1, release=release, window=Window(), role="current", features=False,
        score_bins=10, feature_bins=5, score_noise_multiplier=NOISE, feature_noise_multiplier=5.0,
        outcome_noise_multiplier=task.drift.outcome_noise_multiplier,
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Model:
    """How a release scores: late rows lie `apart` higher (in deviations), and rows of the south by `lean`."""

    apart: float = 1.0
    lean: float = 0.0


def report(
    random: np.random.Generator,
    model: Model,
    *,
    task: Task = TASK,
    rows: int = 200,
    own: float = 0.0,
    noise: float = NOISE,
) -> DriftReport:
    """One device: a third of its rows are positive; `own` moves this device's scores, as its place might."""
    groups = len(groups_of(task))
    positive, group = random.random(rows) < 1 / 3, random.integers(0, 2, rows) % groups
    logit = -0.7 + model.apart * (positive - 0.5) + model.lean * (group == 1) + own + random.normal(0, 1, rows)
    bins = np.minimum((10 / (1 + np.exp(-logit))).astype(int), 9)
    counts = np.zeros((groups, 2, 10))
    np.add.at(counts, (group, positive.astype(int), bins), 1)
    tables = {SCORE: counts.sum(axis=(0, 1)), OUTCOMES: counts.ravel()}
    found = [
        Histogram(name=one.name, edges=one.edges, counts=_noisy(random, tables[one.name], noise), noise=one.noise)
        for one in edges_of(task, plan_of(task))
    ]
    return DriftReport(run_id=1, release=2, histograms=tuple(found))


def _noisy(random: np.random.Generator, counts: NDArray[np.float64], noise: float) -> tuple[float, ...]:
    return tuple((counts + np.rint(random.normal(0, noise, counts.shape))).tolist())


def strict(limit: float) -> Task:
    """The same task, whose gate bounds the score's drift."""
    return small_task(drift=TASK.drift, groups=("site",), gates=Gates(max_score_drift=limit))
