"""How good a version is, read off noisy cells of (group, label, score bin): AUC, PR-AUC, recall, precision, calibration.

Scores are those of the last class, as fine as the bins: two rows in one bin are tied. Counts are taken as they came,
negative ones too, because raising them to zero would invent rows in every empty cell.

Bounds cover both sampling and privacy noise. They come from `DRAWS` histograms that could as well have been counted:
each cell is drawn anew from a normal distribution around its noisy count, whose variance is that of the noise plus that
of a Poisson count, and the figure is read off each (a parametric bootstrap; Efron & Tibshirani, 1993, "An Introduction
to the Bootstrap", chapter 6). Only public and already noisy figures go in. The seed is fixed, so that one evaluation
always shows the same bars; no privacy depends on it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from server.estimates import CONFIDENCE, Estimate, bounded, unknown
from shared.drift import Histogram, groups_of
from shared.errors import InputError
from shared.tasks import Task

DRAWS = 2000
SEED = 2013

FEWEST_DEVIATIONS = 4.0
"""How far a total must stand out of its own noise before anything is divided by it."""

Floats = NDArray[np.float64]
Figure = Callable[[Floats, Floats], Floats]
"""From positives and negatives by rising score, each of shape `(..., bins)`, to figures of shape `(...)`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cells:
    """Noisy counts of shape `(groups, 2, bins)`: rows of any other class, then of the last, by rising score.

    `noise` is the variance that privacy added to each, `edges` are the scores between the bins, `(bins + 1,)`.
    """

    groups: tuple[str, ...]
    counts: Floats
    noise: Floats
    edges: tuple[float, ...]

    @property
    def whole(self) -> "Cells":
        """The same rows, groups aside."""
        counts, noise = (each.sum(axis=0, keepdims=True) for each in (self.counts, self.noise))
        return Cells(groups=("",), counts=counts, noise=noise, edges=self.edges)

    def of(self, group: int) -> "Cells":
        """The rows of one group, by its place."""
        here = slice(group, group + 1)
        return Cells(groups=self.groups[here], counts=self.counts[here], noise=self.noise[here], edges=self.edges)

    @property
    def variance(self) -> Floats:
        """Of each cell: the noise's and a Poisson count's; a count of none is not certain either."""
        return self.noise + np.maximum(self.counts, 0.0) + 1.0

    def drawn(self) -> tuple[Floats, Floats]:
        """Positives and negatives of all groups as they might have come, each of shape `(DRAWS, bins)`."""
        whole, random = self.whole, np.random.Generator(np.random.PCG64(SEED))
        spread = np.sqrt(whole.variance[0])
        negative, positive = np.moveaxis(random.normal(whole.counts[0], spread, (DRAWS, *spread.shape)), 1, 0)
        return positive, negative


def read(cells: Histogram, task: Task, score_bins: int) -> Cells:
    """The cells of an evaluation, or of a survey's outcomes; raise `InputError` where they are not the task's."""
    groups, classes = groups_of(task), len(task.label.classes)
    if len(cells.counts) != len(groups) * classes * score_bins:
        raise InputError(f"the cells of {task.name!r} are of another revision: they do not fit its groups and classes")
    counts = np.array(cells.counts, np.float64).reshape(len(groups), classes, score_bins)
    noise = np.full_like(counts, cells.noise**2)
    counts, noise = (np.stack([each[:, :-1].sum(axis=1), each[:, -1]], axis=1) for each in (counts, noise))
    edges = tuple(bin_ / score_bins for bin_ in range(score_bins + 1))
    return Cells(groups=groups, counts=counts, noise=noise, edges=edges)


def auc(cells: Cells, confidence: float = CONFIDENCE) -> Estimate:
    """How often a row of the last class scores above one of another; ties count half."""
    return _estimate(cells, area, confidence)


def pr_auc(cells: Cells, confidence: float = CONFIDENCE) -> Estimate:
    """The average precision over all recalls; bins at the top that hold hardly more than noise count as one."""
    starts = _pooled(cells)
    return _estimate(cells, lambda positive, negative: _average_precision(positive, negative, starts), confidence)


def recall(cells: Cells, alert_rate: float, confidence: float = CONFIDENCE) -> Estimate:
    """The share of the last class among the `alert_rate` of all rows that score highest.

    In the bin where that rate is reached, as many rows count as it takes, chosen blindly.
    """
    _check_rate(alert_rate)
    return _estimate(
        cells, lambda positive, negative: _alerted(positive, negative, alert_rate) / positive.sum(axis=-1), confidence
    )


def precision(cells: Cells, alert_rate: float, confidence: float = CONFIDENCE) -> Estimate:
    """How many of the `alert_rate` of all rows that score highest are of the last class."""
    _check_rate(alert_rate)

    def share(positive: Floats, negative: Floats) -> Floats:
        return _alerted(positive, negative, alert_rate) / (alert_rate * (positive + negative).sum(axis=-1))

    return _estimate(cells, share, confidence)


