"""One input tried: what came of it, and whether a promise was broken. Hangs are ended, memory is measured."""

import logging
import re
import resource
import signal
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType, TracebackType

from shared.errors import CoveyError
from simulations.fuzz.target import Broken, Kind, Run

SECONDS = 2.0
"""No input may take longer; the slowest honest one takes a hundredth of it."""

MEGABYTES = 256
"""No input may make the process grow by more."""

_WORD = re.compile(r"[a-z_]{3,}")
"""The first words of a refusal say which rule it was, where many are raised by one line."""

_OURS = ("/client/", "/server/", "/shared/")


@dataclass(frozen=True, slots=True, kw_only=True)
class Came:
    """What came of an input: where it was decided, which tells inputs apart, and what was broken, if anything."""

    place: str
    accepted: bool = False
    broken: Kind | None = None
    text: str = ""


class Hang(BaseException):
    """An input's time is over."""


class _Swallowed(logging.Handler):
    """Remembers an exception that was logged and answered: a crash that somebody caught."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.error: BaseException | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the first."""
        if record.exc_info and self.error is None:
            self.error = record.exc_info[1]


class Trials:
    """Tries inputs on one parser, within `watched`."""

    def __init__(self, run: Run) -> None:
        """`run` parses one input."""
        self._run, self._swallowed = run, _Swallowed()

    @contextmanager
    def watched(self) -> Generator[None]:
        """Take the alarm and the log while the block runs, and give them back."""
        root = logging.getLogger()
        before, level, disabled = signal.signal(signal.SIGALRM, _end), root.level, logging.root.manager.disable
        handlers = root.handlers
        root.handlers = list[logging.Handler]([self._swallowed])
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(disabled)
            root.handlers = handlers
            root.setLevel(level)
            signal.signal(signal.SIGALRM, before)

    def __call__(self, data: bytes) -> Came:
        """Try one input."""
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        signal.setitimer(signal.ITIMER_REAL, SECONDS)
        try:
            came = self._try(data)
        except Hang as hang:
            came = _broke("hang", hang)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        if came.broken is None and (error := self._swallowed.error) is not None:
            came = _broke("crash", error)
        self._swallowed.error = None
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024
        if came.broken is None and grown > MEGABYTES:
            return Came(place=came.place, broken="memory", text=f"it took {grown} MB")
        return came

    def _try(self, data: bytes) -> Came:
        try:
            return Came(place=self._run(data), accepted=True)
        except CoveyError as error:
            return Came(place=f"{_place(error)} {' '.join(_WORD.findall(str(error)[:120])[:4])}")
        except Broken as broken:
            return Came(place=_place(broken), broken=broken.kind, text=str(broken))
        except MemoryError as error:
            return _broke("memory", error)
        except (KeyboardInterrupt, Hang):
            raise
        except BaseException as error:  # noqa: BLE001 - every kind is a finding, a panic of Rust code too
            return _broke("crash", error)


def _end(_number: int, _frame: FrameType | None) -> None:
    raise Hang(f"it took more than {SECONDS:g} s")


def _broke(kind: Kind, error: BaseException) -> Came:
    text = f"{type(error).__name__}: {str(error)[:200]} ({_line(error.__traceback__)})"
    return Came(place=_place(error), broken=kind, text=text)


def _place(error: BaseException) -> str:
    """The kind of an error and the lines that it came through."""
    lines = [type(error).__name__]
    trace = error.__traceback__
    while trace is not None and len(lines) < 12:
        lines.append(str(trace.tb_lineno))
        trace = trace.tb_next
    return " ".join(lines)


def _line(trace: TracebackType | None) -> str:
    """The last line of our own that an error came through."""
    found = "?"
    while trace is not None:
        name = trace.tb_frame.f_code.co_filename
        if any(folder in name for folder in _OURS):
            found = f"{'/'.join(name.rsplit('/', 2)[1:])}:{trace.tb_lineno}"
        trace = trace.tb_next
    return found
