"""What a device does with its clipped sum: the noise it adds, the step it takes, and how it bounds the whole update.

Three ways: as deployed, to the last bit of noise; with quick noise, for rehearsals; and without any.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from shared.noise import CipherStream
from shared.rounds import RoundPlan
from simulations.fleet.kernels import Layout
from simulations.fleet.normals import quick_normals, slices

Array = NDArray[np.float32]
Members = Sequence[int]


class Moves(Protocol):
    """How steps are taken from the sums of a group of devices, and the whole is bounded."""

    share: float
    """What a row's gradient is multiplied by before it is summed."""

    def step(self, moved: Array, members: Members, totals: Array | None) -> None:
        """Move some devices of `moved` `(n, size)` by their sums, or by noise alone if there are none."""
        ...

    def bounds(self, moved: Array) -> Array:
        """What each device's update must be multiplied by, `(n,)`; 0 for one that comes to nothing."""
        ...


class ExactMoves:
    """As `client.light.train`: noise in float64 from the device's stream, in the order in which parameters travel."""

    share = 1.0

    def __init__(self, plan: RoundPlan, layout: Layout, streams: Sequence[CipherStream]) -> None:
        """Draw from each device's own stream."""
        self._layout, self._streams = layout, streams
        self._scale = plan.noise_multiplier * plan.max_grad_norm
        self._rate, self._most = np.float32(plan.learning_rate / plan.normalizer), plan.max_update_norm
        self._noise = np.empty(layout.size)

    def step(self, moved: Array, members: Members, totals: Array | None) -> None:
        """Add the noise to the sum in float64, and round once."""
        for row, member in enumerate(members):
            self._streams[member].fill(self._noise)
            self._noise *= self._scale
            noisy = self._layout.keep(self._noise)
            if totals is not None:
                noisy += totals[row]
            step = noisy.astype(np.float32)
            step *= self._rate
            moved[member] -= step

    def bounds(self, moved: Array) -> Array:
        """As `shared.updates.clip`."""
        return np.minimum(self._most / _norms(moved), 1)


class QuickMoves:
    """The same in float32, with quick normals."""

    def __init__(self, plan: RoundPlan, layout: Layout, streams: Sequence[CipherStream]) -> None:
        """Draw from each device's own stream."""
        rate = plan.learning_rate / plan.normalizer
        self.share, self._most = -rate, plan.max_update_norm
        self._values = slices() * np.float32(plan.noise_multiplier * plan.max_grad_norm * rate)
        self._streams, self._noise = streams, np.empty(layout.size, np.float32)

    def step(self, moved: Array, members: Members, totals: Array | None) -> None:
        """Add noise and sum."""
        for row, member in enumerate(members):
            own = moved[member]
            quick_normals(self._streams[member], self._values, self._noise)
            np.add(own, self._noise, out=own)
            if totals is not None:
                np.add(own, totals[row], out=own)

    def bounds(self, moved: Array) -> Array:
        """As `shared.updates.clip`."""
        return np.minimum(self._most / _norms(moved), 1)


class PlainMoves:
    """No noise: as `client.light.contribution`."""

    def __init__(self, plan: RoundPlan) -> None:
        """Step at the plan's rate."""
        self.share, self._most = -plan.learning_rate / plan.normalizer, plan.max_update_norm

    def step(self, moved: Array, members: Members, totals: Array | None) -> None:
        """Add the sum."""
        if totals is not None:
            add_up(moved, members, totals)

    def bounds(self, moved: Array) -> Array:
        """As `client.light.contribution.project`: what overflowed comes to nothing."""
        norms = _norms(moved)
        return np.where(np.isfinite(norms), np.minimum(self._most / norms, 1), 0)


def add_up(moved: Array, members: Members, totals: Array) -> None:
    """Add a group's sums to what its devices have moved: all at once where they lie together."""
    if isinstance(members, range):
        together = moved[members.start : members.stop]
        np.add(together, totals, out=together)
        return
    for member, total in zip(members, totals, strict=True):
        own = moved[member]
        np.add(own, total, out=own)


def _norms(moved: Array) -> NDArray[np.float64]:
    """Each device's norm, from squares that are summed in pieces, and the pieces in float64."""
    return np.sqrt(np.vecdot(moved, moved).astype(np.float64))