def calibration_error(cells: Cells, confidence: float = CONFIDENCE) -> Estimate:
    """The mean distance of score and outcome over bins, a score taken as the middle of its bin.

    What a bin has too many or too few positives is their count less the expected one, d + z with noise z. As |d + z| is
    at least |d| + sign(d) z, whose last term is normal whatever the signs, and at most |d| + |z|, the sum's bounds are
    its own value plus a normal's quantile, and less the quantile of the sum of |z|.
    """
    negative, positive = cells.whole.counts[0]
    middles = (np.array(cells.edges[:-1]) + np.array(cells.edges[1:])) / 2
    weights = np.stack([middles, 1 - middles])
    spread = np.sqrt((weights**2 * cells.whole.variance[0]).sum(axis=0))
    total, blur = float((positive + negative).sum()), float(np.sqrt(cells.whole.variance.sum()))
    reach = NormalDist().inv_cdf((1 + confidence) / 2)
    if total <= max(FEWEST_DEVIATIONS, reach) * blur:
        return unknown()
    off = float(np.abs((1 - middles) * positive - middles * negative).sum())
    random = np.random.Generator(np.random.PCG64(SEED))
    noise = float(
        np.quantile(np.abs(random.normal(0.0, spread, (DRAWS, len(spread)))).sum(axis=1), (1 + confidence) / 2)
    )
    high = (off + reach * float(np.linalg.norm(spread))) / (total - reach * blur)
    return bounded(off / total, (off - noise) / (total + reach * blur), high)


def threshold_at(cells: Cells, alert_rate: float) -> float:
    """The edge between bins whose share of rows at or above it comes nearest to `alert_rate`."""
    _check_rate(alert_rate)
    rows = cells.whole.counts[0].sum(axis=0)
    above = _rising(np.cumsum(rows[::-1]))[::-1] / max(1.0, float(rows.sum()))
    return cells.edges[int(np.argmin(np.abs(above - alert_rate)))]


def area(positive: Floats, negative: Floats) -> Floats:
    """The area under the ROC curve, by shape `(..., bins)`."""
    below = np.cumsum(negative, axis=-1) - negative / 2
    return np.asarray((below * positive).sum(axis=-1) / (positive.sum(axis=-1) * negative.sum(axis=-1)))


def is_told(cells: Cells) -> bool:
    """Whether both classes stand out of their noise, so that something may be divided by how many rows they have."""
    return bool(np.all(class_totals(cells) > FEWEST_DEVIATIONS * np.sqrt(cells.whole.variance[0].sum(axis=-1))))


def class_totals(cells: Cells) -> Floats:
    """How many rows there are of any other class and of the last, shape `(2,)`."""
    return np.asarray(cells.whole.counts[0].sum(axis=-1))


def _estimate(cells: Cells, figure: Figure, confidence: float) -> Estimate:
    if not is_told(cells):
        return unknown()
    negative, positive = cells.whole.counts[0]
    drawn = figure(*cells.drawn())
    low, high = np.quantile(drawn, [(1 - confidence) / 2, (1 + confidence) / 2])
    return bounded(float(figure(positive, negative)), float(low), float(high))


def _pooled(cells: Cells) -> NDArray[np.int64]:
    """Where pools of bins start, from the highest score: each holds more rows than a few deviations of its noise."""
    rows, noise = (each[0].sum(axis=0)[::-1] for each in (cells.whole.counts, cells.whole.noise))
    starts, held, blur = [0], 0.0, 0.0
    for place, (count, variance) in enumerate(zip(rows[:-1], noise[:-1], strict=True)):
        held, blur = held + float(count), blur + float(variance)
        if held >= FEWEST_DEVIATIONS * blur**0.5:
            starts.append(place + 1)
            held = blur = 0.0
    return np.array(starts, np.int64)


def _average_precision(positive: Floats, negative: Floats, starts: NDArray[np.int64]) -> Floats:
    """The precision at each pool's end, weighted by what its rows add to the recall."""
    found, all_ = (np.add.reduceat(each[..., ::-1], starts, axis=-1) for each in (positive, positive + negative))
    alerts = np.cumsum(all_, axis=-1)
    right = np.divide(np.cumsum(found, axis=-1), alerts, out=np.zeros_like(alerts), where=alerts > 0)
    return np.asarray((np.clip(right, 0.0, 1.0) * found).sum(axis=-1) / found.sum(axis=-1))


def _alerted(positive: Floats, negative: Floats, alert_rate: float) -> Floats:
    """How many positives are among the rows that score highest; shapes `(..., bins)` to `(...)`."""
    alerts = np.maximum(_rising(np.cumsum((positive + negative)[..., ::-1], axis=-1)), 0.0)
    found = np.cumsum(positive[..., ::-1], axis=-1)
    wanted = alert_rate * alerts[..., -1:]
    last = np.minimum((alerts < wanted).sum(axis=-1, keepdims=True), alerts.shape[-1] - 1)
    lowest, least = _at(alerts, last - 1), _at(found, last - 1)
    width = _at(alerts, last) - lowest
    part = np.divide(wanted - lowest, width, out=np.zeros_like(width), where=width > 0)
    return np.asarray((least + part * (_at(found, last) - least))[..., 0])


def _at(sums: Floats, place: NDArray[np.intp]) -> Floats:
    """Sums up to and with a place in the last axis; none before the first."""
    return np.where(place < 0, 0.0, np.take_along_axis(sums, np.maximum(place, 0), axis=-1))


def _rising(sums: Floats) -> Floats:
    """Sums that noise made fall here and there, as ones that never do: midway between the nearest ones from both sides."""
    after = np.minimum.accumulate(sums[..., ::-1], axis=-1)[..., ::-1]
    return np.asarray((np.maximum.accumulate(sums, axis=-1) + after) / 2)


def _check_rate(alert_rate: float) -> None:
    if not 0 < alert_rate < 1:
        raise InputError(f"an alert rate lies between 0 and 1, got {alert_rate}")
