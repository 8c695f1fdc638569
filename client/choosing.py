"""Which signed release this device is to run, and which one it tries beside that: decided without a look at the device.

Everything here is public and signed, so what is fetched tells nothing of what the device holds or how it fares.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from shared.errors import ReleaseError
from shared.models import Release
from shared.rollout import Rollout, chosen, draw


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """`run` is to answer here, None for nothing new; `beside` is tried here and never answers."""

    run: Release | None = None
    beside: Release | None = None


def choose(releases: Iterable[Release], rollout: Rollout | None, device: str) -> Choice:
    """Choose among `releases`, newest first, as `targets` signed them; `rollout` is the online role's word.

    It is the newest one, or the one that the newest itself names as its `fallback`, whichever way that leads: nothing
    that the online role says can bring up another. Raise `ReleaseError` if the fallback was never signed.
    """
    found = iter(releases)
    newest = next(found, None)
    if newest is None:
        return Choice()
    number = chosen(newest, rollout, device)
    if number == newest.number:
        return Choice(run=newest)
    beside = newest if _looks_on(newest, rollout, device) else None
    return Choice(run=_fallback(newest, number, found) if number else None, beside=beside)


def _looks_on(newest: Release, rollout: Rollout | None, device: str) -> bool:
    if rollout is None or rollout.release != newest.number:
        return False
    return draw(newest, device) < min(rollout.shadow_bp, newest.ceiling_bp)


def _fallback(newest: Release, number: int, older: Iterable[Release]) -> Release:
    for release in older:
        if release.number == number:
            return release
    raise ReleaseError(f"release {newest.number} falls back to release {number}, which was not signed for this task")
