"""How long a release took to reach the fleet: from when it was asked for to when a share of its devices served it."""

import math
from dataclasses import dataclass

from server.stages import ROUNDING
from server.store import Store
from shared.health import FAILING
from shared.models import Release


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """How a release arrived: `serving` of `devices` that tell how they fare, and after how many seconds the share had it.

    `seconds` is None while the share has not.
    """

    devices: int
    serving: int
    seconds: float | None


def time_to_share(store: Store, release: Release, share: float = 0.95, *, since: float | None = None) -> Arrival:
    """How long until `share` of the approved devices said that `release` serves.

    It counts from `since`, such as a drift alarm (Unix time), by default from the release's signature. Devices whose
    owners let them tell nothing are left out on both sides.
    """
    approved = {device.name for device in store.devices() if device.state == "approved"}
    told = [each for each in store.health(release.task) if each.device in approved]
    devices = len({each.device for each in told})
    came = sorted(
        each.since for each in told if each.health.release == release.number and each.health.verdict not in FAILING
    )
    needed = max(1, math.ceil(share * devices - ROUNDING))
    began = release.published_at if since is None else since
    seconds = max(0.0, came[needed - 1] - began) if len(came) >= needed else None
    return Arrival(devices=devices, serving=len(came), seconds=seconds)
