"""One Predictor a task, changed for the next while requests go on.

A request takes a task's Predictor once and keeps it to the end, so no answer mixes releases. A thread looks every
0.2 s whether a pointer moved, loads what it names, and only then lets it answer.
"""

import logging
from collections.abc import Callable
from pathlib import Path
from threading import Event, Lock, Thread

from client.config import AgentHome, TaskHome
from client.inference import Predictor
from client.installed import fall_back
from client.pointer import POINTER
from client.recorder import Recorder
from client.serving.watch import Watch
from client.standing import FOLDER
from shared.errors import CoveyError, InputError, ReleaseError

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.2

Stamp = tuple[object, ...]


class Seat:
    """One task's place: who answers for it now, what watches that, and what records it."""

    def __init__(self, place: TaskHome, recorder: Recorder | None) -> None:
        self.place, self.name, self.recorder = place, place.name, recorder
        self.stamp: Stamp | None = None
        self.answering: tuple[Predictor, Watch] | None = None
        self.verdict: tuple[int, str] | None = None
        self.given_up: set[int] = set()

    @property
    def predictor(self) -> Predictor:
        """Who answers now; raise `ReleaseError` before the first release."""
        return self.taken[0]

    @property
    def taken(self) -> tuple[Predictor, Watch]:
        """Who answers now and what watches it, read at once."""
        if self.answering is None:
            raise ReleaseError(f"task {self.name!r} has no release on this device yet")
        return self.answering


class Pool:
    """The tasks of an agent's policy and who answers for each."""

    def __init__(self, home: AgentHome, *, record: bool = True) -> None:
        """Load what serves now; `record` keeps single answers for their outcome."""
        self._home, self._record = home, record
        self._seats: dict[str, Seat] = {}
        self._policy: Stamp | None = None
        self._stopping, self._look, self._looking = Event(), Event(), Lock()
        self._thread: Thread | None = None
        self.swaps = 0
        self.reload()

    @property
    def seats(self) -> dict[str, Seat]:
        """The tasks by name."""
        return self._seats

    def seat(self, name: str | None) -> Seat:
        """The task called `name`, or the only one; raise `InputError` naming what there is."""
        seats = self._seats
        if name is None and len(seats) == 1:
            return next(iter(seats.values()))
        if name is None:
            raise InputError(f"this agent has {len(seats)} tasks; name one: /v1/tasks/NAME/...")
        try:
            return seats[name]
        except KeyError:
            raise InputError(f"this agent has no task {ascii(name)[:100]}; it has {sorted(seats)}") from None

    def start(self) -> None:
        """Look from now on."""
        self._thread = Thread(target=self._run, name="pool", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Look no more, and write what waits to be recorded."""
        self._stopping.set()
        self._look.set()
        if self._thread is not None:
            self._thread.join(5)
        for seat in self._seats.values():
            if seat.recorder is not None:
                seat.recorder.close()

    def give_up(self, seat: Seat, number: int, reason: str) -> None:
        """Have a release put aside that does badly, by the thread that loads; requests go on meanwhile.

        Each release at most once, until something else moves: where all do badly, they do not take turns.
        """
        if number not in seat.given_up:
            seat.verdict = (number, reason)
            self._look.set()

    def reload(self) -> None:
        """Look now: the tasks of the policy, verdicts, and moved pointers."""
        with self._looking:
            self._look_at_policy()
            for seat in self._seats.values():
                _said(lambda seat=seat: self._look_at(seat), about=seat.name)

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._look.wait(LOOK_SECONDS)
            self._look.clear()
            self.reload()

    def _look_at_policy(self) -> None:
        stamp = _stamp(self._home, "agent.toml")
        if stamp != self._policy:
            self._policy = stamp
            _said(self._seat_tasks, about="agent.toml")

    def _seat_tasks(self) -> None:
        """A new dictionary, so that no request sees one that changes under it."""
        before, self._seats = self._seats, {p.name: self._seats.get(p.name) or self._new(p) for p in self._home.tasks()}
        for gone in before.keys() - self._seats.keys():
            if (recorder := before[gone].recorder) is not None:
                recorder.close()

    def _new(self, place: TaskHome) -> Seat:
        return Seat(place, Recorder(place) if self._record else None)

    def _look_at(self, seat: Seat) -> None:
        if _stamp(seat.place, POINTER, FOLDER) != seat.stamp:
            seat.given_up.clear()
            self._load(seat)
        if seat.verdict is not None:
            (number, reason), seat.verdict = seat.verdict, None
            seat.given_up.add(number)
            fall_back(seat.place, number, reason)
            self._load(seat)

    def _load(self, seat: Seat) -> None:
        """Load what serves and let it answer; what answered before goes on where nothing here can."""
        seat.stamp = _stamp(seat.place, POINTER, FOLDER)
        if not seat.place.releases.exists():
            seat.answering = None
            return
        found = Predictor(seat.place, recorder=seat.recorder)
        if seat.answering is None or seat.answering[0].release != found.release:
            log.info("release %d of %s answers from now on", found.release, seat.name)
            self.swaps += seat.answering is not None
        seat.answering = found, Watch(limit_us=found.task.gates.max_latency_us)


def _said(look: Callable[[], None], *, about: str) -> None:
    """A look that fails is logged; the next one comes when something moves again."""
    try:
        look()
    except CoveyError as error:
        log.warning("%s: %s", about, error)
    except Exception:
        log.exception("%s could not be looked at", about)


def _stamp(place: AgentHome | TaskHome, *names: str) -> Stamp:
    """What changes when one of the files does: cheap to read, and renames always change it."""
    folder = place.releases if isinstance(place, TaskHome) else place.path
    return tuple(_mark(folder / name) for name in names)


def _mark(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size
