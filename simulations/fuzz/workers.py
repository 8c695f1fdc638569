"""Processes that try inputs side by side. One that ends, or stays at one input, is a finding with that very input."""

import mmap
import multiprocessing
import multiprocessing.connection
import os
import resource
import struct
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.context import ForkProcess

from simulations.fuzz.engine import Tally, fuzz
from simulations.fuzz.target import Kind, Target

STUCK_SECONDS = 60.0
"""Code that no signal reaches is ended after so long at one input."""

ROOM_BYTES = 6 * 2**30
"""Address space that a process may take beside what it starts with: a parser that asks for more is refused it."""

_HEAD = struct.Struct("<QI?")
_MOST_SHOWN = 2**20

Told = Callable[[Tally], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Some of a parser's inputs."""

    target: Target
    inputs: int
    seed: str
    corpus: Sequence[bytes] = ()


@dataclass(slots=True)
class _Shown:
    """Memory shared with the parent: the number of an input, the input, and whether it is being tried right now."""

    memory: mmap.mmap = field(default_factory=lambda: mmap.mmap(-1, _HEAD.size + _MOST_SHOWN))

    def write(self, number: int, data: bytes | None) -> None:
        if data is None:
            self.memory[_HEAD.size - 1] = False
            return
        size = min(len(data), _MOST_SHOWN)
        self.memory[_HEAD.size : _HEAD.size + size] = data[:size]
        self.memory[: _HEAD.size] = _HEAD.pack(number + 1, size, True)

    def read(self) -> tuple[int, bytes, bool]:
        number, size, tried = _HEAD.unpack(self.memory[: _HEAD.size])
        return number, self.memory[_HEAD.size : _HEAD.size + size], tried


@dataclass(slots=True)
class _Worker:
    job: Job
    shown: _Shown
    process: ForkProcess
    answer: Connection
    at: int = 0
    since: float = field(default_factory=time.monotonic)


def run(jobs: Sequence[Job], *, processes: int, told: Told) -> None:
    """Do all jobs, so many at a time; `told` hears what came of each."""
    waiting, working = list(jobs), list[_Worker]()
    while waiting or working:
        while waiting and len(working) < processes:
            working.append(_start(waiting.pop(0)))
        multiprocessing.connection.wait([one.answer for one in working], timeout=1.0)
        for one in list(working):
            if (tally := _ended(one)) is not None:
                working.remove(one)
                told(tally)
                if (left := one.job.inputs - tally.inputs) > 0:
                    again = Job(target=one.job.target, inputs=left, seed=one.job.seed + "'", corpus=one.job.corpus)
                    waiting.insert(0, again)


def _start(job: Job) -> _Worker:
    shown, context = _Shown(), multiprocessing.get_context("fork")
    answer, give = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(job, shown, give), daemon=True)
    process.start()
    give.close()
    return _Worker(job=job, shown=shown, process=process, answer=answer)


def _work(job: Job, shown: _Shown, give: Connection) -> None:
    """In the child."""
    used = int(open("/proc/self/statm", encoding="ascii").read().split()[0]) * os.sysconf("SC_PAGE_SIZE")  # noqa: SIM115, PTH123
    resource.setrlimit(resource.RLIMIT_AS, (used + ROOM_BYTES, resource.RLIM_INFINITY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    give.send(fuzz(job.target, inputs=job.inputs, seed=job.seed, corpus=job.corpus, pulse=shown.write))


def _ended(worker: _Worker) -> Tally | None:
    """What came of a worker's job, so far as it did it; None while it works."""
    if worker.answer.poll():
        with suppress(EOFError):
            tally: Tally = worker.answer.recv()
            worker.process.join()
            return tally
    if not worker.process.is_alive():
        worker.process.join()
        return _cut_short(worker, "crash", f"the process ended with code {worker.process.exitcode}")
    number, _, tried = worker.shown.read()
    if number != worker.at:
        worker.at, worker.since = number, time.monotonic()
    elif time.monotonic() - worker.since > STUCK_SECONDS * (1 if tried else 10):
        worker.process.kill()
        worker.process.join()
        return _cut_short(worker, "hang", f"nothing ended it within {STUCK_SECONDS:.0f} s")
    return None


def _cut_short(worker: _Worker, kind: Kind, text: str) -> Tally:
    """What is left of a job whose process is gone: the input that it was at."""
    number, data, tried = worker.shown.read()
    if not tried:
        raise RuntimeError(f"the fuzzer of {worker.job.target.name} itself failed after {number} inputs: {text}")
    tally = Tally(target=worker.job.target.name, inputs=number)
    tally.broken[kind] += 1
    tally.find(kind, f"{text} at {len(data)} bytes", data, worker.job.seed)
    return tally
