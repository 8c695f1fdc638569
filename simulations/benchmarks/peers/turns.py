"""One turn of a contender: how much it did, in how many seconds of the clock and of its processors."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import psutil


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """So many device updates, in seconds of wall clock and of processor time, its child processes' included."""

    updates: float
    wall: float
    cpu: float

    def __post_init__(self) -> None:
        """Refuse a turn that measured nothing."""
        if not (self.updates > 0 and self.wall > 0 and self.cpu > 0):
            raise ValueError(f"a turn has updates and takes time, got {self}")


Contend = Callable[[], Turn]


def timed(updates: float, act: Callable[[], object]) -> Contend:
    """A turn that calls `act` once, in this process alone."""

    def turn() -> Turn:
        wall, cpu = time.perf_counter(), time.process_time()
        act()
        return Turn(updates=updates, wall=time.perf_counter() - wall, cpu=time.process_time() - cpu)

    return turn


def busy() -> float:
    """Processor seconds of this process and all below it."""
    total, here = 0.0, psutil.Process()
    for process in (here, *here.children(recursive=True)):
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system
    return total
