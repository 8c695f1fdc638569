"""A population of any size: each device's rows are made from the seed and its number when somebody asks for them.

How rows come about (nothing is drawn from a person, and nothing here protects anybody):

1. From the seed: a block of `POOL` rows of features, uniform in ±(1 - 2 `SHIFT`) and float32; `SHIFTS` small moves, uniform
   in ±`SHIFT`; and for each class a direction, by whose product with it a row is scored. To a row's scores comes noise of
   `NOISE` times their spread: no model gets every label right.
2. From the seed and a device's number, by SplitMix64 (Steele, Lea & Flood, 2014, "Fast Splittable Pseudorandom Number
   Generators"): how many rows it has, uniform from `least` to `most`; where in the block they begin; two moves; and the
   class that it favours.
3. A device's inputs are its rows of the block, moved by the sum of its two moves: they stay within ±1, as encoded
   features do, and hardly any two devices hold the same rows.
4. A row's label is the class of its highest score, after the favoured one has got `skew` times the scores' spread on
   top: devices differ in their labels, and one model can learn most of what they have in common.
"""

from functools import partial
from typing import Self

import numpy as np
from numpy.typing import NDArray

from client.inputs import Examples
from shared.errors import InputError
from shared.tasks import Task, Window
from simulations.fleet.population import Rows, Source
from simulations.fleet.streams import generator

POOL, SHIFTS = 8192, 1024
SHIFT, NOISE = 0.1, 0.3
LEAST, MOST = 16, 80
SKEW = 0.5

_ALL = 2**64 - 1
_STEP = 0x9E3779B97F4A7C15


class Synthetic:
    """Devices by their number; two of equal arguments give equal rows to the bit, in whatever order they are asked."""

    def __init__(
        self, inputs: int, classes: int, devices: int, *,
        seed: int = 0, least: int = LEAST, most: int = MOST, skew: float = SKEW,
    ) -> None:  # fmt: skip
        """Rows of `inputs` features and `classes` labels; raise `InputError` for sizes that no population has."""
        if inputs < 1 or classes < 2 or devices < 1 or not 0 <= least <= most <= POOL:
            raise InputError(
                f"a synthetic population has devices of 0 to {POOL} rows, one feature and two classes or more; got "
                f"{devices} devices of {least} to {most} rows, {inputs} features and {classes} classes"
            )
        random = generator(seed, "synthetic", inputs, classes)
        self._block = random.uniform(2 * SHIFT - 1, 1 - 2 * SHIFT, (POOL, inputs)).astype(np.float32)
        self._moves = random.uniform(-SHIFT, SHIFT, (SHIFTS, inputs)).astype(np.float32)
        rule = random.normal(size=(inputs, classes)).astype(np.float32)
        scores = self._block @ rule
        spread = np.float32(scores.std())
        self._scores = scores + random.normal(scale=NOISE * float(spread), size=scores.shape).astype(np.float32)
        self._moved = self._moves @ rule
        self._favours = np.float32(skew) * spread * np.eye(classes, dtype=np.float32)
        self._devices, self._least, self._most = devices, least, most
        self._start = int(random.integers(0, 2**63))

    @classmethod
    def of(cls, task: Task, devices: int, *, seed: int = 0) -> Self:
        """A population for a task: rows as its features are encoded, but of no meaning."""
        return cls(task.inputs, len(task.label.classes), devices, seed=seed)

    def __len__(self) -> int:
        return self._devices

    def name(self, device: int) -> str:
        """What the coordinator calls a device."""
        return f"device-{device:07d}"

    def examples(self, device: int, window: Window) -> Examples:
        """The rows that a device holds: of any window, since none is dated."""
        del window
        word = _mixed(self._start + device * _STEP)
        first, second = (word >> 32) % SHIFTS, (word >> 42) % SHIFTS
        rows = self._least + (word >> 52) % (self._most - self._least + 1)
        begin = (word & 0xFFFFFFFF) % (POOL - rows + 1)
        own = slice(begin, begin + rows)
        favours = self._favours[_mixed(word) % len(self._favours)]
        scores = self._scores[own] + (self._moved[first] + self._moved[second] + favours)
        inputs = self._block[own] + (self._moves[first] + self._moves[second])
        return Examples(inputs=inputs, labels=scores.argmax(axis=1))

    def sizes(self) -> NDArray[np.int64]:
        """How many rows each device has, shape `(devices,)`."""
        numbers = np.arange(self._devices, dtype=np.uint64)
        with np.errstate(over="ignore"):
            words = _mixed_all(np.uint64(self._start) + numbers * np.uint64(_STEP))
        return (self._least + (words >> np.uint64(52)) % np.uint64(self._most - self._least + 1)).astype(np.int64)

    def held_out(self, devices: int) -> Rows:
        """The rows of devices beyond the last one, which teach nothing: what a model can be scored on."""
        numbers = range(self._devices, self._devices + devices)
        parts = [self.examples(number, Window()) for number in numbers]
        labels = np.concatenate([part.labels for part in parts])
        return Rows(
            names=tuple(self.name(number) for number in numbers),
            offsets=np.cumsum([0, *(len(part.labels) for part in parts)], dtype=np.int64),
            inputs=np.concatenate([part.inputs for part in parts]),
            labels=labels,
            times=np.zeros(len(labels), np.int64),
            groups={},
        )


def synthetic(task: Task, devices: int, *, seed: int = 0) -> Source:
    """A source that each worker opens for itself, instead of sharing rows."""
    return partial(Synthetic.of, task, devices, seed=seed)


def _mixed(word: int) -> int:
    """SplitMix64's output for a state: 64 bits that look independent for any two states."""
    word &= _ALL
    word = ((word ^ (word >> 30)) * 0xBF58476D1CE4E5B9) & _ALL
    word = ((word ^ (word >> 27)) * 0x94D049BB133111EB) & _ALL
    return word ^ (word >> 31)


def _mixed_all(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The same of many."""
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))
