"""The child process that trains: niced, first to be killed when memory is short, gone when there is no work.

The agent's own process imports neither PyTorch nor Polars, and gets its memory back whatever a training takes. A
child that reaches a ceiling of the owner's policy is killed; its request stays charged and is answered with noise
alone, because how much a training needs depends on the rows (privacy rules 2 and 4).
"""

import contextlib
import ctypes
import logging
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar

import psutil

from client.config import AgentHome, TaskHome
from client.settings import Ceilings
from client.work import InProcess, Sum, Weights, count_nothing, evaluate_nothing, nothing, without_rows
from shared.drift import DriftReport, SurveyPlan
from shared.errors import CoveyError, NotEligible
from shared.evaluation import EvaluationPlan, EvaluationReport
from shared.rounds import RoundPlan
from shared.tasks import Task

log = logging.getLogger(__name__)

T = TypeVar("T")

IDLE_SECONDS = 8.0
"""How long a child waits for the next request: rounds of one campaign share a child, memory comes back soon after."""

START_SECONDS = 60.0
"""A child that has not taken up its work by then never will."""

NICENESS = 10
_LOOK_SECONDS = 0.1
_STUCK_FACTOR = 10
"""A child that waits for a disk that hangs uses no processor: so many times that ceiling passes at most."""

_PR_SET_PDEATHSIG = 1


class Stopped(CoveyError):
    """The child ended before it answered; the text says why, and stays on this device."""


