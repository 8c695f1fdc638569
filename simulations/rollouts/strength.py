"""What the charged test finds on this ground: the power that the formula promises, and the one that drawn fleets show."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from server import metrics
from server.evidence import compare
from server.power import Ground, gap_power, power, smallest_canary
from shared import accounting
from shared.drift import OUTCOMES, SCORE, DriftReport, Histogram, SurveyPlan, edges_of, groups_of
from shared.tasks import Window
from simulations.rollouts.candidates import biased, inverted
from simulations.rollouts.ground import ROWS, SITES, TASK, Weights, draw, learn, own_load, scores_of

Counts = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Strength:
    """How sure a canary of `canary` devices finds an `effect`, by the formula and by drawn fleets.

    `smallest` is the canary that would do; None where half of the fleet does not.
    """

    name: str
    effect: float
    canary: int
    promised: float
    found: float
    smallest: int | None


def strengths(devices: int, canary: int, *, fleets: int) -> tuple[Strength, ...]:
    """Of inverted labels, of a bias, and of no difference at all, over `fleets` drawn fleets each."""
    right, labels, lean = learn(seed=2), inverted(learn(seed=2)), biased(learn(seed=2))
    good, worse = area(right), area(labels)
    ground = Ground(
        devices=devices, positives=ROWS / 2, negatives=ROWS / 2, noise=TASK.drift.outcome_noise_multiplier or 0.0,
        score_bins=TASK.drift.score_bins, groups=len(groups_of(TASK)), auc=good,
    )  # fmt: skip
    drop, widening = good - worse, gap(lean) - gap(right)
    return (
        Strength(
            name="inverted", effect=drop, canary=canary, promised=power(ground, canary, drop),
            found=found(labels, "AUC", devices, canary, fleets), smallest=smallest_canary(ground, drop),
        ),
        Strength(
            name="biased", effect=widening, canary=canary, promised=gap_power(ground, canary, widening),
            found=found(lean, "group gap", devices, canary, fleets),
            smallest=smallest_canary(ground, widening, of=gap_power),
        ),
        Strength(
            name="good", effect=0.0, canary=canary, promised=power(ground, canary, 0.0),
            found=found(right, "AUC", devices, canary, fleets), smallest=None,
        ),
    )  # fmt: skip


def epsilon(surveys: int) -> float:
    """What so many canary surveys cost a row that is in all of them, at the task's delta."""
    return accounting.epsilon([*plan_of(1).events] * surveys, delta=TASK.privacy.delta)


def plan_of(release: int) -> SurveyPlan:
    """What a canary's survey asks."""
    drift = TASK.drift
    return SurveyPlan(
        run_id=1, task=TASK.name, revision=TASK.revision, release=release, window=Window(), role="current", features=False,
        score_bins=drift.score_bins, feature_bins=drift.feature_bins, score_noise_multiplier=drift.score_noise_multiplier,
        feature_noise_multiplier=drift.feature_noise_multiplier, outcome_noise_multiplier=drift.outcome_noise_multiplier,
    )  # fmt: skip


def found(weights: Weights, figure: str, devices: int, canary: int, fleets: int) -> float:
    """How often fleets whose canary runs `weights` raise an alarm on `figure`."""
    random, right, alarms = np.random.default_rng(11), learn(seed=1), 0
    for _ in range(fleets):
        counted = np.concatenate([cells_of(weights, random, canary), cells_of(right, random, devices - canary)])
        reports = [answer(random, cells) for cells in counted]
        compared = compare(TASK, reports[:canary], reports[canary:])
        alarms += any(each.alarm for each in compared if each.name == figure)
    return alarms / fleets


def answer(random: np.random.Generator, cells: Counts) -> DriftReport:
    """One device's exact counts as its agent would send them; noise comes from a seed here, not from the system."""
    exact = {SCORE: cells.sum(axis=(0, 1)), OUTCOMES: cells.ravel()}
    histograms = tuple(
        Histogram(
            name=bins.name, edges=bins.edges, noise=bins.noise,
            counts=tuple((exact[bins.name] + np.rint(random.normal(0, bins.noise, bins.size))).tolist()),
        )
        for bins in edges_of(TASK, plan_of(1))
    )  # fmt: skip
    return DriftReport(run_id=1, release=1, histograms=histograms)


def cells_of(weights: Weights, random: np.random.Generator, devices: int) -> Counts:
    """A period's exact counts on each of `devices`, of shape `(devices, groups, classes, bins)`."""
    bins, device = TASK.drift.score_bins, np.repeat(np.arange(devices), ROWS)
    own = np.repeat([own_load(random) for _ in range(devices)], ROWS)
    columns, stops = draw(random, devices * ROWS, own=own)
    place = np.minimum((scores_of(weights, columns) * bins).astype(np.int64), bins - 1)
    cells = np.zeros((devices, len(groups_of(TASK)), 2, bins), np.int64)
    np.add.at(cells, (device, (columns["site"] == SITES[1]).astype(np.int64), stops, place), 1)
    return cells


def area(weights: Weights) -> float:
    """The AUC on many rows, counted without noise."""
    negative, positive = _many(weights).sum(axis=0).astype(np.float64)
    return float(metrics.area(positive, negative))


def gap(weights: Weights) -> float:
    """The widest gap of a group on many rows, counted without noise."""
    cells = _many(weights)[: len(SITES)]
    middles = (np.arange(cells.shape[-1]) + 0.5) / cells.shape[-1]
    above, rows = (cells.sum(axis=1) * middles).sum(axis=-1) - cells[:, 1].sum(axis=-1), cells.sum(axis=(1, 2))
    return float(np.abs(above / rows - above.sum() / rows.sum()).max())


def _many(weights: Weights) -> Counts:
    """Of 200 devices together, shape `(groups, classes, bins)`."""
    return cells_of(weights, np.random.default_rng(12), 200).sum(axis=0)


def fewest(devices: int, percent: float) -> int:
    """How many devices a canary of `percent` holds."""
    return max(1, math.floor(devices * percent / 100))
