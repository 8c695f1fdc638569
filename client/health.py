"""How releases fare on this device, on made-up records: what was found last, and when they are to be asked anew.

It speaks of what the device was told to run, whichever release answers, and nothing here depends on an example (privacy
rule 14). It stands in a file, because the look that finds it out is a child that may not live to tell.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from client.config import TaskHome
from shared import wire
from shared.errors import ReleaseError, TooSlow, WireError, WrongAnswers
from shared.files import write_whole
from shared.health import FAILING, Health, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What was found, and when (Unix time)."""

    health: Health
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """`run` and `beside` are the releases that this device was told to run and to try, 0 for none.

    `asking` is one that is being asked right now: should the child not come back, that one took it down.
    """

    run: int = 0
    beside: int = 0
    asking: int = 0
    found: tuple[Finding, ...] = ()

    def of(self, release: int) -> Finding | None:
        """What was found of one release."""
        return next((each for each in self.found if each.health.release == release), None)


def told_to(place: TaskHome, *, run: int, beside: int) -> None:
    """Note which releases the device is to run and to try; what was found of others is forgotten."""

    def noted(known: Findings) -> Findings:
        kept = tuple(each for each in known.found if each.health.release in {run, beside})
        return Findings(run=run, beside=beside, found=kept)

    _change(place, noted)


def find(place: TaskHome, release: int, verdict: Verdict, *, p95_us: float = 0.0) -> None:
    """Note how a release fares, if the device was told to run or to try it."""

    def noted(known: Findings) -> Findings:
        if release not in {known.run, known.beside} or not release:
            return replace(known, asking=0)
        health = Health(task=place.name, release=release, verdict=verdict, p95_us=round(p95_us))
        others = tuple(each for each in known.found if each.health.release != release)
        return replace(known, asking=0, found=(*others, Finding(health=health, at=time.time())))

    _change(place, noted)


def find_failing(place: TaskHome, release: int, error: ReleaseError) -> None:
    """Note what an error says of a release."""
    find(place, release, verdict_of(error), p95_us=error.p95_us if isinstance(error, TooSlow) else 0.0)


def verdict_of(error: ReleaseError) -> Verdict:
    """An error in telemetry's words."""
    return "slow" if isinstance(error, TooSlow) else "wrong" if isinstance(error, WrongAnswers) else "refused"


def found_since(place: TaskHome, moment: float) -> bool:
    """Whether anything was found from that moment (Unix time) on."""
    return any(each.at >= moment for each in read(place).found)


def begin(place: TaskHome, release: int) -> None:
    """Note that a release is about to be asked."""
    _change(place, lambda known: replace(known, asking=release))


def cut_short(place: TaskHome) -> int:
    """The release that was being asked when nothing more was heard, 0 for none."""
    return read(place).asking


def not_its_fault(place: TaskHome) -> None:
    """Forget that a release was being asked: the agent's own stop ended that."""
    _change(place, lambda known: replace(known, asking=0))


def told(place: TaskHome) -> tuple[Health, ...]:
    """What the coordinator may hear: of the release to run, and of one that failed beside it.

    One that does well beside it serves nobody, so nothing is said of it.
    """
    known = read(place)
    run, beside = known.of(known.run), known.of(known.beside)
    failed = (beside.health,) if beside and beside.health.verdict in FAILING else ()
    return (*((run.health,) if run else ()), *failed)


def read(place: TaskHome) -> Findings:
    """What is known; a file that is missing or damaged knows nothing."""
    try:
        return wire.from_json(Findings, _file(place).read_bytes(), what="health.json")
    except (OSError, WireError):
        return Findings()


def _change(place: TaskHome, change: Callable[[Findings], Findings]) -> None:
    before = read(place)
    if (after := change(before)) != before:
        _file(place).parent.mkdir(parents=True, exist_ok=True)
        write_whole(_file(place), wire.to_json(after))


def _file(place: TaskHome) -> Path:
    return place.releases / "health.json"
