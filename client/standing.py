"""Which releases did badly on this device: one small file a mark, so that no two writers can lose one.

A mark stays until the owner takes it away. Whoever watches the device learns nothing of it (privacy rule 14): what
is reported and what is fetched depends on the release that was accepted, never on the one that answers.
"""

import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from client.config import TaskHome
from shared import wire
from shared.errors import WireError
from shared.files import sync, write_whole

log = logging.getLogger(__name__)

FOLDER = "bad"

_unwritten: set[Path] = set()
"""Marks that no disk would take: they hold until this process ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """Why and when (Unix time) a release was put aside on this device."""

    release: int
    reason: str
    at: float


def mark_bad(place: TaskHome, sha256: str, *, release: int, reason: str) -> None:
    """Put the model with this fp32 hash aside; under another release's number it is the same model."""
    file = _file(place, sha256)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(file, wire.to_json(Mark(release=release, reason=reason, at=time.time())))
    except OSError as error:
        log.warning("release %d is put aside in memory only: %s cannot be written (%s)", release, file, error.strerror)
        _unwritten.add(file)


def is_bad(place: TaskHome, sha256: str) -> bool:
    """Whether the model was put aside here; an unreadable mark counts."""
    file = _file(place, sha256)
    return file in _unwritten or file.exists()


def marks(place: TaskHome) -> list[Mark]:
    """What was put aside here, oldest first, for the owner to read."""
    found = (mark for _, mark in _readable((place.releases / FOLDER).glob("*.json")))
    return sorted(found, key=lambda mark: mark.at)


def forgive(place: TaskHome, release: int) -> bool:
    """The owner gives a release's model another chance; whether it had been put aside."""
    folder = place.releases / FOLDER
    found = [file for file, mark in _readable(folder.glob("*.json")) if mark.release == release]
    for file in found:
        file.unlink(missing_ok=True)
        sync(folder)
    return bool(found)


def _readable(files: Iterable[Path]) -> Iterable[tuple[Path, Mark]]:
    for file in files:
        try:
            yield file, wire.from_json(Mark, file.read_bytes(), what=file.name)
        except (OSError, WireError) as error:
            log.warning("%s cannot be read (%s); the model stays put aside", file, error)


def _file(place: TaskHome, sha256: str) -> Path:
    return place.releases / FOLDER / f"{sha256}.json"
