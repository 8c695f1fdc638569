"""What the coordinator's processes wrote: entries of several files in the order of time, in bounded memory.

A line as `server.logs` writes it begins an entry; whatever follows without a time, such as a trace, belongs to it.
"""

import heapq
import re
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from pathlib import Path

from server.tui.logtail import Tail

ENTRIES = 2_000
"""Kept of each file that is shown."""
TOGETHER = 6
"""So many files, those written last, are shown together."""
FOLLOWING = 200
"""Lines kept of what follows an entry."""
_ENTRY = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}) ([A-Z]+) +(\d+) ([^ ]+): (.*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One entry: `at` is local time as it was written, `level` in small letters; both are empty before a file's first."""

    key: str
    file: str
    at: str = ""
    level: str = ""
    process: str = ""
    logger: str = ""
    text: str
    following: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class LogFile:
    """One file: when it was written last (Unix time), how long it is, and why it cannot be read, if it cannot."""

    name: str
    written: float
    bytes: int
    trouble: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The files, the one written last first; and the entries of those that are shown, oldest first."""

    files: tuple[LogFile, ...] = ()
    entries: tuple[Entry, ...] = ()


class LogBook:
    """Looks into a folder again and again; only what is shown is kept, and only what is new is read."""

    def __init__(self, folder: Path) -> None:
        """Nothing is read before `look`."""
        self._folder = folder
        self._tails: dict[str, Tail] = {}
        self._kept: dict[str, deque[Entry]] = {}
        self._counts: dict[str, int] = {}
        self._last = Found()

    def close(self) -> None:
        """Let go of all files."""
        self._keep(())

    def look(self, only: str = "") -> Found:
        """What there is now, of the file called `only` or of those written last; the entries are the same tuple while nothing came."""
        files = files_in(self._folder)
        names = [file.name for file in files if only in ("", file.name)][:TOGETHER]
        dropped = self._keep(names)
        troubles = {name: self._read(name) for name in names}
        came = any(trouble is None for trouble in troubles.values())
        said = tuple(replace(file, trouble=troubles.get(file.name) or "") for file in files)
        entries = self._merged() if came or dropped else self._last.entries
        self._last = Found(files=said, entries=entries)
        return self._last

    def _keep(self, names: Sequence[str]) -> bool:
        """Forget all other files; whether there were any."""
        others = self._tails.keys() - set(names)
        for name in others:
            self._tails.pop(name).close()
            self._kept.pop(name)
            self._counts.pop(name, None)
        return bool(others)

    def _read(self, name: str) -> str | None:
        """Take what is new in a file: None if anything is, else why it cannot be read, or nothing."""
        tail = self._tails.setdefault(name, Tail(self._folder / name))
        kept = self._kept.setdefault(name, deque(maxlen=ENTRIES))
        try:
            lines = tail.read()
        except OSError as error:
            return error.strerror or "cannot be read"
        self._counts[name] = take(lines, kept, file=Path(name).stem, count=self._counts.get(name, 0))
        return None if lines else ""

    def _merged(self) -> tuple[Entry, ...]:
        return tuple(heapq.merge(*self._kept.values(), key=attrgetter("at")))


def files_in(folder: Path) -> list[LogFile]:
    """The log files that are written to, the one written last first."""
    found: list[LogFile] = []
    for path in folder.glob("*.log"):
        try:
            there = path.stat()
        except OSError:
            continue
        found.append(LogFile(name=path.name, written=there.st_mtime, bytes=there.st_size))
    return sorted(found, key=lambda file: (-file.written, file.name))


def take(lines: Iterable[str], kept: deque[Entry], *, file: str, count: int) -> int:
    """Add lines to the entries kept of a file that had `count` so far; how many it has had then."""
    for line in map(printable, lines):
        if found := _ENTRY.fullmatch(line):
            count += 1
            at, level, process, logger, text = found.groups()
            kept.append(Entry(
                key=f"{file}/{count}", file=file, at=at, level=level.lower(), process=process, logger=logger, text=text,
            ))  # fmt: skip
        elif kept and kept[-1].at:
            kept[-1] = replace(kept[-1], following=(*kept[-1].following, line)[:FOLLOWING])
        else:
            count += 1
            kept.append(Entry(key=f"{file}/{count}", file=file, text=line))
    return count


def printable(line: str) -> str:
    """A line without what a terminal would obey: others may have a say in what is logged."""
    if line.isprintable():
        return line
    return "".join(sign if sign.isprintable() else "    " if sign == "\t" else "·" for sign in line)
