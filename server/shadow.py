"""How often a release that is tried beside the one that answers would have answered the same, read off noisy counts."""

import math
from collections.abc import Sequence

import numpy as np

from server.estimates import Estimate, bounded, unknown
from server.records import SurveyResult
from server.rollouts import in_force
from server.store import Store
from shared.drift import AGREEMENT, Histogram
from shared.errors import InputError
from shared.models import Release
from shared.tasks import Task

_Z = 1.96
"""Standard deviations that a normal figure stays within 19 times in 20."""

READABLE = 4.0
"""Standard deviations of the noise of all cells together; a total below that tells nothing."""


def surveyed(store: Store, task: Task, *, shadow: bool) -> tuple[Release | None, Release | None]:
    """The release in force, and with `shadow` the newest one too, which devices try beside the one that answers.

    Raise `InputError` where no device does.
    """
    if shadow:
        return _compared(store, task)
    return in_force(store.releases(task.name), store.rollouts(task.name)), None


def _compared(store: Store, task: Task) -> tuple[Release, Release]:
    """The release that answers most devices, and the newest one that some of them try beside it."""
    releases = {release.number: release for release in store.releases(task.name)}
    newest = releases[max(releases)] if releases else None
    steps = [step.rollout for step in store.rollouts(task.name) if newest and step.rollout.release == newest.number]
    if newest is None or not steps or steps[-1].shadow_bp <= steps[-1].share_bp:
        raise InputError(
            f"no device tries a release of task {task.name!r} beside the one that answers; `covey promote --shadow` lets "
            "the devices that are next do so"
        )
    before = releases.get(newest.fallback)
    if before is None or before.revision != newest.revision:
        raise InputError(
            f"release {newest.number} answers another question than release {newest.fallback or 'none'}; they cannot agree"
        )
    return before, newest


def agreement_of(survey: SurveyResult, task: Task) -> Estimate | None:
    """What a survey found; None where it compared no releases."""
    found = next((each for each in survey.histograms if each.name == AGREEMENT), None)
    return agreement(found, task) if found else None


def agreement(histogram: Histogram, task: Task) -> Estimate:
    """The share of rows for which both releases name the same class, with bounds that hold it 19 times in 20.

    They cover the rows' sampling (Wilson, 1927, "Probable Inference, the Law of Succession, and Statistical Inference")
    and the noise of the counts, to first order, as two causes that are independent of each other.
    """
    classes = len(task.label.classes)
    cells = np.array(histogram.counts).reshape(-1, classes, classes)
    total, same = float(cells.sum()), float(np.trace(cells, axis1=1, axis2=2).sum())
    if total <= READABLE * histogram.noise * math.sqrt(cells.size):
        return unknown()
    share = min(1.0, max(0.0, same / total))
    noise = _Z * _noise(histogram.noise, share, cells.shape) / total
    low, high = _wilson(share, total)
    return bounded(same / total, share - math.hypot(share - low, noise), share + math.hypot(high - share, noise))


def _noise(scale: float, share: float, shape: Sequence[int]) -> float:
    """The deviation of `same - share * total`: of cells on the diagonal by `1 - share`, of the others by `share`."""
    groups, classes, _ = shape
    diagonal, others = groups * classes, groups * classes * (classes - 1)
    return scale * math.sqrt(diagonal * (1 - share) ** 2 + others * share**2)


def _wilson(share: float, rows: float) -> tuple[float, float]:
    middle = (share + _Z**2 / (2 * rows)) / (1 + _Z**2 / rows)
    reach = _Z / (1 + _Z**2 / rows) * math.sqrt(share * (1 - share) / rows + _Z**2 / (4 * rows**2))
    return middle - reach, middle + reach
