"""Which releases were tried on this device and when each may be tried again: no hot loop, whatever a release does.

A try is noted before it begins, so that one which takes the whole machine down is remembered too. Nothing here
depends on an example: the coordinator may see when a release is fetched again.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from client.config import TaskHome
from shared import wire
from shared.errors import WireError
from shared.files import write_whole

FIRST_WAIT = 600.0
LONGEST_WAIT = 86_400.0
SWAPS_AN_HOUR = 6
_HOUR = 3600.0
_REMEMBERED = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """How often a release was tried, and until when (Unix time) it waits; `reason` is empty while a try goes on."""

    tries: int
    until: float
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempts:
    """What was tried, by release, and when releases were swapped in."""

    releases: dict[str, Attempt] = field(default_factory=dict)
    swaps: tuple[float, ...] = ()


def begin(place: TaskHome, number: int) -> None:
    """Note that a release is about to be tried. If nothing is heard again, the first time may be a power cut."""

    def noted(known: Attempts) -> Attempts:
        tries = _tries(known, number) + 1
        attempt = Attempt(tries=tries, until=time.time() + (_wait(tries - 1) if tries > 1 else 0))
        return replace(known, releases={**known.releases, str(number): attempt})

    _change(place, noted)


def refuse(place: TaskHome, number: int, reason: str) -> None:
    """Note that a release does not serve here; it is not fetched again for a while, twice as long each time."""

    def noted(known: Attempts) -> Attempts:
        tries = max(_tries(known, number), 1)
        attempt = Attempt(tries=tries, until=time.time() + _wait(tries), reason=reason)
        return replace(known, releases={**known.releases, str(number): attempt})

    _change(place, noted)


def swapped(place: TaskHome, number: int) -> None:
    """Note that a release was accepted: it and every older one need no further try."""

    def noted(known: Attempts) -> Attempts:
        return Attempts(releases=_newer(known, number), swaps=(*known.swaps[-SWAPS_AN_HOUR:], time.time()))

    _change(place, noted)


def done(place: TaskHome, number: int) -> None:
    """Forget the tries of a release and of older ones."""
    _change(place, lambda known: replace(known, releases=_newer(known, number)))


def waiting(place: TaskHome, number: int) -> str:
    """Why a release must not be tried now; empty if it may be."""
    known, now = read(place), time.time()
    attempt = known.releases.get(str(number))
    if attempt and now < attempt.until <= now + LONGEST_WAIT:
        return attempt.reason or "the last try was cut short"
    return ""


def too_fast(place: TaskHome) -> str:
    """Why no release may be swapped in now; empty if one may be."""
    now = time.time()
    recent = sum(1 for at in read(place).swaps if now - _HOUR < at <= now)
    return f"{recent} releases were swapped in within the hour; the next one waits" if recent >= SWAPS_AN_HOUR else ""


def unfinished(place: TaskHome) -> int:
    """The newest release whose try began and did not end; 0 if there is none."""
    known = read(place).releases
    return max((int(number) for number, attempt in known.items() if not attempt.reason), default=0)


def read(place: TaskHome) -> Attempts:
    """What is known; a file that is missing or damaged knows nothing."""
    try:
        return wire.from_json(Attempts, _file(place).read_bytes(), what="attempts.json")
    except (OSError, WireError):
        return Attempts()


def _change(place: TaskHome, change: Callable[[Attempts], Attempts]) -> None:
    before = read(place)
    after = change(before)
    if after != before:
        kept = dict(sorted(after.releases.items(), key=lambda item: int(item[0]))[-_REMEMBERED:])
        _file(place).parent.mkdir(parents=True, exist_ok=True)
        write_whole(_file(place), wire.to_json(replace(after, releases=kept)))


def _newer(known: Attempts, number: int) -> dict[str, Attempt]:
    return {name: attempt for name, attempt in known.releases.items() if int(name) > number}


def _tries(known: Attempts, number: int) -> int:
    attempt = known.releases.get(str(number))
    return attempt.tries if attempt else 0


def _wait(tries: int) -> float:
    return min(FIRST_WAIT * 2.0 ** min(tries - 1, 20), LONGEST_WAIT)


def _file(place: TaskHome) -> Path:
    return place.releases / "attempts.json"