class Worker:
    """Computes in a child process that is started when there is work; one request at a time."""

    def __init__(
        self,
        home: AgentHome,
        *,
        idle_seconds: float = IDLE_SECONDS,
        on_stopped: Callable[[TaskHome, str], None] = lambda _place, _why: None,
    ) -> None:
        """Nothing is started yet; `on_stopped` hears of each request that was cut short, and why."""
        self._home, self._idle_seconds, self._on_stopped = home, idle_seconds, on_stopped
        self._busy, self._closed = Lock(), False
        self._child: subprocess.Popen[bytes] | None = None
        self._pipe: Connection | None = None

    def train(self, plan: RoundPlan, task: Task, place: TaskHome, weights: Weights, *, request: str) -> Weights:
        """As `InProcess.train`, in the child; noise alone if the child does not live to answer."""
        try:
            update: Weights = self._ask("train", plan, task, place.name, weights, request=request)
        except Stopped as stopped:
            self._tell(place, str(stopped))
            return without_rows(plan, task)
        return update

    def contribute(self, plan: RoundPlan, task: Task, place: TaskHome, weights: Weights, *, request: str) -> Sum:
        """As `InProcess.contribute`, in the child; nothing if the child does not live to answer."""
        try:
            update: Sum = self._ask("contribute", plan, task, place.name, weights, request=request)
        except Stopped as stopped:
            self._tell(place, str(stopped))
            return nothing(task)
        return update

    def survey(self, plan: SurveyPlan, task: Task, place: TaskHome) -> DriftReport:
        """As `InProcess.survey`, in the child; counts of no rows if the child does not live to answer."""
        try:
            report: DriftReport = self._ask("survey", plan, task, place.name)
        except Stopped as stopped:
            self._tell(place, str(stopped))
            return count_nothing(plan, task)
        return report

    def evaluate(self, plan: EvaluationPlan, task: Task, place: TaskHome, weights: Weights) -> EvaluationReport:
        """As `InProcess.evaluate`, in the child; counts of no rows if the child does not live to answer."""
        try:
            report: EvaluationReport = self._ask("evaluate", plan, task, place.name, weights)
        except Stopped as stopped:
            self._tell(place, str(stopped))
            return evaluate_nothing(plan, task)
        return report

    def close(self) -> None:
        """Kill the child, whatever it does; what it was asked is not answered any more."""
        self._closed = True
        self._end()

    def rest(self) -> None:
        """Let the child go if it only waits for work."""
        if self._busy.acquire(blocking=False):
            try:
                self._end()
            finally:
                self._busy.release()

    def _end(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            child.kill()
            child.wait()
        if self._pipe is not None:
            self._pipe.close()
            self._pipe = None

    @property
    def process(self) -> int | None:
        """The child's process, if one lives."""
        return self._child.pid if self._child is not None and self._child.poll() is None else None

    def _tell(self, place: TaskHome, why: str) -> None:
        log.warning("%s: answering with noise alone: %s", place.name, why)
        try:
            self._on_stopped(place, why)
        except Exception:  # that the child died may be the rows' doing, so it never becomes a refusal (rule 4)
            log.exception("nobody could be told")

    def _ask(self, verb: str, *arguments: object, **named: object) -> Any:
        """Have the child do one thing under the owner's ceilings, or raise `Stopped`."""
        with self._busy:
            ceilings = self._home.settings().ceilings
            pipe = self._hand_over((verb, arguments, named))
            try:
                return self._await(pipe, ceilings)
            except (EOFError, OSError, psutil.Error):
                code = self._child.wait() if self._child else None
                self._end()
                if self._closed:
                    raise NotEligible("the agent stops in the middle of a request, whose charge is burnt") from None
                raise Stopped(f"the training process ended by itself (status {code})") from None
            except BaseException:  # what it would still say must not be taken for the answer to the next request
                self._end()
                raise

    def _hand_over(self, job: tuple[object, ...]) -> Connection:
        """Give the work to a child that says that it has it; one that had just gone idle is replaced once."""
        for _ in range(2):
            with contextlib.suppress(EOFError, OSError):
                pipe = self._pipe or self._start()
                pipe.send(job)
                if pipe.poll(START_SECONDS):
                    pipe.recv()
                    return pipe
            self._end()
        raise Stopped("the training process did not start; its reason stands in the agent's log")

    def _start(self) -> Connection:
        ours, theirs = socket.socketpair()
        words = (str(self._home.path.resolve()), str(theirs.fileno()), str(self._idle_seconds))
        command = [sys.executable, "-P", "-m", "client.worker", *words]
        with ours, theirs:
            self._child = subprocess.Popen(  # noqa: S603 - this very program
                command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, env=_environment()
            )  # fmt: skip
            self._pipe = Connection(ours.detach())
        return self._pipe

    def _await(self, pipe: Connection, ceilings: Ceilings) -> Any:
        """Wait for the answer and hold the child to the ceilings meanwhile."""
        assert self._child is not None
        process = psutil.Process(self._child.pid)
        used, begun = _cpu_seconds(process), time.monotonic()
        while not pipe.poll(_LOOK_SECONDS):
            with contextlib.suppress(psutil.NoSuchProcess):
                _hold(process, ceilings, used)
            if time.monotonic() - begun > _STUCK_FACTOR * ceilings.cpu_seconds:
                raise Stopped(f"it did not answer within {_STUCK_FACTOR * ceilings.cpu_seconds:.0f} s")
        answer = pipe.recv()
        if isinstance(answer, Exception):
            raise Stopped(f"{type(answer).__name__}: {answer}")
        return answer


def _hold(process: psutil.Process, ceilings: Ceilings, used_before: float) -> None:
    """Raise `Stopped` if a process uses more than the owner allows."""
    memory = process.memory_info().rss / 2**20
    if memory > ceilings.memory_mb:
        raise Stopped(f"it took {memory:.0f} MB, the owner's ceiling is {ceilings.memory_mb} MB")
    spent = _cpu_seconds(process) - used_before
    if spent > ceilings.cpu_seconds:
        raise Stopped(f"it took {spent:.0f} s of processor time, the owner's ceiling is {ceilings.cpu_seconds:g} s")


def _cpu_seconds(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return times.user + times.system


def _environment() -> dict[str, str]:
    """One thread, because the owner's own work comes first; the packages that this process sees."""
    path = os.pathsep.join(entry for entry in sys.path if entry)
    return {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "POLARS_MAX_THREADS": "1",
        "MALLOC_ARENA_MAX": "1",
        "PYTHONPATH": path,
    }


def serve(home: AgentHome, pipe: Connection, *, idle_seconds: float) -> None:
    """Do what is asked until nothing is for a while, or the agent is gone."""
    work = InProcess()
    while pipe.poll(idle_seconds):
        try:
            verb, arguments, named = pipe.recv()
        except EOFError:
            return
        pipe.send("taken")
        pipe.send(_do(work, home, verb, arguments, named))


def _do(work: InProcess, home: AgentHome, verb: str, arguments: tuple[Any, ...], named: dict[str, Any]) -> object:
    """The answer, or the exception, whose text stays on this device."""
    plan, task, name, *rest = arguments
    _limit_files(home.settings().ceilings.disk_mb)
    try:
        return getattr(work, verb)(plan, task, home.task(name), *rest, **named)
    except Exception as error:  # noqa: BLE001 - the parent answers with noise alone, whatever it was
        return CoveyError(f"{type(error).__name__}: {error}")


def _limit_files(megabytes: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (megabytes * 2**20, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)


def _step_back() -> None:
    """Step back behind everything else on this machine, and never outlive the agent."""
    os.nice(NICENESS)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("800", encoding="ascii")
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)  # the agent decides; a Ctrl-C in its terminal reaches its children too


def main() -> None:
    """`python -m client.worker HOME DESCRIPTOR IDLE_SECONDS`."""
    from client.logs import start_logging

    home, pipe = AgentHome(Path(sys.argv[1])), Connection(int(sys.argv[2]))
    parent = os.getppid()
    os.umask(0o077)
    _step_back()
    if os.getppid() == parent:
        start_logging(home.log, verbose=False)
        serve(home, pipe, idle_seconds=float(sys.argv[3]))


if __name__ == "__main__":
    main()
