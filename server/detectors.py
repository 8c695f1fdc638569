"""When a series of daily losses has risen: Page's CUSUM, and ADWIN from river beside it.

Both look at losses as deviations from a release's first `CALM` values (four weeks of days, so that every weekday counts
alike), and say nothing before there are so many. One wild day counts `MOST` at most. Only a rise alarms: a fall is good
news. docs/decisions/0026 compares the two.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from server.losses import Loss
from shared.errors import InputError

LossDetector = Literal["cusum", "adwin"]

CALM = 28
MOST = 3.0
"""Deviations."""

K, H = 0.5, 8.0
"""CUSUM: what a value must lie above to count, half of the rise that it is to find, and where the sum alarms; both in deviations."""

DELTA = 0.05
"""ADWIN: how sure it is to be, by its own bound, which is loose: see docs/decisions/0026."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a detector makes of a series: whether it alarms after each value, and its newest word.

    `alarming` has one entry a value, the first `CALM` of them False.
    """

    alarming: tuple[bool, ...]
    says: str

    @property
    def alarm(self) -> bool:
        """Whether it alarms now."""
        return bool(self.alarming) and self.alarming[-1]

    @property
    def raised(self) -> tuple[int, ...]:
        """The places at which an alarm began."""
        before = (False, *self.alarming)
        return tuple(place for place, now in enumerate(self.alarming) if now and not before[place])


def watch(detector: LossDetector, losses: Sequence[Loss]) -> Reading:
    """Read a series, oldest first; raise `InputError` where ADWIN is asked for and river is not installed."""
    if len(losses) <= CALM:
        return Reading(alarming=(False,) * len(losses), says=_too_few(len(losses)))
    return DETECTORS[detector](losses, standardised(losses))


def standardised(losses: Sequence[Loss]) -> Floats:
    """Each loss in deviations from the calm ones, `(losses,)`; the deviation is no smaller than what the noise alone makes."""
    values, noises = (np.array(each) for each in zip(*((loss.value, loss.deviation) for loss in losses), strict=True))
    spread = max(float(values[:CALM].std(ddof=1)), float(noises[:CALM].mean()))
    return np.minimum((values - values[:CALM].mean()) / spread, MOST)


def cusum(values: Sequence[float] | Floats, *, k: float = K) -> list[float]:
    """The sum S = max(0, S + value - k) after each value (Page, 1954, "Continuous Inspection Schemes")."""
    total, sums = 0.0, list[float]()
    for value in values:
        total = max(0.0, total + float(value) - k)
        sums.append(total)
    return sums


def adwin(values: Sequence[float] | Floats, *, delta: float = DELTA) -> list[bool]:
    """Whether the last change that ADWIN saw was a rise, after each value (Bifet & Gavalda, 2007).

    Raise `InputError` where river is not installed.
    """
    try:
        from river.drift import ADWIN
    except ImportError:
        raise InputError(
            "the detector adwin needs river: `pip install '.[full]'` in Covey's checkout, or let cusum alarm"
        ) from None
    window, risen, said = ADWIN(delta=delta, clock=1), False, list[bool]()
    for value in values:
        before = float(window.estimation)
        window.update(float(value))
        if window.drift_detected:
            risen = float(window.estimation) > before
        said.append(risen)
    return said


def _by_cusum(losses: Sequence[Loss], values: Floats) -> Reading:
    sums = cusum(values[CALM:])
    says = f"{_newest(losses)}, CUSUM {sums[-1]:.1f}, alarm above {H:g}"
    return Reading(alarming=(False,) * CALM + tuple(total > H for total in sums), says=says)


def _by_adwin(losses: Sequence[Loss], values: Floats) -> Reading:
    said = adwin(values)[CALM:]
    says = f"{_newest(losses)}, ADWIN {'saw it rise' if said[-1] else 'saw no rise'}"
    return Reading(alarming=(False,) * CALM + tuple(said), says=says)


DETECTORS: dict[LossDetector, Callable[[Sequence[Loss], Floats], Reading]] = {"cusum": _by_cusum, "adwin": _by_adwin}


def _newest(losses: Sequence[Loss]) -> str:
    calm = float(np.mean([loss.value for loss in losses[:CALM]]))
    return f"loss {losses[-1].value:.2f} ± {1.96 * losses[-1].deviation:.2f}, {calm:.2f} at first"


def _too_few(count: int) -> str:
    return f"{count} of the {CALM + 1} losses that a detector needs" if count else "no survey that tells a loss"
