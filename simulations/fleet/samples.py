"""Which rows each device of a block trains on, step by step: drawn from its own stream, then put beside others'.

Devices whose samples are about as large are worked on together, each sample filled up to a multiple of four rows
that count for nothing. How far depends on the device's own sample alone, so its result has nothing of its companions.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from client.inputs import Examples
from shared.noise import CipherStream

Places = NDArray[np.intp]
FILLED = 4
"""Samples are filled up to a multiple of so many rows."""

AT_ONCE = 2**20
"""Rows that are drawn or passed over at once: eight megabytes of the stream."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What all devices drew for a step: places among the block's rows, device after device, and how many each."""

    places: Places
    counts: Places


class Group(NamedTuple):
    """Devices that work together: their numbers in the block, and for each piece of their samples the rows' places.

    `places` are `(pieces, devices, rows)`, and `present` 1 where a row is one, 0 where it only fills up.
    """

    members: Sequence[int]
    places: Places
    present: NDArray[np.float32]


class Block:
    """The rows of some devices beside one another, and after them one that only fills up."""

    def __init__(self, examples: Sequence[Examples], classes: int) -> None:
        """Copy the rows together."""
        width = examples[0].inputs.shape[1]
        self.counts = np.array([len(each.labels) for each in examples])
        self._starts = np.cumsum(self.counts) - self.counts
        self._rows = int(self.counts.sum())
        self.inputs = np.zeros((self._rows + 1, width), np.float32)
        np.concatenate([each.inputs for each in examples], out=self.inputs[:-1])
        self.certain = np.zeros((self._rows + 1, classes), np.float32)
        self.certain[np.arange(self._rows), np.concatenate([each.labels for each in examples])] = 1

    def step_by_step(self, streams: Sequence[CipherStream], rate: float) -> Iterator[Sample]:
        """Samples drawn when they are asked for: as the light trainer does, which draws a step's noise after each."""
        while True:
            drawn = [stream.poisson_sample(int(n), rate) for stream, n in zip(streams, self.counts, strict=True)]
            counts = np.array([len(each) for each in drawn])
            yield Sample(places=np.concatenate(drawn) + np.repeat(self._starts, counts), counts=counts)

    def ahead(self, streams: Sequence[CipherStream], rate: float, steps: int) -> Iterator[Sample]:
        """All steps' samples drawn at once: the same where no noise comes between."""
        if rate >= 1:
            whole = Sample(places=np.arange(self._rows), counts=self.counts)
            yield from (whole for _ in range(steps))
            return
        drawn = [_all_steps(stream, int(n), rate, steps) for stream, n in zip(streams, self.counts, strict=True)]
        device = np.repeat(np.arange(len(drawn)), [len(each) for each in drawn])
        step, row = np.divmod(np.concatenate(drawn), np.maximum(self.counts, 1)[device])
        places = (row + self._starts[device])[np.argsort(step.astype(np.min_scalar_type(steps)), kind="stable")]
        counts = np.bincount(step * len(drawn) + device, minlength=steps * len(drawn)).reshape(steps, -1)
        ends = np.cumsum(counts.sum(axis=1))
        for end, own in zip(ends, counts, strict=True):
            yield Sample(places=places[end - own.sum() : end], counts=own)

    def groups(self, sample: Sample, *, rows: int, devices: int) -> list[Group]:
        """Devices in groups of at most `devices`, of at most `rows` rows together; one without a sample is in none."""
        pieces = -(-sample.counts // rows)
        filled = -(-sample.counts // np.maximum(pieces * FILLED, 1)) * FILLED
        order = np.lexsort((filled, pieces))
        room = (pieces * filled)[order]
        places, present = self._fill_up(sample, order, room)
        starts = np.cumsum(room) - room
        changes = np.flatnonzero(np.diff(pieces[order] * (rows + 1) + filled[order])) + 1
        groups: list[Group] = []
        for first, last in pairwise((0, *changes.tolist(), len(order))):
            many, high = int(pieces[order[first]]), int(filled[order[first]])
            most = max(1, min(devices, rows // max(high, 1)))
            for start in range(first, last if many else first, most):
                own = order[start : min(start + most, last)]
                taken = slice(starts[start], starts[start] + len(own) * many * high)
                shape = (len(own), many, high)
                rows_of, rows_in = places[taken].reshape(shape), present[taken].reshape(shape)
                groups.append(Group(_members(own), rows_of.swapaxes(0, 1), rows_in.swapaxes(0, 1)))
        return groups

    def _fill_up(self, sample: Sample, order: Places, room: Places) -> tuple[Places, NDArray[np.float32]]:
        """All devices' places in an order, each with the room it takes, and which of them are rows."""
        ends = np.cumsum(room)
        within = np.arange(int(ends[-1])) - np.repeat(ends - room, room)
        starts = (np.cumsum(sample.counts) - sample.counts)[order]
        present = within < np.repeat(sample.counts[order], room)
        places = sample.places.take(np.repeat(starts, room) + within, mode="clip")
        return np.where(present, places, self._rows), present.astype(np.float32)


def _all_steps(stream: CipherStream, rows: int, rate: float, steps: int) -> Places:
    """A device's samples of all steps, the second's places after the first's `rows`, and so on."""
    few = max(1, AT_ONCE // max(rows, 1))
    if few >= steps:
        return stream.poisson_sample(rows * steps, rate)
    firsts = range(0, steps, few)
    parts = [stream.poisson_sample(rows * min(few, steps - first), rate) + rows * first for first in firsts]
    return np.concatenate(parts)


def _members(order: Places) -> Sequence[int]:
    """Some devices' numbers, rising: a range where they lie together."""
    first, last = int(order[0]), int(order[-1]) + 1
    return range(first, last) if last - first == len(order) else order.tolist()
