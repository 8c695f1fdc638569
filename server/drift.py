"""Reads drift off noisy histograms: checks and merges reports, and compares two windows.

The measure is the population stability index, PSI = sum (q - p) ln(q / p). Sampling and the privacy noise of
both windows push it up even where nothing moved, so their expectation is subtracted; what they reach one
time in a hundred is the band below which a shift is not evident. Both are found by drawing pairs of windows
that did not shift, from the reference's own proportions; only public and already noisy figures go in.
"""

import math
from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from shared.drift import CELLS, SCORE, Bins, DriftReport, Histogram, Shift, SurveyPlan, edges_of
from shared.errors import InputError, WireError
from shared.tasks import DriftSettings, Task

FLOOR = 0.002
"""The smallest proportion that PSI takes for real; below it a logarithm would amplify a handful of rows."""

TINY = 1e-9
"""Stands for none when windows are drawn, so that counts which are all noise still make proportions."""

MAX_COUNT = 1e9
"""Rows; a device that claims more is not counting."""

NOISE_TAIL = 12.0
"""Standard deviations; noise reaches below minus this once in 10^32 counts, so a count there was made up."""

DRAWS = 2000
SEED = 2013
"""Fixed, so that the same survey shows the same band each time; no privacy depends on it."""


def check(report: DriftReport, task: Task, plan: SurveyPlan) -> None:
    """Raise `WireError` unless the report answers the plan; a bad report costs its sender only."""
    if (report.run_id, report.release) != (plan.run_id, plan.release):
        raise WireError(f"drift report answers run {report.run_id} on release {report.release}, not this survey")
    expected = edges_of(task, plan)
    if [histogram.name for histogram in report.histograms] != [bins.name for bins in expected]:
        raise WireError("drift report does not hold the histograms that were asked for")
    for histogram, bins in zip(report.histograms, expected, strict=True):
        check_histogram(histogram, bins)


def check_histogram(histogram: Histogram, bins: Bins) -> None:
    """Raise `WireError` unless a histogram was counted between these edges, with this noise, of rows that can be."""
    if histogram.edges != bins.edges or len(histogram.counts) != bins.size:
        raise WireError(f"histogram {bins.name!r} was not counted between the survey's edges")
    if not math.isclose(histogram.noise, bins.noise):
        raise WireError(f"histogram {bins.name!r} has noise {histogram.noise}, not the survey's {bins.noise}")
    # Written so that NaN fails too.
    if not all(-NOISE_TAIL * bins.noise <= count <= MAX_COUNT for count in histogram.counts):
        raise WireError(f"histogram {bins.name!r} holds a count that no device can have")


def merge(reports: Sequence[DriftReport], task: Task, plan: SurveyPlan) -> tuple[Histogram, ...]:
    """Sum the reports of one survey: counts add, and so do the noise's variances.

    Raises `WireError` if a report does not answer the plan; `check` each on arrival to drop its sender alone.
    """
    for report in reports:
        check(report, task, plan)
    return tuple(add_up(histograms) for histograms in zip(*(report.histograms for report in reports), strict=True))


def add_up(histograms: Sequence[Histogram]) -> Histogram:
    """The sum of histograms of the same bins: counts add, and so do the noise's variances."""
    counts = zip(*(histogram.counts for histogram in histograms), strict=True)
    return Histogram(
        name=histograms[0].name,
        edges=histograms[0].edges,
        counts=tuple(math.fsum(bin_counts) for bin_counts in counts),
        noise=math.hypot(*(histogram.noise for histogram in histograms)),
    )


def shifts(reference: Sequence[Histogram], current: Sequence[Histogram], *, devices: int) -> tuple[Shift, ...]:
    """How far each distribution that both windows hold has moved; `devices` answered for the current one.

    The cells of the contract, the outcomes and the agreement are figures by themselves. Raises `InputError` if the two were not
    counted alike.
    """
    pairs = zip(distributions(reference), distributions(current), strict=False)
    return tuple(_shift(old, new, devices=devices) for old, new in pairs)


def distributions(histograms: Iterable[Histogram]) -> tuple[Histogram, ...]:
    """The histograms of the score and of columns, which may move."""
    return tuple(histogram for histogram in histograms if histogram.name not in CELLS)


def _shift(reference: Histogram, current: Histogram, *, devices: int) -> Shift:
    if (reference.name, reference.edges) != (current.name, current.edges):
        raise InputError(
            f"the reference counted {reference.name!r} between other edges than this survey counted "
            f"{current.name!r}; survey the reference window again"
        )
    measure = _measure(floor=max(FLOOR, _blur(reference), _blur(current)))
    unmoved = measure(*_unmoved_pairs(reference, current))
    bias = float(unmoved.mean())
    psi = float(measure(np.array(reference.counts), np.array(current.counts))) - bias
    if not (_readable(reference) and _readable(current)):
        psi = 0.0
    return Shift(name=current.name, psi=psi, noise=float(np.quantile(unmoved, 0.99)) - bias, devices=devices)


def _readable(histogram: Histogram) -> bool:
    """Whether the window is large beside the noise of all its bins; proportions of a smaller one mean nothing."""
    return _total(histogram) > 4 * histogram.noise * math.sqrt(len(histogram.counts))


def _blur(histogram: Histogram) -> float:
    """The noise of one proportion: smaller ones cannot be told from none."""
    return histogram.noise / _total(histogram)


def _total(histogram: Histogram) -> float:
    return max(1.0, math.fsum(histogram.counts))


def _measure(*, floor: float) -> Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]]:
    """PSI between noisy counts, over the last axis, with proportions below `floor` raised to it."""

    def psi(old: NDArray[np.float64], new: NDArray[np.float64]) -> NDArray[np.float64]:
        p, q = _proportions(old, floor), _proportions(new, floor)
        return np.asarray(((q - p) * np.log(q / p)).sum(axis=-1))

    return psi


def _proportions(counts: NDArray[np.float64], floor: float) -> NDArray[np.float64]:
    raised = np.maximum(counts / np.maximum(counts.sum(axis=-1, keepdims=True), 1.0), floor)
    return np.asarray(raised / raised.sum(axis=-1, keepdims=True))


def _unmoved_pairs(reference: Histogram, current: Histogram) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """`DRAWS` pairs of windows, each of shape `(DRAWS, bins)`, as they look when nothing moved between them."""
    random = np.random.Generator(np.random.PCG64(SEED))
    proportions = _proportions(np.array(reference.counts), TINY)
    return _draw(reference, proportions, random), _draw(current, proportions, random)


def _draw(histogram: Histogram, proportions: NDArray[np.float64], random: np.random.Generator) -> NDArray[np.float64]:
    rows = random.multinomial(round(_total(histogram)), proportions, size=DRAWS)
    return rows + random.normal(0.0, histogram.noise, size=rows.shape)


def alarm(found: Iterable[Shift], settings: DriftSettings) -> bool:
    """Whether the score moved evidently and by more than the task tolerates.

    Only the score decides: weather moves with the season without the model failing; features explain.
    """
    score = next((shift for shift in found if shift.name == SCORE), None)
    return score is not None and score.evident and score.psi > settings.alarm_psi
