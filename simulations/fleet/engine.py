"""One engine that trains many virtual devices at once, and gives each what the deployed light trainer would give it.

Devices with small networks spend their time on calls, not on arithmetic; here one call works for a group of them. A
device's result is that of its own rows and stream: on one machine it is the same to the bit whoever is trained beside
it, in whichever process, as each product of matrices has the shape that the device's own sample gives it. Give BLAS one
thread (`OPENBLAS_NUM_THREADS=1`): matrices this small gain nothing from more.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from client.inputs import Examples
from client.light.contribution import SLACK
from shared.errors import InputError
from shared.noise import CipherStream
from shared.rounds import RoundPlan
from shared.tasks import Task
from simulations.fleet.kernels import Layout, Network, row_bytes
from simulations.fleet.moves import ExactMoves, Moves, PlainMoves, QuickMoves
from simulations.fleet.samples import FILLED, Block, Group, Sample

Noise = Literal["exact", "quick", "none"]
Array = NDArray[np.float32]

NEAR = 4 * 2**20
"""Bytes of parameters and of layers that a group works on: about what a processor keeps near."""

FAR = 16 * 2**20
"""Bytes of updates and of rows that a block of devices holds while it trains."""

MOST_ROWS = 512
GROUP, BLOCK = 16, 128
"""Devices that work together, and that train together: groups are found among them for each step. More gain nothing."""


class Engine:
    """A task's network and the memory to train it on many devices; one engine serves one thread."""

    def __init__(self, task: Task) -> None:
        """Lay out the memory: some tens of megabytes, or a few times the network where that is more."""
        self._classes, self._layout = len(task.label.classes), Layout(task)
        self._rows = max(FILLED, min(MOST_ROWS, NEAR // row_bytes(task)) // FILLED * FILLED)
        self._group = min(GROUP, max(1, NEAR // (8 * self._layout.size)))
        self._block = max(self._group, min(BLOCK, FAR // (4 * self._layout.size)))
        self._network = Network(task, self._layout, devices=self._group, rows=self._rows)
        self._moved = np.empty((self._block, self._layout.size), np.float32)

    def train(
        self,
        plan: RoundPlan,
        weights: Array,
        examples: Sequence[Examples],
        streams: Sequence[CipherStream],
        *,
        noise: Noise,
        out: Array | None = None,
    ) -> Array:
        """Run the plan's steps on each device from `weights` `(size,)`; the bounded updates, `(devices, size)`.

        - `exact`: what `client.light.train` returns of the same stream, but for rounding in float32: noise included.
        - `quick`: the same in distribution, from noise that is for rehearsals only (see `normals`). Samples are drawn
          before noise: they are those of `none`.
        - `none`: what `client.light.contribution` returns. With `plan.max_grad_norm` infinite, plain SGD: nothing is
          clipped but the whole update, and a device whose update overflows counts as zero.

        `out` takes the answer, if given. Raise `InputError` for a stream too few, and for noise that no clip bounds.
        """
        if len(examples) != len(streams):
            raise InputError(f"{len(examples)} devices need as many streams, got {len(streams)}")
        if noise != "none" and not math.isfinite(plan.max_grad_norm):
            raise InputError('noise is scaled by max_grad_norm, which is infinite: set it, or train with noise="none"')
        updates = np.empty((len(examples), self._layout.size), np.float32) if out is None else out
        self._network.start[0] = self._layout.keep(weights.astype(np.float32))
        # What overflows counts as zero, and NumPy need not warn of it.
        with np.errstate(all="ignore"):
            for block in self._blocks(examples, most=self._block if plan.sample_rate < 1 else self._group):
                own = [streams[device] for device in block]
                rows = Block([examples[device] for device in block], self._classes)
                moves = self._moves(plan, own, noise)
                moved = self._descend(plan, rows, moves, _samples(plan, rows, own, noise))
                self._bound(moved, moves, block, updates)
        return updates

    def _blocks(self, examples: Sequence[Examples], *, most: int) -> Iterator[list[int]]:
        """Devices of about as many rows together, as many as memory is meant for."""
        block, held = list[int](), 0
        for device in sorted(range(len(examples)), key=lambda device: len(examples[device].labels)):
            takes = 4 * (self._layout.size + examples[device].inputs.size)
            if block and (len(block) == most or held + takes > FAR):
                yield block
                block, held = [], 0
            block.append(device)
            held += takes
        if block:
            yield block

    def _moves(self, plan: RoundPlan, streams: Sequence[CipherStream], noise: Noise) -> Moves:
        if noise == "none":
            return PlainMoves(plan)
        return (ExactMoves if noise == "exact" else QuickMoves)(plan, self._layout, streams)

    def _descend(self, plan: RoundPlan, rows: Block, moves: Moves, samples: Iterator[Sample]) -> Array:
        """How far each device of a block has moved after all steps."""
        moved = self._moved[: len(rows.counts)]
        moved.fill(0)
        clip = plan.max_grad_norm * (1 - SLACK if isinstance(moves, PlainMoves) else 1)
        before, groups = None, list[Group]()
        for step, sample in zip(range(plan.steps), samples, strict=False):
            if sample is not before:
                before, groups = sample, rows.groups(sample, rows=self._rows, devices=self._group)
            for group in groups:
                if step:
                    self._move_weights(moved, group.members)
                totals = self._sums(rows, group, moves.share, clip, shared=not step)
                moves.step(moved, group.members, totals)
            moves.step(moved, np.flatnonzero(sample.counts == 0).tolist(), None)
        return moved

    def _move_weights(self, moved: Array, members: Sequence[int]) -> None:
        """Write the parameters at which a group of devices has arrived."""
        start, weights = self._network.start[0], self._network.weights[: len(members)]
        if isinstance(members, range):
            np.add(start, moved[members.start : members.stop], out=weights)
            return
        for member, own in zip(members, weights, strict=True):
            np.add(start, moved[member], out=own)

    def _sums(self, rows: Block, group: Group, share: float, clip: float, *, shared: bool) -> Array:
        """Each device's sum of clipped gradients, piece by piece."""
        network = self._network.at(*group.places.shape[1:])
        totals = self._network.totals[: len(group.members)]
        before: Array | None = None
        for places, present in zip(group.places, group.present, strict=True):
            rows.inputs.take(places, axis=0, out=network.inputs, mode="clip")
            rows.certain.take(places, axis=0, out=network.certain, mode="clip")
            if math.isinf(clip):
                network.plain_sums(present * np.float32(share), shared=shared)
            else:
                network.clipped_sums(present * np.float32(share), clip, shared=shared)
            if len(group.places) > 1:
                before = totals.copy() if before is None else before + totals
        return totals if before is None else before

    def _bound(self, moved: Array, moves: Moves, block: list[int], updates: Array) -> None:
        """Write the block's updates, bounded, as they travel."""
        factors = moves.bounds(moved).astype(np.float32)
        moved[factors == 0] = 0
        first, count = block[0], len(block)
        if block == list(range(first, first + count)):
            self._layout.scale(moved, factors, updates[first : first + count])
            return
        bounded = np.empty_like(moved)
        self._layout.scale(moved, factors, bounded)
        updates[block] = bounded


def _samples(plan: RoundPlan, rows: Block, streams: Sequence[CipherStream], noise: Noise) -> Iterator[Sample]:
    if noise == "exact":
        return rows.step_by_step(streams, plan.sample_rate)
    return rows.ahead(streams, plan.sample_rate, plan.steps)
