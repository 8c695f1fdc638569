"""The pointer to the release that was accepted, and a note of the one that it was moved on from: two short files.

The note tells which release is here whatever its rows did to this device: going back to that one needs no fetch, and what is
fetched then tells nobody which others are still here (privacy rule 14).
"""

from pathlib import Path

from client.config import TaskHome
from shared.files import sync

POINTER = "current"
NEXT = ".next"
BEFORE = "before"


def pointed(place: TaskHome) -> int:
    """The accepted release's number, as the pointer says; 0 where it says none."""
    return _number(place.releases / POINTER)


def before(place: TaskHome) -> int:
    """The release that was accepted before this one, 0 where the device went back since."""
    return _number(place.releases / BEFORE)


def remember(place: TaskHome, *, leaving_for: int) -> None:
    """Note the release that is about to be moved on from; none when going back, and no other for the same one again.

    A note that a power cut takes costs a fetch, so it does not wait for the disk.
    """
    if (left := pointed(place)) != leaving_for:
        draft = place.releases / f".{BEFORE}"
        draft.write_bytes(_line(left if left < leaving_for else 0))
        draft.replace(place.releases / BEFORE)


def prepare_pointer(place: TaskHome, number: int) -> None:
    """Write down where the pointer will go, durably, so that moving it is a rename."""
    place.releases.mkdir(parents=True, exist_ok=True)
    file = place.releases / NEXT
    file.write_bytes(_line(number))
    sync(file)


def point_to(place: TaskHome, number: int) -> None:
    """Let release `number` be the accepted one from the next look on.

    This makes every rename in the directory durable. A pointer may outlive a power cut that the directory it names
    does not: it then names nothing, and the newest whole release answers.
    """
    file = place.releases / NEXT
    if _number(file) != number:
        prepare_pointer(place, number)
    file.replace(place.releases / POINTER)
    sync(place.releases)


def _line(number: int) -> bytes:
    return f"{number}\n".encode("ascii")


def _number(file: Path) -> int:
    try:
        return int(file.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return 0
