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
    that the online role says can bring up another. A fallback reaches no more devices than its own ceiling allows; the
    others go by its own fallback in turn. Raise `ReleaseError` if one was never signed.
    """
    found = iter(releases)
    newest = next(found, None)
    if newest is None:
        return Choice()
    if chosen(newest, rollout, device) == newest.number:
        return Choice(run=newest)
    beside = newest if _looks_on(newest, rollout, device) else None
    return Choice(run=_fallback(newest, found, device), beside=beside)


def _looks_on(newest: Release, rollout: Rollout | None, device: str) -> bool:
    if rollout is None or rollout.release != newest.number:
        return False
    return draw(newest, device) < min(rollout.shadow_bp, newest.ceiling_bp)


def _fallback(newest: Release, older: Iterable[Release], device: str) -> Release | None:
    """One walk from newer to older ends, whatever the releases name."""
    giving_way = newest
    for release in older:
        if release.number != giving_way.fallback:
            continue
        if draw(release, device) < release.ceiling_bp:
            return release
        giving_way = release
    if not giving_way.fallback:
        return None
    raise ReleaseError(
        f"release {giving_way.number} falls back to release {giving_way.fallback}, which was not signed for this task"
    )
