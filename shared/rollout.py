"""Who runs which release: the document of the online `rollout` role, and the draw that places each device.

The role chooses among what `targets` signed and no more (privacy rule 19): the newest release of a task says itself
which one devices outside its share run, and how large that share may ever be.
"""

import hashlib
from dataclasses import dataclass, field
from typing import Literal

from shared.models import Release
from shared.wire import LEFT_OUT_WHEN_EMPTY

RolloutState = Literal["rolling", "paused", "halted", "complete"]

PATH = "rollout"
"""The folder of TUF targets that the role may sign: `rollout/TASK.json`."""

WHOLE = 10_000
"""The whole fleet, in basis points."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """How far one release of a task has come; `number` rises with each document of the task.

    Devices whose draw lies below `share_bp` run `release`; those below `shadow_bp` that do not run it beside the
    release that answers. A halted one has a share of 0. `stage_bp` is the stage as it was declared; `share_bp` is what it
    takes to reach exactly that many of the devices that there were.
    """

    number: int
    task: str
    release: int
    share_bp: int
    shadow_bp: int = 0
    state: RolloutState = "rolling"
    stage_bp: int = field(default=0, metadata=LEFT_OUT_WHEN_EMPTY)

    def __post_init__(self) -> None:
        """Refuse shares that are none, and a halt that goes on."""
        if not all(0 <= share <= WHOLE for share in (self.share_bp, self.shadow_bp, self.stage_bp)):
            raise ValueError(f"shares must lie between 0 and {WHOLE} basis points")
        if self.state == "halted" and (self.share_bp or self.shadow_bp):
            raise ValueError("a halted rollout has no share")

    @property
    def percent(self) -> float:
        """The stage in percent of the fleet, 0 once halted; of an older document, which does not name it, the share."""
        return (self.stage_bp or self.share_bp) / 100 if self.share_bp else 0.0


def draw(release: Release, device: str) -> int:
    """Where a device stands in a release's fleet, from 0 to 9,999: the same on both sides, another for each release."""
    digest = hashlib.sha256(f"{release.task}/{release.number}/{device}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % WHOLE


def chosen(release: Release, rollout: Rollout | None, device: str) -> int:
    """The number of the release that `device` is to run, given the newest signed one; 0 where there is none for it.

    A release that was not staged needs no rollout, only its ceiling. A staged one without a rollout of its own serves
    nobody yet: what the role does not say is not done.
    """
    share = 0 if release.staged else WHOLE
    if rollout is not None and rollout.release == release.number:
        share = rollout.share_bp
    return release.number if draw(release, device) < min(share, release.ceiling_bp) else release.fallback
