"""What conditions do to rows and updates: labels that have not come yet, drift from a date on, and devices that lie."""

import numpy as np
from numpy.typing import NDArray

from client.inputs import Examples
from shared.tasks import Window
from simulations.fleet.behaviour import Behaviour, Drift
from simulations.fleet.conditions import Conditions
from simulations.fleet.population import Packed, moment
from simulations.fleet.streams import generator

HOUR = 3_600_000_000
"""In microseconds, as rows are dated."""

Times = NDArray[np.int64]


class Altered:
    """A packed population as its conditions leave it: each window's rows as they are when the window ends.

    A window without an end sees every label that ever comes. What happens to a row depends on that row, its device and
    the seed alone, so one row more changes no other.
    """

    def __init__(self, rows: Packed, conditions: Conditions, *, classes: int) -> None:
        """`classes` is how many the labels tell apart."""
        self._rows, self._conditions, self._classes = rows, conditions, classes

    def __len__(self) -> int:
        return len(self._rows)

    def name(self, device: int) -> str:
        """What the coordinator calls a device."""
        return self._rows.name(device)

    def examples(self, device: int, window: Window) -> Examples:
        """The labelled rows that a device holds of a window, drifted."""
        rows = self._rows.rows(device, window)
        examples = Examples(inputs=self._rows.inputs[rows], labels=self._rows.labels[rows])
        first, times = rows.start - int(self._rows.offsets[device]), self._rows.times[rows]
        examples = drifted(self._conditions, device, examples, times, classes=self._classes)
        now = moment(window.end) if window.end else None
        known = labelled(self._conditions, device, times, now=now, first=first)
        return examples if known.all() else Examples(inputs=examples.inputs[known], labels=examples.labels[known])


def labelled(
    conditions: Conditions, device: int, times: Times, *, now: int | None = None, first: int = 0
) -> NDArray[np.bool_]:
    """Which rows have their label by `now`, shape `(rows,)`; `None` is after all time.

    `times` and `now` are microseconds since 1970; `first` is how many rows of the device come before these.
    """
    behaviour, rows = conditions.behaviour, len(times)
    draw = generator(conditions.seed, "labels", device)
    uniform = draw.random((first + rows, 2))[first:]
    comes: NDArray[np.bool_] = uniform[:, 0] >= behaviour.labels_never
    if now is None:
        return comes
    delays = -np.log1p(-uniform[:, 1]) * behaviour.label_delay_hours * HOUR
    return comes & (times + delays.astype(np.int64) <= now)


def drifted(conditions: Conditions, device: int, examples: Examples, times: Times, *, classes: int) -> Examples:
    """A device's rows after every drift that has begun by their time; the rows given are left as they are."""
    for number, drift in enumerate(conditions.behaviour.drifts):
        if generator(conditions.seed, "drift", number, device).random() < drift.share:
            since = times >= moment(drift.start)
            examples = _after(drift, examples, since, classes=classes) if since.any() else examples
    return examples


def _after(drift: Drift, examples: Examples, since: NDArray[np.bool_], *, classes: int) -> Examples:
    if drift.kind == "invert":
        labels = np.where(since, classes - 1 - examples.labels, examples.labels)
        return Examples(inputs=examples.inputs, labels=labels)
    inputs = np.array(examples.inputs)
    columns = np.array(drift.inputs or range(inputs.shape[1]))
    block = np.ix_(since, columns)
    inputs[block] = np.clip(inputs[block] + np.float32(drift.amount), -1, 1)
    return Examples(inputs=inputs, labels=examples.labels)


def forged(behaviour: Behaviour, update: NDArray[np.float32]) -> NDArray[np.float32]:
    """What a lying device sends in place of an update of shape `(size,)`.

    Lies that a member needs more knowledge for are in `simulations.attacks.hostile`.
    """
    if behaviour.attack == "nan":
        return np.full_like(update, np.nan)
    return -update if behaviour.attack == "sign-flip" else update * np.float32(behaviour.attack_scale)
