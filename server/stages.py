"""How large a stage of a rollout is: the share below which stand exactly as many devices as its percent allows."""

import math
from collections.abc import Sequence

from shared.lifecycle import RolloutTerms
from shared.models import Release
from shared.rollout import WHOLE, draw

ROUNDING = 1e-9
"""What floating point may add to or take from a percent of a count."""


def reached(release: Release, share_bp: int, fleet: Sequence[str]) -> tuple[str, ...]:
    """The devices of `fleet` that run `release` at a share, by name."""
    return tuple(sorted(name for name in fleet if draw(release, name) < min(share_bp, release.ceiling_bp)))


def share_of(release: Release, fleet: Sequence[str], percent: float) -> int:
    """The share, in basis points, that reaches `percent` of `fleet`: rounded down, one device at least.

    Of all shares that reach so many it is the one nearest to `percent`, so that devices that enrol later fall in about
    as often. Devices whose draws are equal cannot be told apart: they stay outside together, unless none would be left.
    """
    meant = round(percent * WHOLE / 100)
    draws = sorted(draw(release, name) for name in fleet)
    if meant >= WHOLE or not draws:
        return min(meant, release.ceiling_bp)
    count = max(1, math.floor(len(draws) * percent / 100 + ROUNDING))
    beyond = draws[count] if count < len(draws) else WHOLE
    share = max(min(max(meant, draws[count - 1] + 1), beyond), draws[0] + 1)
    return min(share, release.ceiling_bp)


def narrowed(release: Release, fleet: Sequence[str], share_bp: int, stage_bp: int) -> int:
    """The share of a stage whose fleet has grown: the same while it reaches no more than its percent, else one that does."""
    percent = stage_bp * 100 / WHOLE
    allowed = max(1, math.floor(len(fleet) * percent / 100 + ROUNDING))
    return share_bp if len(reached(release, share_bp, fleet)) <= allowed else share_of(release, fleet, percent)


def following(terms: RolloutTerms, stage_bp: int) -> float | None:
    """The percent of the stage that comes after one of `stage_bp`; None after the last."""
    return next((percent for percent in terms.stages if round(percent * WHOLE / 100) > stage_bp), None)
