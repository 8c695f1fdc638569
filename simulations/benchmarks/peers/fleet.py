"""A whole fleet's round in one command, and its memory: `python -m simulations.benchmarks.peers.fleet DEVICES NOISE`.

Memory is that of all processes together, each shared page counted once (proportional set size), at its highest.
"""

import json
import os
import sys
import threading
import time
from typing import cast

import numpy as np
import psutil

from simulations.benchmarks import fleet_engine
from simulations.benchmarks.peers.ours import SEED, fleet_of, plan_of
from simulations.benchmarks.peers.workload import weights
from simulations.fleet.engine import Noise
from simulations.fleet.workers import Crew

AT_ONCE = 8192
"""Devices that are handed out together: what waits does not grow with the fleet."""

EVERY = 0.2
MB = 1e6


class Watch:
    """A thread that looks at the memory of this process and all below it, until it is told to stop."""

    def __init__(self) -> None:
        self.most = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def end(self) -> float:
        """Stop; the most that was seen, in MB."""
        self._stop.set()
        self._thread.join()
        return self.most

    def _look(self) -> None:
        here = psutil.Process()
        while not self._stop.wait(EVERY):
            self.most = max(self.most, sum(map(_megabytes, (here, *here.children(recursive=True)))))


def _megabytes(process: psutil.Process) -> float:
    try:
        return process.memory_full_info().pss / MB
    except psutil.Error:
        return 0.0


def run(devices: int, noise: Noise) -> dict[str, float]:
    """Train every device once: the seconds from the start of the workers to the sum, and the most memory in MB."""
    watch, began = Watch(), time.perf_counter()
    task, plan = fleet_engine.mlp_task(), plan_of(noise)
    start, total = weights(task), 0.0
    with Crew(fleet_of(devices), task, workers=len(os.sched_getaffinity(0))) as crew:
        for first in range(0, devices, AT_ONCE):
            some = range(first, min(devices, first + AT_ONCE))
            (part,) = crew.sums(plan, start, [some], seed=SEED, noise=noise)
            total = total + part
            _progress(some.stop, devices)
    if not np.isfinite(total).all():
        raise SystemExit("the sum of the fleet's updates overflowed")
    return {"seconds": time.perf_counter() - began, "megabytes": watch.end()}


def _progress(done: int, devices: int) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r{done:,} of {devices:,} devices ")


if __name__ == "__main__":
    sys.stdout.write(f"@{json.dumps(run(int(sys.argv[1]), cast('Noise', sys.argv[2])))}\n")
