"""Processes that train blocks of devices: each opens the population once, and computes what it is handed.

Blocks are cut by the caller's order and `BLOCK` alone, and each device draws from a stream of its own, so a result is
the same to the bit whatever the number of workers.
"""

import ctypes
import os
import signal
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from shared.rounds import RoundPlan
from shared.tasks import Task
from simulations.fleet.engine import Engine, Noise
from simulations.fleet.one_by_one import OneByOne, engine_of
from simulations.fleet.population import Population, Source
from simulations.fleet.streams import device_stream

BLOCK = 128
"""Devices that are trained at once: the engine groups them as a core's caches like it."""

AHEAD = 4
"""Blocks a worker may have waiting: enough that none idles, few enough that results do not pile up."""

_ONE_THREAD = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL")}
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Devices to train from `weights`, of shape `(size,)`, as a plan says."""

    plan: RoundPlan
    weights: NDArray[np.float32]
    devices: tuple[int, ...]
    seed: int
    noise: Noise
    total: bool


class Crew:
    """A number of workers over one population and one task; a context, so that they end with it."""

    def __init__(self, source: Source, task: Task, *, workers: int) -> None:
        """Start the workers; they come to work as the first blocks are handed out."""
        self._most = AHEAD * workers
        os.environ.update(_ONE_THREAD)  # workers are new processes, and inherit it before they load NumPy
        self._pool = ProcessPoolExecutor(
            workers, mp_context=get_context("spawn"), initializer=_open, initargs=(source, task, os.getpid())
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._pool.shutdown(wait=kind is None, cancel_futures=True)

    def updates(
        self, plan: RoundPlan, weights: NDArray[np.float32], devices: Sequence[int], *, seed: int, noise: Noise
    ) -> Iterator[NDArray[np.float32]]:
        """Each device's update, of shape `(size,)`, in the order of `devices`."""
        blocks = (
            Block(plan=plan, weights=weights, devices=part, seed=seed, noise=noise, total=False)
            for part in _parts(devices)
        )
        for found in self._in_order(blocks):
            yield from found

    def sums(
        self, plan: RoundPlan, weights: NDArray[np.float32], groups: Iterable[Sequence[int]], *, seed: int, noise: Noise
    ) -> Iterator[NDArray[np.float64]]:
        """The sum of each group's updates, of shape `(size,)`, in the order of `groups`; zeros for an empty one."""
        parts = [list(_parts(group)) for group in groups]
        blocks = (
            Block(plan=plan, weights=weights, devices=part, seed=seed, noise=noise, total=True)
            for group in parts
            for part in group
        )
        found = self._in_order(blocks)
        for group in parts:
            total = np.zeros(len(weights))
            for _ in group:
                total += next(found)
            yield total

    def _in_order(self, blocks: Iterable[Block]) -> Iterator[NDArray[Any]]:
        """Hand blocks out, few ahead of what was taken up."""
        waiting: list[Future[NDArray[Any]]] = []
        for block in blocks:
            waiting.append(self._pool.submit(_train, block))
            if len(waiting) > self._most:
                yield waiting.pop(0).result()
        for future in waiting:
            yield future.result()


def _parts(devices: Sequence[int]) -> Iterator[tuple[int, ...]]:
    for start in range(0, len(devices), BLOCK):
        yield tuple(int(device) for device in devices[start : start + BLOCK])


_opened: list[tuple[Population, Engine | OneByOne]] = []
"""What this worker works on; empty in any other process."""

_rooms: list[NDArray[np.float32]] = []


def _open(source: Source, task: Task, parent: int) -> None:
    """Get ready to work; end when the process that asked does, and leave Ctrl-C to it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(os.EX_TEMPFAIL)
    population = source()  # first: what it loads may define the task's network
    _opened.append((population, engine_of(task)))


def _train(block: Block) -> NDArray[Any]:
    """The updates of a block, shape `(devices, size)`; or their sum, shape `(size,)`."""
    ((population, engine),) = _opened
    plan = block.plan
    examples = [population.examples(device, plan.window) for device in block.devices]
    streams = [device_stream(block.seed, plan.number, device) for device in block.devices]
    if not block.total:
        return engine.train(plan, block.weights, examples, streams, noise=block.noise)
    found = engine.train(plan, block.weights, examples, streams, noise=block.noise, out=_room(block))
    return np.add.reduce(found, axis=0)


def _room(block: Block) -> NDArray[np.float32]:
    """Memory for a block's updates, the same for each block: fresh pages would cost more than the sum does."""
    if not _rooms or _rooms[0].shape[1] != len(block.weights):
        _rooms[:] = [np.empty((BLOCK, len(block.weights)), np.float32)]
    return _rooms[0][: len(block.devices)]
